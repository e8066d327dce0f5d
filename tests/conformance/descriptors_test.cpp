// add_reader, add_writer and their removal: descriptors that belong to the user.
#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"

#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Descriptors : public BackendTest {
protected:
    Descriptors() {
        auto [near_end, far_end] = connected_peers();
        near_ = std::move(near_end);
        far_ = std::move(far_end);
    }
    void release_resources() override {
        loop().remove_reader(near_.fd());
        loop().remove_writer(near_.fd());
        near_.close();
        far_.close();
    }
    // The fixture counted the descriptors before these two were made.
    Peer near_;
    Peer far_;
};
INSTANTIATE_TEST_SUITE_P(Every, Descriptors, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Descriptors, a_reader_is_called_as_long_as_there_is_something_to_read) {
    int calls = 0;
    loop().add_reader(near_.fd(), [&] { ++calls; });
    run_idle();
    EXPECT_EQ(calls, 0);
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    for (int i = 1; i <= 3; ++i) {
        loop().run_once();
        EXPECT_EQ(calls, i) << "level-triggered, once per iteration";
    }
    near_.receive_available();
    loop().run_once();
    EXPECT_EQ(calls, 3);
    EXPECT_TRUE(loop().remove_reader(near_.fd()));
    EXPECT_FALSE(loop().remove_reader(near_.fd()));
}

TEST_P(Descriptors, T397_adding_again_replaces_the_callback_and_destroys_the_old_one) {
    auto owned = std::make_shared<int>(0);
    std::string ran;
    loop().add_reader(near_.fd(), [owned, &ran] { ran += '1'; });
    loop().add_reader(near_.fd(), [&ran] { ran += '2'; });
    EXPECT_EQ(owned.use_count(), 1);
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    loop().run_once();
    EXPECT_EQ(ran, "2");
}

TEST_P(Descriptors, T397_reader_and_writer_of_one_descriptor_come_and_go_independently) {
    int reads = 0;
    int writes = 0;
    loop().add_reader(near_.fd(), [&] { ++reads; });
    loop().add_writer(near_.fd(), [&] { ++writes; });
    loop().run_once();
    EXPECT_EQ(reads, 0);
    EXPECT_EQ(writes, 1);
    EXPECT_TRUE(loop().remove_writer(near_.fd()));
    EXPECT_FALSE(loop().remove_writer(near_.fd()));
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    loop().run_once();
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(writes, 1);
    loop().add_writer(near_.fd(), [&] { ++writes; });
    EXPECT_TRUE(loop().remove_reader(near_.fd()));
    loop().run_once();
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(writes, 2);
}

TEST_P(Descriptors, T397_a_reader_may_remove_the_writer_that_is_due_in_the_same_batch) {
    int writes = 0;
    loop().add_writer(near_.fd(), [&] { ++writes; });
    loop().add_reader(near_.fd(), [&] {
        loop().remove_writer(near_.fd());
        loop().remove_reader(near_.fd());
    });
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    loop().run_once();
    EXPECT_EQ(writes, 0);
    EXPECT_FALSE(loop().remove_reader(near_.fd()));
}

TEST_P(Descriptors, a_callback_may_remove_another_descriptor_that_is_ready_too) {
    // Whichever comes first removes the other: exactly one runs.
    int calls = 0;
    near_.send("x");
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    ASSERT_TRUE(wait_readable(far_.fd()));
    loop().add_reader(near_.fd(), [&] {
        ++calls;
        loop().remove_reader(far_.fd());
    });
    loop().add_reader(far_.fd(), [&] {
        ++calls;
        loop().remove_reader(near_.fd());
    });
    loop().run_once();
    EXPECT_EQ(calls, 1);
    loop().remove_reader(far_.fd());
}

TEST_P(Descriptors, a_callback_may_remove_and_replace_itself) {
    std::string ran;
    near_.send("x");
    ASSERT_TRUE(wait_readable(far_.fd()));
    auto owned = std::make_shared<std::string>("captured");
    loop().add_reader(far_.fd(), [this, &ran, owned] {
        loop().add_reader(far_.fd(), [&ran] { ran += '2'; });
        loop().remove_reader(far_.fd());
        loop().add_reader(far_.fd(), [&ran] { ran += '3'; });
        ran += *owned;
    });
    loop().run_once();
    loop().run_once();
    EXPECT_EQ(ran, "captured3");
    EXPECT_EQ(owned.use_count(), 1);
    loop().remove_reader(far_.fd());
}

TEST_P(Descriptors, an_exception_of_a_reader_reaches_the_handler_and_the_reader_stays) {
    int calls = 0;
    loop().add_reader(near_.fd(), [&] {
        ++calls;
        throw std::runtime_error("reader");
    });
    far_.send("x");
    ASSERT_TRUE(wait_readable(near_.fd()));
    loop().run_once();
    loop().run_once();
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(take_reports().size(), 2U);
}

