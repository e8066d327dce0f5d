// Group Q of semantics.md, the reading half: connect_read_pipe over pipes, FIFOs, sockets and devices.
#include "support/pipe_fixture.hpp"
#include "support/temp_file.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class ReadPipe : public PipeTest {};
INSTANTIATE_TEST_SUITE_P(Every, ReadPipe, testing::ValuesIn(backends()), backend_case_name);

TEST_P(ReadPipe, Q333_data_then_the_end_then_lost_without_a_reason) {
    open_read_pipe();
    EXPECT_EQ(told_.trace(), "M");
    far_.write("abc");
    ASSERT_TRUE(run_until([&] { return told_.received() == "abc"; }));
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D3 E L(None)");
}

TEST_P(ReadPipe, Q333_the_result_of_eof_received_does_not_count) {
    told_.on_eof = [] { return true; };
    open_read_pipe();
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M E L(None)");
}

TEST_P(ReadPipe, Q333_a_buffered_protocol_reads_into_its_own_memory) {
    open_read_pipe(ProtocolKind::buffered);
    far_.write("abcde");
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D5 E L(None)");
    EXPECT_EQ(told_.received(), "abcde");
}

TEST_P(ReadPipe, more_than_a_pipe_holds_arrives_in_order) {
    open_read_pipe();
    const std::string sent = pattern(1'000'000);
    std::size_t written = 0;
    ASSERT_TRUE(run_until([&] {
        written += far_.write_some(std::string_view(sent).substr(written));
        return written == sent.size();
    }));
    far_.close();
    run_until_lost();
    EXPECT_TRUE(told_.received() == sent);
}

TEST_P(ReadPipe, Q341_an_exception_in_eof_received_closes_and_is_reported) {
    told_.on_eof = []() -> bool { throw std::runtime_error("no end"); };
    open_read_pipe();
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M E L(callback_failed)");
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "no end");
}

