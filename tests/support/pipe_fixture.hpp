// PipeTest: the frame of the cases about pipes: a transport of the library at one end, a PipeEnd at
// the other.
#pragma once

#include "support/loop_fixture.hpp"
#include "support/pipe_end.hpp"

#include <string>

namespace sluice::test {

class PipeTest : public BackendTest {
protected:
    /// connect_read_pipe() on `fd`; `told` hears what its protocol is told.
    Transport& read_from(int fd, Recorder& told, ProtocolKind kind = ProtocolKind::simple) {
        Recorder* const recorder = &told;
        auto factory = [recorder, kind] { return make_recording_protocol(kind, *recorder); };
        static_cast<void>(run(loop().connect_read_pipe(factory, Descriptor(fd))));
        return told.transport();
    }
    /// connect_write_pipe() on `fd`.
    Transport& write_to(int fd, Recorder& told) {
        static_cast<void>(run(loop().connect_write_pipe<RecordingProtocol>(Descriptor(fd), &told)));
        return told.transport();
    }
    /// Makes a pipe, whose other end is far(), and reads from it.
    Transport& open_read_pipe(ProtocolKind kind = ProtocolKind::simple) {
        const auto [reading, writing] = make_pipe();
        far_ = PipeEnd(writing);
        return read_from(reading, told_, kind);
    }
    /// Makes a pipe that holds `capacity_` bytes, whose other end is far(), and writes to it.
    Transport& open_write_pipe() {
        const auto [reading, writing] = make_pipe();
        capacity_ = shrink_pipe(writing);
        far_ = PipeEnd(reading);
        return write_to(writing, told_);
    }
    void run_until_lost() {
        ASSERT_TRUE(run_until([this] { return told_.lost(); })) << told_.trace();
    }
    /// Runs the loop, far() reading, until it has this many bytes.
    void far_receives(std::size_t byte_count) {
        ASSERT_TRUE(run_until([&] {
            far_.read_available();
            return far_.received().size() >= byte_count || far_.saw_end();
        })) << far_.received().size();
        EXPECT_EQ(far_.received().size(), byte_count);
    }
    /// The same until the end; the bytes.
    std::string far_receives_everything() {
        EXPECT_TRUE(run_until([&] {
            far_.read_available();
            return far_.saw_end();
        }));
        return far_.received();
    }
    void release_resources() override { far_.close(); }

    Recorder& told_ = make_recorder();
    PipeEnd far_;
    std::size_t capacity_ = 0;
};

}  // namespace sluice::test