TEST_P(Descriptors, a_peer_that_hangs_up_makes_the_reader_run) {
    bool readable = false;
    loop().add_reader(near_.fd(), [&] {
        near_.receive_available();
        readable = near_.saw_end();
        loop().remove_reader(near_.fd());
    });
    far_.close();
    EXPECT_TRUE(run_until([&] { return readable; }));
}

TEST_P(Descriptors, a_pipe_can_be_watched) {
    const auto [reading, writing] = make_pipe();
    const Descriptor read_end(reading);
    const Descriptor write_end(writing);
    bool readable = false;
    loop().add_reader(read_end.get(), [&] { readable = true; });
    ASSERT_EQ(::write(write_end.get(), "x", 1), 1);
    EXPECT_TRUE(run_until([&] { return readable; }));
    EXPECT_TRUE(loop().remove_reader(read_end.get()));
}

TEST_P(Descriptors, what_cannot_be_watched_is_a_system_error_and_leaves_no_trace) {
    // epoll_ctl(2): EPERM, the file does not support polling.
    char name[] = "/tmp/sluice-loop-test-XXXXXX";
    const Descriptor file(::mkostemp(name, O_CLOEXEC));
    ASSERT_TRUE(file);
    ::unlink(name);
    EXPECT_THROW(loop().add_reader(file.get(), [] {}), std::system_error);
    EXPECT_THROW(loop().add_writer(file.get(), [] {}), std::system_error);
    EXPECT_FALSE(loop().remove_reader(file.get()));
    const int closed = ::dup(file.get());
    ::close(closed);
    EXPECT_THROW(loop().add_reader(closed, [] {}), std::system_error);
    EXPECT_FALSE(loop().remove_reader(closed));
}

TEST_P(Descriptors, negative_descriptors_are_refused_by_name) {
    EXPECT_THAT(message_of<std::invalid_argument>([&] { loop().add_reader(-1, [] {}); }),
                testing::AllOf(testing::HasSubstr("add_reader"), testing::HasSubstr("-1")));
    EXPECT_THAT(message_of<std::invalid_argument>([&] { loop().add_writer(-7, [] {}); }),
                testing::AllOf(testing::HasSubstr("add_writer"), testing::HasSubstr("-7")));
    EXPECT_FALSE(loop().remove_reader(-1));
    EXPECT_FALSE(loop().remove_writer(-1));
}

TEST_P(Descriptors, T397_the_descriptor_of_a_transport_is_refused_while_the_transport_uses_it) {
    Recorder& told = make_recorder();
    const int fd = far_.release();
    run(loop().create_connection<RecordingProtocol>(Descriptor(fd), &told));
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().add_reader(fd, [] {}); }),
                testing::HasSubstr("is used by a transport"));
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().add_writer(fd, [] {}); }),
                testing::HasSubstr(std::to_string(fd)));
    EXPECT_FALSE(loop().remove_reader(fd)) << "this must not disturb the transport";
    EXPECT_FALSE(loop().remove_writer(fd));
    near_.send("still received");
    ASSERT_TRUE(run_until([&] { return told.received() == "still received"; }));
    told.transport().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    run_idle();
    // The number is free again, and so is its use.
    const Descriptor again(::fcntl(near_.fd(), F_DUPFD_CLOEXEC, fd));
    ASSERT_EQ(again.get(), fd);
    loop().add_writer(fd, [] {});
    EXPECT_TRUE(loop().remove_writer(fd));
}

TEST_P(Descriptors, the_descriptor_of_a_listener_is_refused_too) {
    Ref<Server> server = serve();
    const int fd = server->sockets().at(0).fd();
    EXPECT_THROW(loop().add_reader(fd, [] {}), std::logic_error);
    EXPECT_FALSE(loop().remove_reader(fd));
    const Peer peer = Peer::connect(port_of(server));
    EXPECT_TRUE(wait_for_connections(1)) << "the refused call disturbed the listener";
    shut_down(server);
}

TEST_P(Descriptors, closing_the_loop_forgets_the_callbacks_and_leaves_the_descriptor_open) {
    auto owned = std::make_shared<int>(0);
    loop().add_reader(near_.fd(), [owned] {});
    loop().add_writer(near_.fd(), [owned] {});
    loop().close();
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_TRUE(descriptor_is_open(near_.fd()));
    EXPECT_FALSE(loop().remove_reader(near_.fd()));
}

TEST_P(Descriptors, closing_a_watched_descriptor_too_early_does_not_end_the_process) {
    // A mistake, but a common one; asyncio survives it. In a process of its own, since the answer
    // used to be std::terminate in such libraries.
    EXPECT_EXIT(
        {
            // A loop of its own, too: not every system lets a child inherit what it waits with.
            EventLoop own(GetParam());
            own.add_reader(near_.fd(), [] {});
            own.add_writer(near_.fd(), [] {});
            const int fd = near_.release();
            ::close(fd);
            own.remove_reader(fd);
            own.remove_writer(fd);
            own.run_once();
            ::_exit(0);
        },
        testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace sluice::test
