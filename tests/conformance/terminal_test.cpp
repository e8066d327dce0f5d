// Group Q of semantics.md over terminals: reading and writing at either end, the end of one, and what
// others who share it notice.
#include "support/pipe_fixture.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class Terminal : public PipeTest {
protected:
    Terminal() = default;
    // The slave's descriptor; the master's is far().
    int open_slave() {
        const auto [master, slave] = make_terminal();
        far_ = PipeEnd(master);
        return slave;
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Terminal, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Terminal, Q337_what_is_typed_arrives_and_hanging_up_is_an_end_that_nobody_reports) {
    read_from(open_slave(), told_);
    far_.write("ls\n");
    ASSERT_TRUE(run_until([&] { return told_.received() == "ls\n"; }));
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D3 E L(None)");
}

TEST_P(Terminal, Q337_what_the_slave_prints_arrives_at_the_master_and_its_end_is_an_end) {
    const auto [master, slave] = make_terminal();
    far_ = PipeEnd(slave);
    read_from(master, told_);
    far_.write("output");
    ASSERT_TRUE(run_until([&] { return told_.received() == "output"; }));
    far_.close();
    run_until_lost();
    EXPECT_EQ(told_.merged_trace(), "M D6 E L(None)");
}

TEST_P(Terminal, Q337_what_is_written_appears_at_the_master) {
    Transport& transport = write_to(open_slave(), told_);
    transport.write("prompt> ");
    far_receives(8);
    EXPECT_EQ(far_.received(), "prompt> ");
    transport.close();
    run_until_lost();
    EXPECT_EQ(told_.trace(), "M L(None)");
}

TEST_P(Terminal, Q337_more_than_a_terminal_holds_is_written_as_it_is_read) {
    Transport& transport = write_to(open_slave(), told_);
    const std::string sent = pattern(200'000);
    transport.write(sent);
    EXPECT_GT(transport.get_write_buffer_size(), 0U);
    far_receives(sent.size());
    EXPECT_TRUE(far_.received() == sent);
}

TEST_P(Terminal, Q337_two_transports_read_and_write_the_same_one) {
    const int slave = open_slave();
    const int copy = ::fcntl(slave, F_DUPFD_CLOEXEC, 0);
    Recorder& writer = make_recorder();
    read_from(slave, told_);
    Transport& out = write_to(copy, writer);
    told_.on_data = [&](Bytes data) { out.write(data); };
    far_.write("echo");
    far_receives(4);
    EXPECT_EQ(far_.received(), "echo");
    far_.close();
    run_until_lost();
    out.close();
    ASSERT_TRUE(run_until([&] { return writer.lost(); }));
}

TEST_P(Terminal, Q337_writing_after_the_master_is_gone_ends_with_its_error) {
    Transport& transport = write_to(open_slave(), told_);
    far_.close();
    transport.write("x");
    run_until_lost();
    EXPECT_EQ(told_.reason(), std::errc::io_error);
}

TEST_P(Terminal, whoever_shares_it_keeps_it_blocking) {
    const int slave = open_slave();
    const PipeEnd unshared(::open(::ttyname(slave), O_RDWR | O_NOCTTY | O_CLOEXEC));
    const int copy = ::fcntl(slave, F_DUPFD_CLOEXEC, 0);
    Transport& transport = read_from(slave, told_);
    EXPECT_EQ(transport.get_extra_info(extra::pipe).fd(), slave);
    EXPECT_TRUE(is_nonblocking(slave));
    EXPECT_FALSE(is_nonblocking(copy));
    EXPECT_TRUE(has_close_on_exec(slave));
    transport.close();
    run_until_lost();
    run_idle();
    EXPECT_FALSE(descriptor_is_open(slave));
    ::close(copy);
}

TEST_P(Terminal, a_masters_end_is_shared_and_blocking_again_afterwards) {
    const auto [master, slave] = make_terminal();
    far_ = PipeEnd(slave);
    const int copy = ::fcntl(master, F_DUPFD_CLOEXEC, 0);
    Transport& transport = write_to(master, told_);
    EXPECT_TRUE(is_nonblocking(copy));
    transport.write("typed");
    far_receives(5);
    transport.close();
    run_until_lost();
    run_idle();
    EXPECT_FALSE(is_nonblocking(copy));
    ::close(copy);
}

}  // namespace
}  // namespace sluice::test
