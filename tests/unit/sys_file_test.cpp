// The file calls of the seam to the system, on real files: what they answer, and that sendfile never
// raises SIGPIPE nor takes one that is not its own.
#include <sluice/detail/sys.hpp>

#include "support/peer.hpp"
#include "support/temp_file.hpp"

#include <array>
#include <csignal>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

namespace sluice::test {
namespace {

namespace sys = detail::sys;

sigset_t pipe_signal() {
    sigset_t signal;
    ::sigemptyset(&signal);
    ::sigaddset(&signal, SIGPIPE);
    return signal;
}

bool is_pending() {
    sigset_t pending;
    ::sigpending(&pending);
    return ::sigismember(&pending, SIGPIPE) == 1;
}

bool is_blocked() {
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    return ::sigismember(&blocked, SIGPIPE) == 1;
}

class SysFile : public testing::Test {
protected:
    // A signal that gets through ends the program.
    SysFile() {
        struct sigaction action{};
        action.sa_handler = SIG_DFL;
        ::sigaction(SIGPIPE, &action, &action_before_);
        ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_before_);
    }
    ~SysFile() override {
        ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
        ::sigaction(SIGPIPE, &action_before_, nullptr);
    }

    /// Sends into a connection that is over.
    std::error_code send_into_nothing() {
        auto [ours, theirs] = connected_peers();
        theirs.reset();
        EXPECT_TRUE(wait_for_error(ours.fd()));
        static_cast<void>(sys::take_error(ours.fd()));
        const detail::IoResult sent = sys::sendfile(ours.fd(), file_.fd(), 0, 5);
        EXPECT_FALSE(sent.ok() || sent.blocked());
        return sent.error();
    }

    TempFile file_{"01234"};

private:
    struct sigaction action_before_{};
    sigset_t mask_before_{};
};

TEST_F(SysFile, sendfile_to_a_broken_connection_is_an_error_and_no_signal) {
    EXPECT_EQ(send_into_nothing(), std::errc::broken_pipe);
    EXPECT_FALSE(is_pending());
    EXPECT_FALSE(is_blocked()) << "the mask was not restored";
}

TEST_F(SysFile, where_the_signal_is_blocked_none_is_left_behind) {
    const sigset_t signal = pipe_signal();
    ::pthread_sigmask(SIG_BLOCK, &signal, nullptr);
    EXPECT_EQ(send_into_nothing(), std::errc::broken_pipe);
    EXPECT_FALSE(is_pending());
    EXPECT_TRUE(is_blocked());
}

TEST_F(SysFile, a_signal_that_was_waiting_before_is_left_to_the_program) {
    const sigset_t signal = pipe_signal();
    ::pthread_sigmask(SIG_BLOCK, &signal, nullptr);
    ::pthread_kill(::pthread_self(), SIGPIPE);
    ASSERT_TRUE(is_pending());
    EXPECT_EQ(send_into_nothing(), std::errc::broken_pipe);
    EXPECT_TRUE(is_pending());
    const timespec at_once{};
    EXPECT_EQ(::sigtimedwait(&signal, nullptr, &at_once), SIGPIPE);
}

TEST_F(SysFile, sendfile_gives_zero_at_the_end_and_takes_no_more_than_is_there) {
    auto [ours, theirs] = connected_peers();
    EXPECT_EQ(sys::sendfile(ours.fd(), file_.fd(), 5, 10).value(), 0U);
    EXPECT_EQ(sys::sendfile(ours.fd(), file_.fd(), 3, 10).value(), 2U);
    ASSERT_TRUE(wait_for_arrival(theirs.fd(), 2));
    theirs.receive_available();
    EXPECT_EQ(theirs.received(), "34");
    EXPECT_EQ(file_.position(), 0);
}

TEST_F(SysFile, read_file_reads_at_its_offset_and_gives_zero_at_the_end) {
    std::array<std::byte, 10> room{};
    const detail::IoResult count = sys::read_file(file_.fd(), 2, room, true);
    ASSERT_TRUE(count.ok());
    EXPECT_EQ(as_text(Bytes(room).first(count.value())), "234");
    EXPECT_EQ(sys::read_file(file_.fd(), 5, room, true).value(), 0U);
    EXPECT_EQ(file_.position(), 0);
}

TEST_F(SysFile, a_read_that_may_not_block_gives_bytes_or_says_that_it_would) {
    std::array<std::byte, 10> room{};
    const detail::IoResult count = sys::read_file(file_.fd(), 0, room, false);
    ASSERT_TRUE(count.ok() || count.blocked());
    if (count.ok()) {
        EXPECT_EQ(as_text(Bytes(room).first(count.value())),
                  std::string("01234").substr(0, count.value()));
    }
}

TEST_F(SysFile, file_status_tells_what_a_descriptor_is) {
    const sys::FileStatus status = sys::file_status(file_.fd()).value();
    EXPECT_TRUE(status.regular && status.readable && !status.directory);
    EXPECT_EQ(status.size, 5);
    const int write_only = file_.reopen(O_WRONLY);
    EXPECT_FALSE(sys::file_status(write_only).value().readable);
    ::close(write_only);
    EXPECT_EQ(sys::file_status(write_only).error(), std::errc::bad_file_descriptor);
}

TEST_F(SysFile, a_duplicate_is_closed_on_exec) {
    const int copy = sys::duplicate(file_.fd()).value();
    EXPECT_TRUE(has_close_on_exec(copy));
    EXPECT_EQ(file_.descriptors(), 2U);
    ::close(copy);
    EXPECT_EQ(sys::duplicate(copy).error(), std::errc::bad_file_descriptor);
}

}  // namespace
}  // namespace sluice::test
