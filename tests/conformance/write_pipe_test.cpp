// Group Q of semantics.md, the writing half: connect_write_pipe, the reader's going away, and the
// write contract of every stream transport over writev(2).
#include "support/pipe_fixture.hpp"
#include "support/temp_file.hpp"

#include <array>
#include <csignal>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class WritePipe : public PipeTest {
protected:
    // Runs `body` as a callback of the loop, where writes are gathered.
    void in_callback(std::function<void()> body) {
        bool ran = false;
        loop().call_soon([&] {
            body();
            ran = true;
        });
        ASSERT_TRUE(run_until([&] { return ran; }));
    }
    // Fills the pipe and leaves `backlog` bytes unsent, with generous limits; all that was written.
    std::string plug(Transport& transport, std::size_t backlog = 1000) {
        transport.set_write_buffer_limits(1 << 24);
        std::string sent = pattern(capacity_ + backlog);
        transport.write(sent);
        EXPECT_EQ(transport.get_write_buffer_size(), backlog);
        run_idle();
        return sent;
    }
};
INSTANTIATE_TEST_SUITE_P(Every, WritePipe, testing::ValuesIn(backends()), backend_case_name);

// ---- the write contract ----

TEST_P(WritePipe, Q334_what_is_written_arrives) {
    Transport& transport = open_write_pipe();
    transport.write("abc");
    EXPECT_EQ(transport.get_write_buffer_size(), 0U) << "outside a callback it is sent at once";
    far_receives(3);
    transport.writelines({as_bytes("de"), as_bytes(""), as_bytes("f")});
    transport.write(Buffer(std::string("gh")));
    transport.write_static("ij");
    far_receives(10);
    EXPECT_EQ(far_.received(), "abcdefghij");
    EXPECT_EQ(transport.get_extra_info(extra::counters).bytes_sent, 10U);
}

TEST_P(WritePipe, small_writes_of_a_callback_leave_together_and_flush_sends_earlier) {
    Transport& transport = open_write_pipe();
    in_callback([&] {
        transport.write("a");
        transport.write("b");
        far_.read_available();
        EXPECT_EQ(far_.received(), "");
        transport.flush();
        far_.read_available();
        EXPECT_EQ(far_.received(), "ab");
        transport.write("c");
        EXPECT_EQ(transport.get_write_buffer_size(), 1U);
    });
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
    far_receives(3);
}

