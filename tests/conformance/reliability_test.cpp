// Cases of reliability.md groups A, B, D and G that no group of semantics.md holds already.
//
// Elsewhere: A1 and G5 reading_test.cpp, A3 eof_test.cpp, A4 construction_test.cpp, A6 and A12
// closing_test.cpp, G1 and G3 flow_control_test.cpp, G7 buffered_test.cpp, B4 faults_test.cpp.
#include "support/conformance.hpp"
#include "support/temp_file.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include <sys/mman.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class Reliability : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Reliability, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(Reliability, rel_A7_writes_after_close_and_after_loss_are_ignored) {
    open_quietly();
    transport().write("kept");
    transport().close();
    transport().write("dropped");
    run_until_lost();
    transport().write("dropped");
    transport().writelines({as_bytes("dropped")});
    transport().flush();
    run_idle();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(recorder().trace(), "L(None)");
    EXPECT_EQ(peer_receives_everything(), "kept");
}

// The peer's FIN makes the state CLOSE_WAIT, in which its RST means EPIPE (tcp_reset() in the
// kernel); SIGPIPE would end the test program.
TEST_P(Reliability, rel_A9_writing_to_a_peer_that_is_gone_raises_no_signal_and_loses_with_EPIPE) {
    open_quietly();
    transport().pause_reading();
    const int fd = fd_of(transport());
    peer().close();
    ASSERT_TRUE(wait_for_hang_up(fd));
    transport().write("answered by RST");
    ASSERT_TRUE(wait_for_error(fd));
    transport().write("x");
    EXPECT_EQ(recorder().trace(), "");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(EPIPE)");
}

TEST_P(Reliability, rel_B5_every_descriptor_is_closed_on_exec) {
    const std::vector<int> before = open_descriptors();
    const EventLoop another_loop;
    open_quietly({.via = Via::connect});
    open(another(make_recorder()), {.via = Via::server});
    open(another(make_recorder()), {.via = Via::adopt});
    loop().add_signal_handler(SIGUSR1, [] {});
    std::size_t checked = 0;
    for (const int fd : open_descriptors()) {
        if (!std::binary_search(before.begin(), before.end(), fd)) {
            EXPECT_TRUE(has_close_on_exec(fd)) << fd;
            ++checked;
        }
    }
    EXPECT_GE(checked, 7U) << "a loop, a listener and six ends of connections";
    loop().remove_signal_handler(SIGUSR1);
}

/// A gibibyte of address space that shows the same few megabytes again and again: a large message
/// without the memory.
class RepeatedMapping {
public:
    explicit RepeatedMapping(std::size_t total) : total_(total) {
        const TempFile file(pattern(piece_bytes));
        base_ =
            ::mmap(nullptr, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        for (std::size_t at = 0; at < total; at += piece_bytes) {
            if (::mmap(static_cast<char*>(base_) + at, piece_bytes, PROT_READ,
                       MAP_SHARED | MAP_FIXED, file.fd(), 0) == MAP_FAILED) {
                throw std::system_error(errno, std::system_category(), "mmap");
            }
        }
    }
    RepeatedMapping(const RepeatedMapping&) = delete;
    RepeatedMapping& operator=(const RepeatedMapping&) = delete;
    ~RepeatedMapping() { ::munmap(base_, total_); }

    [[nodiscard]] std::string_view text() const noexcept {
        return {static_cast<const char*>(base_), total_};
    }

    static constexpr std::size_t piece_bytes = 16 * 1024 * 1024;

private:
    std::size_t total_;
    void* base_ = nullptr;
};

TEST_P(Reliability, rel_D14_a_huge_write_arrives_byte_for_byte) {
    // Through layers of TLS under a sanitizer a gibibyte takes minutes and shows nothing more.
    const std::size_t total = (uses_tls() ? std::size_t{32} : std::size_t{1024}) * 1024 * 1024;
    const auto mapping = std::make_shared<RepeatedMapping>(total);
    open_quietly();
    transport().write(Buffer(as_bytes(mapping->text()), mapping));
    transport().close();
    std::size_t at = 0;
    bool equal = true;
    while (!peer().saw_end() && peer().error() == 0 && equal) {
        loop().run_once();
        peer().receive_at_most(1024 * 1024);
        const std::string received = peer().take_received();
        equal = mapping->text().compare(at, received.size(), received) == 0;
        at += received.size();
    }
    EXPECT_TRUE(equal) << "near byte " << at;
    EXPECT_EQ(at, total);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::error_code());
    run_idle();
    EXPECT_EQ(mapping.use_count(), 1);
}

// Quadratic work would show as the test's time limit.
TEST_P(Reliability, rel_D14_a_million_writes_of_one_byte_into_a_full_kernel_arrive_in_order) {
    constexpr std::size_t count = 1'000'000;
    const std::string bytes = pattern(count);
    for (const bool inside : {false, true}) {
        SCOPED_TRACE(inside ? "inside a callback" : "outside");
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {.small_buffers = true});
        const auto write_all = [&] {
            for (const char& byte : bytes) {
                connection.transport().write(std::string_view(&byte, 1));
            }
        };
        inside ? in_callback(write_all) : write_all();
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().received().size() >= count;
        }));
        EXPECT_TRUE(connection.peer().received() == bytes);
    }
}

}  // namespace
}  // namespace sluice::test