TEST_P(ReadPipe, an_exception_in_data_received_closes_with_its_code) {
    told_.on_data = [](Bytes) { throw std::system_error(ENOENT, std::system_category()); };
    open_read_pipe();
    far_.write("x");
    run_until_lost();
    EXPECT_EQ(told_.reason(), std::errc::no_such_file_or_directory);
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(ReadPipe, Q342_a_paused_pipe_delivers_nothing_until_it_is_resumed) {
    Transport& transport = open_read_pipe();
    transport.pause_reading();
    transport.pause_reading();
    EXPECT_FALSE(transport.is_reading());
    far_.write("abc");
    far_.close();
    run_idle();
    EXPECT_EQ(told_.trace(), "M");
    transport.resume_reading();
    transport.resume_reading();
    EXPECT_TRUE(transport.is_reading());
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D3 E L(None)");
}

TEST_P(ReadPipe, Q342_pausing_and_resuming_a_closed_pipe_does_nothing) {
    Transport& transport = open_read_pipe();
    transport.close();
    transport.pause_reading();
    transport.resume_reading();
    run_until_lost();
    transport.pause_reading();
    transport.resume_reading();
    EXPECT_FALSE(transport.is_reading());
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(ReadPipe, close_and_abort_stop_reading_at_once) {
    for (const bool by_abort : {false, true}) {
        Recorder& told = make_recorder();
        const auto [reading, writing] = make_pipe();
        PipeEnd far(writing);
        Transport& transport = read_from(reading, told);
        far.write("never read");
        by_abort ? transport.abort() : transport.close();
        EXPECT_TRUE(transport.is_closing());
        EXPECT_TRUE(run_until([&] { return told.lost(); }));
        EXPECT_EQ(told.trace(), "M L(None)");
        EXPECT_FALSE(descriptor_is_open(reading)) << "by_abort=" << by_abort;
    }
}

TEST_P(ReadPipe, writing_is_a_mistake_and_there_is_no_half_to_close) {
    Transport& transport = open_read_pipe();
    EXPECT_FALSE(transport.can_write_eof());
    EXPECT_THROW(transport.write("x"), std::logic_error);
    EXPECT_THROW(transport.writelines({as_bytes("x")}), std::logic_error);
    EXPECT_THROW(transport.write_eof(), std::logic_error);
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
}

TEST_P(ReadPipe, tells_its_descriptor_and_what_it_received_but_no_address) {
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(writing);
    Transport& transport = read_from(reading, told_);
    EXPECT_EQ(transport.get_extra_info(extra::pipe).fd(), reading);
    EXPECT_EQ(transport.get_extra_info(extra::peername), SocketAddress());
    far_.write("abcd");
    ASSERT_TRUE(run_until([&] { return told_.received().size() == 4; }));
    EXPECT_EQ(transport.get_extra_info(extra::counters).bytes_received, 4U);
    far_.close();
    run_until_lost();
    run_idle();
    EXPECT_EQ(transport.get_extra_info(extra::pipe).fd(), -1);
}

TEST_P(ReadPipe, the_protocol_can_be_replaced_while_data_waits) {
    Transport& transport = open_read_pipe();
    transport.pause_reading();
    far_.write("second");
    Recorder& second = make_recorder();
    second.take_over(transport);
    transport.set_protocol(make_recording_protocol(ProtocolKind::buffered, second));
    transport.resume_reading();
    ASSERT_TRUE(run_until([&] { return second.received() == "second"; }));
    far_.close();
    ASSERT_TRUE(run_until([&] { return second.lost(); }));
    EXPECT_EQ(told_.trace(), "M");
}

// ---- kinds of descriptors ----

TEST_P(ReadPipe, a_fifo_is_accepted) {
    std::string folder = "/tmp/sluice-fifo-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/fifo";
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    const int reading = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    far_ = PipeEnd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    ::unlink(path.c_str());
    ::rmdir(folder.c_str());
    read_from(reading, told_);
    far_.write("abc");
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D3 E L(None)");
}

TEST_P(ReadPipe, Q345_a_socket_is_accepted) {
    const auto [near_end, far_end] = make_socket_pair(SOCK_STREAM);
    far_ = PipeEnd(far_end);
    read_from(near_end, told_);
    far_.write("abc");
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D3 E L(None)");
}

TEST_P(ReadPipe, Q345_a_device_that_cannot_be_waited_for_ends_at_once) {
    // What a service has for standard input. epoll refuses it.
    read_from(::open("/dev/null", O_RDONLY | O_CLOEXEC), told_);
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M E L(None)");
}

TEST_P(ReadPipe, Q345_an_endless_device_lets_others_have_their_turn_and_can_be_paused) {
    Transport& transport = read_from(::open("/dev/zero", O_RDONLY | O_CLOEXEC), told_);
    bool ran = false;
    loop().call_soon([&] { ran = true; });
    ASSERT_TRUE(run_until([&] { return ran && told_.count('D') >= 3; }));
    transport.pause_reading();
    run_idle();
    const std::size_t before = told_.count('D');
    run_idle();
    EXPECT_EQ(told_.count('D'), before);
    transport.resume_reading();
    ASSERT_TRUE(run_until([&] { return told_.count('D') > before; }));
    transport.close();
    run_until_lost();
}

TEST_P(ReadPipe, a_regular_file_and_a_folder_are_refused_naming_the_descriptor_and_are_closed) {
    const TempFile file("content");
    for (const int fd :
         {file.reopen(O_RDONLY | O_CLOEXEC), ::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC)}) {
        const std::string text = message_of<std::invalid_argument>([&] {
            static_cast<void>(loop().connect_read_pipe<RecordingProtocol>(Descriptor(fd), &told_));
        });
        EXPECT_NE(text.find("connect_read_pipe(): descriptor " + std::to_string(fd)),
                  std::string::npos)
            << text;
        EXPECT_FALSE(descriptor_is_open(fd));
    }
    EXPECT_EQ(told_.created(), 0U);
}

TEST_P(ReadPipe, what_is_not_open_or_not_for_reading_is_refused) {
    const auto [reading, writing] = make_pipe();
    const PipeEnd near(reading);
    EXPECT_NE(
        message_of<std::invalid_argument>([&, fd = writing] {
            static_cast<void>(loop().connect_read_pipe<RecordingProtocol>(Descriptor(fd), &told_));
        }).find("not open for reading"),
        std::string::npos);
    EXPECT_THROW(
        static_cast<void>(loop().connect_read_pipe<RecordingProtocol>(Descriptor(), &told_)),
        std::invalid_argument);
    const int closed = 900;
    EXPECT_FALSE(descriptor_is_open(closed));
    EXPECT_THROW(
        static_cast<void>(loop().connect_read_pipe<RecordingProtocol>(Descriptor(closed), &told_)),
        std::invalid_argument);
}

TEST_P(ReadPipe, its_descriptor_is_refused_to_readers_as_long_as_it_lives) {
    Transport& transport = open_read_pipe();
    const int fd = transport.get_extra_info(extra::pipe).fd();
    EXPECT_THROW(loop().add_reader(fd, [] {}), std::logic_error);
}

// ---- making it ----

TEST_P(ReadPipe, a_factory_that_throws_or_gives_null_leaves_nothing_open_or_changed) {
    auto throwing = []() -> std::unique_ptr<StreamProtocol> { throw std::range_error("none"); };
    auto null = []() -> std::unique_ptr<StreamProtocol> { return nullptr; };
    for (int round = 0; round < 2; ++round) {
        const auto [reading, writing] = make_pipe();
        const PipeEnd far(writing);
        const int copy = ::dup(reading);
        if (round == 0) {
            EXPECT_THROW(run(loop().connect_read_pipe(throwing, Descriptor(reading))),
                         std::range_error);
        } else {
            EXPECT_THROW(run(loop().connect_read_pipe(null, Descriptor(reading))),
                         std::logic_error);
        }
        EXPECT_FALSE(descriptor_is_open(reading));
        EXPECT_FALSE(is_nonblocking(copy));
        ::close(copy);
    }
}

TEST_P(ReadPipe, cancelling_while_it_is_made_closes_the_descriptor) {
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(writing);
    auto task = loop().create_task(
        loop().connect_read_pipe<RecordingProtocol>(Descriptor(reading), &told_));
    loop().run_once();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    run_idle();
    EXPECT_FALSE(descriptor_is_open(reading));
}

TEST_P(ReadPipe, what_others_share_is_blocking_again_afterwards) {
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(writing);
    const int copy = ::dup(reading);
    Transport& transport = read_from(reading, told_);
    EXPECT_TRUE(is_nonblocking(copy));
    transport.close();
    run_until_lost();
    run_idle();
    EXPECT_FALSE(is_nonblocking(copy));
    ::close(copy);
}

TEST_P(ReadPipe, on_a_closed_loop_it_is_a_mistake) {
    const auto [reading, writing] = make_pipe();
    far_ = PipeEnd(writing);
    loop().close();
    EXPECT_THROW(
        static_cast<void>(loop().connect_read_pipe<RecordingProtocol>(Descriptor(reading), &told_)),
        std::logic_error);
    EXPECT_FALSE(descriptor_is_open(reading));
}

TEST_P(ReadPipe, a_loop_that_is_destroyed_closes_it_without_a_word) {
    open_read_pipe();
    far_.write("unread");
    const Ref<Transport> kept(&told_.transport());
    destroy_loop();
    EXPECT_EQ(told_.trace(), "M");
    kept->close();
    EXPECT_EQ(kept->get_extra_info(extra::pipe).fd(), -1);
}

}  // namespace
}  // namespace sluice::test