TEST_P(WritePipe, a_backlog_of_every_kind_of_bytes_keeps_its_order) {
    Transport& transport = open_write_pipe();
    std::string expected = plug(transport);
    const std::string copied = pattern(50'000, 1);
    static const std::string permanent = pattern(30'000, 2);
    const std::string shared = pattern(40'000, 3);
    transport.write(copied);
    transport.write_static(permanent);
    transport.write(Buffer(std::string(shared)));
    const std::array<Bytes, 2> pieces = {as_bytes(copied), as_bytes(shared)};
    transport.writelines(pieces);
    in_callback([&] { transport.write("last"); });
    expected += copied + permanent + shared + copied + shared + "last";
    transport.close();
    EXPECT_TRUE(far_receives_everything() == expected);
    run_until_lost();
    EXPECT_EQ(told_.count('P'), told_.count('R'));
    EXPECT_EQ(told_.reason(), std::error_code());
}

TEST_P(WritePipe, E080_a_write_from_a_stopped_loop_is_sent_when_it_runs_again) {
    Transport& transport = open_write_pipe();
    const std::string sent = plug(transport);
    far_.read_available();
    EXPECT_EQ(far_.received().size(), capacity_) << "nobody runs the loop";
    far_receives(sent.size());
    EXPECT_TRUE(far_.received() == sent);
}

TEST_P(WritePipe, Q339_a_full_pipe_pauses_the_protocol_and_an_emptied_one_resumes_it) {
    Transport& transport = open_write_pipe();
    transport.set_write_buffer_limits(100, 10);
    transport.write(pattern(capacity_ + 100));
    EXPECT_EQ(told_.trace(), "M") << "not above the mark";
    transport.write("x");
    EXPECT_EQ(told_.trace(), "M P");
    far_receives(capacity_ + 101);
    ASSERT_TRUE(run_until([&] { return told_.count('R') == 1; }));
    EXPECT_EQ(told_.trace(), "M P R");
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
}

TEST_P(WritePipe, a_hard_cap_refuses_or_ends) {
    Transport& transport = open_write_pipe();
    plug(transport);
    transport.set_write_buffer_cap(1500, OverflowPolicy::refuse_write);
    EXPECT_THROW(transport.write(pattern(501)), std::system_error);
    EXPECT_EQ(transport.get_write_buffer_size(), 1000U);
    transport.set_write_buffer_cap(1500, OverflowPolicy::abort_connection);
    transport.write(pattern(501));
    run_until_lost();
    EXPECT_EQ(told_.reason(), Error::write_buffer_full);
}

TEST_P(WritePipe, it_never_reads) {
    Transport& transport = open_write_pipe();
    EXPECT_FALSE(transport.is_reading());
    transport.resume_reading();
    transport.pause_reading();
    EXPECT_FALSE(transport.is_reading());
}

// ---- ending ----

TEST_P(WritePipe, Q338_close_sends_what_is_pending_first) {
    Transport& transport = open_write_pipe();
    const std::string sent = plug(transport);
    transport.close();
    EXPECT_TRUE(transport.is_closing());
    run_idle();
    EXPECT_FALSE(told_.lost());
    EXPECT_TRUE(far_receives_everything() == sent);
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, Q338_write_eof_is_close_after_everything_was_sent) {
    Transport& transport = open_write_pipe();
    EXPECT_TRUE(transport.can_write_eof());
    const std::string sent = plug(transport);
    transport.write_eof();
    transport.write_eof();
    EXPECT_TRUE(transport.is_closing());
    EXPECT_THROW(transport.write("late"), std::logic_error);
    EXPECT_TRUE(far_receives_everything() == sent);
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
    transport.write_eof();
}

TEST_P(WritePipe, Q338_write_eof_with_nothing_pending_ends_it) {
    Transport& transport = open_write_pipe();
    in_callback([&] {
        transport.write("gathered");
        transport.write_eof();
    });
    EXPECT_EQ(far_receives_everything(), "gathered");
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, abort_drops_what_is_pending) {
    Transport& transport = open_write_pipe();
    plug(transport);
    transport.abort();
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
    EXPECT_EQ(far_receives_everything().size(), capacity_);
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, Q343_files_are_not_for_pipes) {
    Transport& transport = open_write_pipe();
    const TempFile file("content");
    const auto error = caught<std::system_error>(
        [&] { transport.sendfile(file.fd(), 0, {}, {}, [](const SendfileResult&) {}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::operation_not_supported);
    EXPECT_THROW(run(loop().sendfile(Ref<Transport>(&transport), file.fd())), std::system_error);
    transport.write("x");
    far_receives(1);
}

// ---- the reader goes away ----

TEST_P(WritePipe, Q335_a_reader_that_leaves_ends_an_idle_pipe_without_a_reason) {
    open_write_pipe();
    run_idle();
    EXPECT_EQ(told_.trace(), "M");
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, Q336_a_reader_that_leaves_with_a_backlog_is_a_broken_pipe) {
    Transport& transport = open_write_pipe();
    plug(transport);
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(EPIPE)");
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
}

TEST_P(WritePipe, Q336_writing_to_a_reader_that_has_left_is_a_broken_pipe_and_raises_no_signal) {
    // SIGPIPE has its default action here, which would end this process.
    ASSERT_NE(::signal(SIGPIPE, SIG_DFL), SIG_ERR);
    Transport& transport = open_write_pipe();
    far_.close();
    transport.write("x");
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(EPIPE)");
    sigset_t pending;
    ::sigpending(&pending);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST_P(WritePipe, a_reader_that_leaves_while_it_is_closing_is_noticed) {
    Transport& transport = open_write_pipe();
    plug(transport);
    transport.close();
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(EPIPE)");
}

TEST_P(WritePipe, a_reader_that_pauses_is_not_gone) {
    Transport& transport = open_write_pipe();
    plug(transport);
    run_idle();
    far_.read_available();
    EXPECT_FALSE(transport.is_closing());
}

TEST_P(WritePipe, Q335_unread_data_in_a_fifo_open_for_both_is_no_hang_up) {
    std::string folder = "/tmp/sluice-fifo-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const int both = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    far_ = PipeEnd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    ::unlink(path.c_str());
    ::rmdir(folder.c_str());
    Transport& transport = write_to(both, told_);
    transport.write("abc");
    const auto before = loop().counters().readiness_events;
    run_idle();
    EXPECT_EQ(loop().counters().readiness_events, before) << "it is not watched in vain";
    EXPECT_EQ(told_.trace(), "M");
    far_receives(3);
}

// ---- kinds of descriptors ----

TEST_P(WritePipe, Q345_a_socket_is_accepted_and_its_peers_close_is_noticed) {
    const auto [near_end, far_end] = make_socket_pair(SOCK_STREAM);
    far_ = PipeEnd(far_end);
    Transport& transport = write_to(near_end, told_);
    transport.write("abc");
    far_receives(3);
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, Q345_what_a_sockets_peer_says_is_neither_an_end_nor_read_nor_asked_for_again) {
    const auto [near_end, far_end] = make_socket_pair(SOCK_STREAM);
    const PipeEnd copy(::dup(near_end));
    far_ = PipeEnd(far_end);
    Transport& transport = write_to(near_end, told_);
    far_.write("for somebody else");
    ASSERT_EQ(::shutdown(far_.fd(), SHUT_WR), 0);
    run_idle();
    const auto before = loop().counters().readiness_events;
    run_idle();
    EXPECT_EQ(loop().counters().readiness_events, before);
    EXPECT_EQ(told_.trace(), "M");
    transport.write("abc");
    far_receives(3);
    PipeEnd reader(::dup(copy.fd()));
    reader.read_available();
    EXPECT_EQ(reader.received(), "for somebody else");
}

TEST_P(WritePipe, Q345_a_device_is_accepted) {
    Transport& transport = write_to(::open("/dev/null", O_WRONLY | O_CLOEXEC), told_);
    transport.write(pattern(1'000'000));
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
    transport.write_eof();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(WritePipe, an_error_of_a_device_ends_it_with_that_error) {
    Transport& transport = write_to(::open("/dev/full", O_WRONLY | O_CLOEXEC), told_);
    transport.write("x");
    run_until_lost();
    EXPECT_EQ(told_.reason(), std::errc::no_space_on_device);
}

TEST_P(WritePipe, a_regular_file_and_the_wrong_direction_are_refused) {
    const TempFile file;
    const int fd = file.reopen(O_WRONLY | O_CLOEXEC);
    const std::string text = message_of<std::invalid_argument>([&] {
        static_cast<void>(loop().connect_write_pipe<RecordingProtocol>(Descriptor(fd), &told_));
    });
    EXPECT_NE(
        text.find("connect_write_pipe(): descriptor " + std::to_string(fd) + " is a regular file"),
        std::string::npos)
        << text;
    EXPECT_FALSE(descriptor_is_open(fd));
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(writing);
    EXPECT_THROW(static_cast<void>(
                     loop().connect_write_pipe<RecordingProtocol>(Descriptor(reading), &told_)),
                 std::invalid_argument);
}

TEST_P(WritePipe, a_protocol_for_writing_needs_no_data_received) {
    class Greeter : public WritePipeProtocol {
        void connection_made(Transport& transport) override {
            transport.write("hello");
            transport.write_eof();
        }
    };
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(reading);
    static_cast<void>(run(loop().connect_write_pipe<Greeter>(Descriptor(writing))));
    EXPECT_EQ(far_receives_everything(), "hello");
}

TEST_P(WritePipe, a_loop_that_is_destroyed_closes_it_and_drops_what_is_pending) {
    plug(open_write_pipe());
    const Ref<Transport> kept(&told_.transport());
    destroy_loop();
    far_.read_available();
    EXPECT_TRUE(far_.saw_end());
    EXPECT_EQ(far_.received().size(), capacity_);
    EXPECT_EQ(told_.trace(), "M");
    kept->write("dropped");
}

}  // namespace
}  // namespace sluice::test
