// Sending files when a system call fails or falls short on command: L210, L211 and L217 of
// semantics.md, F10 and F11 of reliability.md; and how many calls a file takes when none does.
//
// The program is linked with wrapped calls; see support/syscall_counter.hpp. Only the loop's thread is
// counted and disturbed, so a call of pread seen here is one that could have held the loop.
#include "support/patience.hpp"
#include "support/sendfile_fixture.hpp"
#include "support/syscall_counter.hpp"

#include <chrono>
#include <thread>

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluice::test {
namespace {

class SendfileFaults : public SendfileTest {
protected:
    void open_counted(PairOptions options = {}) {
        open_quietly(options);
        fd_ = fd_of(transport());
        counter_.clear();
    }
    /// From here on the library has to read files by itself.
    void refuse_sendfile() { counter_.fail_all("sendfile", EINVAL); }
    /// Nothing is in the page cache, so that threads read.
    void chill_files() { counter_.fail_all("preadv2", EAGAIN); }
    [[nodiscard]] std::size_t bytes_sent() const {
        std::size_t sum = 0;
        for (const SystemCall& call : counter_.sent(fd_)) {
            sum += call.result > 0 ? static_cast<std::size_t>(call.result) : 0;
        }
        return sum;
    }
    void expect_arrived(const std::string& content) {
        peer_receives(content.size());
        EXPECT_TRUE(peer().take_received() == content);
        EXPECT_EQ(counter_.count("pread"), 0U) << "the loop could have been held";
    }

    SyscallCounter counter_;
    int fd_ = -1;
};
INSTANTIATE_TEST_SUITE_P(Every, SendfileFaults, testing::ValuesIn(conformance_cases()), case_name);

class SendfileFaultsPlain : public SendfileFaults {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileFaultsPlain,
                         testing::ValuesIn(conformance_cases_without_tls()), case_name);

class SendfileFaultsTcp : public SendfileFaults {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileFaultsTcp, testing::ValuesIn(conformance_cases_over_tcp()),
                         case_name);

class SendfileFaultsTls : public SendfileFaults {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileFaultsTls, testing::ValuesIn(conformance_cases_with_tls()),
                         case_name);

// ---- no fault ----

TEST_P(SendfileFaultsPlain, a_header_and_its_file_leave_in_two_calls_and_share_a_packet) {
    open_counted();
    const TempFile file(pattern(50'000));
    in_callback([&] {
        transport().write("a header");
        send(file.fd());
        EXPECT_EQ(counter_.sends(fd_) + counter_.count("sendfile", fd_), 0U);
    });
    ASSERT_EQ(counter_.sends(fd_), 1U);
    EXPECT_NE(counter_.sent(fd_)[0].flags & MSG_MORE, 0);
    EXPECT_EQ(counter_.count("sendfile", fd_), 1U);
    EXPECT_EQ(counter_.count("preadv2"), 0U);
    expect_arrived("a header" + pattern(50'000));
    counter_.clear();
    transport().write(pattern(50'000));
    EXPECT_EQ(counter_.sent(fd_).at(0).flags & MSG_MORE, 0);
}

TEST_P(SendfileFaultsTcp, a_large_file_fills_its_packets_and_its_last_one_does_not_wait) {
    open_counted({.small_buffers = true});
    const auto corked = [&] {
        int value = -1;
        socklen_t size = sizeof value;
        EXPECT_EQ(::getsockopt(fd_, IPPROTO_TCP, TCP_CORK, &value, &size), 0);
        return value;
    };
    const TempFile file(pattern(300'001));
    send(file.fd(), 0, 50'000);
    EXPECT_EQ(corked(), 0) << "a small file is not worth it";
    send(file.fd());
    expect_arrived(pattern(50'000) + pattern(300'001));
    EXPECT_EQ(corked(), 0);
    send(file.fd());
    EXPECT_EQ(corked(), 1);
    expect_arrived(pattern(300'001));
    EXPECT_EQ(corked(), 0);
    refuse_sendfile();
    send(file.fd());
    EXPECT_EQ(corked(), 0) << "what is read here may take its time";
    expect_arrived(pattern(300'001));
}

TEST_P(SendfileFaultsTls, a_header_and_a_small_file_in_memory_are_read_and_sent_at_once) {
    open_counted();
    const TempFile file(pattern(50'000));
    in_callback([&] {
        transport().write("a header");
        send(file.fd());
    });
    if (counter_.bytes("preadv2") == 0) {
        // Read by a thread: this file system cannot tell what is in memory.
        expect_arrived("a header" + pattern(50'000));
        GTEST_SKIP() << "no RWF_NOWAIT here";
    }
    EXPECT_EQ(counter_.sends(fd_), 1U);
    EXPECT_EQ(counter_.count("preadv2"), 1U);
    expect_arrived("a header" + pattern(50'000));
}

// ---- the kernel does not send this file ----

TEST_P(SendfileFaultsPlain, L210_L217_refused_at_the_first_call_it_is_sent_in_pieces) {
    open_counted({.small_buffers = true});
    const std::string content = pattern(700'000);
    const TempFile file(content);
    for (const int error : {EINVAL, ENOSYS, EOPNOTSUPP}) {
        SCOPED_TRACE(error);
        counter_.clear();
        counter_.fail_next("sendfile", fd_, error);
        transport().write("before");
        const Sending& refused = send(file.fd());
        transport().write("between");
        const Sending& other = send(file.fd(), 0, 100);
        expect_sent(refused, content.size());
        expect_sent(other, 100);
        EXPECT_GT(counter_.count("preadv2"), 1U);
        expect_arrived("before" + content + "between" + content.substr(0, 100));
    }
}

TEST_P(SendfileFaultsPlain, L211_refused_without_the_fallback_ends_the_connection_saying_so) {
    open_counted();
    refuse_sendfile();
    const TempFile file("content");
    const Sending& sending = send(file.fd(), 0, {}, {.fallback = false});
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, std::errc::operation_not_supported);
    EXPECT_EQ(sending.result.sent, 0U);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::operation_not_supported);
}

TEST_P(SendfileFaultsPlain, L217_a_later_refusal_is_an_error_and_tells_what_went) {
    open_counted();
    const TempFile file(pattern(100'000));
    counter_.shorten_next_send(fd_, 30'000);
    const Sending& sending = send(file.fd());
    counter_.fail_next("sendfile", fd_, EINVAL);
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, std::errc::invalid_argument);
    EXPECT_EQ(sending.result.sent, 30'000U);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::invalid_argument);
    peer().receive_available();
    EXPECT_TRUE(peer().received() == pattern(100'000).substr(0, 30'000));
}

TEST_P(SendfileFaultsPlain, an_error_of_the_disk_ends_the_connection_with_it) {
    open_counted();
    const TempFile file(pattern(100'000));
    counter_.fail_next("sendfile", fd_, EIO);
    const Sending& sending = send(file.fd());
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, std::errc::io_error);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::io_error);
}

// ---- reading it ----

TEST_P(SendfileFaults, F11_interruptions_refusals_and_short_counts_leave_every_byte_in_place) {
    open_counted({.small_buffers = true});
    const std::string content = pattern(300'000);
    const TempFile file(content);
    const Sending& sending = send(file.fd(), 0, {}, chunks(10'000));
    int round = 0;
    ASSERT_TRUE(run_until([&] {
        switch (++round % 6) {
            case 0:
                counter_.fail_next("sendfile", EINTR);
                counter_.fail_next("preadv2", EINTR);
                break;
            case 1:
                counter_.fail_next("sendfile", EAGAIN);
                counter_.fail_next("preadv2", EAGAIN);
                break;
            case 2:
                counter_.shorten_next_send(fd_, 1);
                counter_.shorten_next_read(1);
                break;
            case 3:
                counter_.shorten_next_send(fd_, 4097);
                counter_.shorten_next_read(4097);
                break;
            case 4:
                counter_.fail_next("sendmsg", fd_, EAGAIN);
                counter_.fail_next("send", fd_, EINTR);
                break;
            default:
                break;
        }
        peer().receive_at_most(50'000);
        return sending.done();
    }));
    EXPECT_EQ(sending.result.error, std::error_code());
    EXPECT_EQ(sending.result.sent, content.size());
    counter_.fail_all("preadv2", 0);
    expect_arrived(content);
}

TEST_P(SendfileFaults, a_file_that_is_not_in_memory_is_read_elsewhere_and_never_by_the_loop) {
    open_counted({.small_buffers = true});
    refuse_sendfile();
    chill_files();
    const std::string content = pattern(700'000);
    const TempFile file(content);
    transport().write("before");
    const Sending& first = send(file.fd());
    transport().write("between");
    const Sending& second = send(file.fd(), 7, 100, chunks(13));
    expect_sent(first, content.size());
    expect_sent(second, 100);
    EXPECT_EQ(counter_.bytes("preadv2"), 0U);
    expect_arrived("before" + content + "between" + content.substr(7, 100));
}

TEST_P(SendfileFaults, a_file_system_without_non_blocking_reads_is_read_elsewhere) {
    open_counted();
    refuse_sendfile();
    counter_.fail_all("preadv2", EOPNOTSUPP);
    const std::string content = pattern(mebibyte);
    const TempFile file(content);
    expect_sent(send(file.fd()), content.size());
    expect_arrived(content);
}

TEST_P(SendfileFaults, F10_a_slow_reader_costs_less_than_a_mebibyte) {
    open_counted({.small_buffers = true});
    refuse_sendfile();
    const TempFile file(pattern(8 * mebibyte));
    if (const TempFile probe("x"); true) {
        expect_sent(send(probe.fd()), 1);
        peer_receives(1);
        static_cast<void>(peer().take_received());
    }
    if (counter_.bytes("preadv2") == 0) {
        GTEST_SKIP() << "no RWF_NOWAIT here: what threads read is not counted";
    }
    counter_.clear();
    const Sending& sending = send(file.fd());
    run_idle();
    EXPECT_LE(counter_.bytes("preadv2"), bytes_sent() + mebibyte - 64 * 1024);
    EXPECT_FALSE(sending.done());
    for (int reads = 0; reads < 20; ++reads) {
        peer().receive_at_most(100'000);
        run_idle();
        EXPECT_LE(counter_.bytes("preadv2"), bytes_sent() + mebibyte - 64 * 1024);
    }
    // The rest of it is of no interest.
    transport().abort();
    ASSERT_TRUE(wait_for(sending, false));
}

TEST_P(SendfileFaults, an_error_of_a_read_ends_the_connection_with_it) {
    open_counted();
    refuse_sendfile();
    const TempFile file(pattern(3 * mebibyte));
    counter_.fail_next("preadv2", EIO);
    const Sending& sending = send(file.fd());
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, std::errc::io_error);
    EXPECT_EQ(sending.result.sent, 0U);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::io_error);
}

TEST_P(SendfileFaults, a_file_that_shrinks_while_threads_read_it_is_truncated) {
    open_counted({.small_buffers = true});
    refuse_sendfile();
    chill_files();
    const TempFile file(pattern(3 * mebibyte));
    const Sending& sending = send(file.fd());
    file.resize(1000);
    ASSERT_TRUE(wait_for(sending, true));
    EXPECT_EQ(sending.result.error, Error::file_truncated);
    run_until_lost();
}

TEST_P(SendfileFaults, a_transport_that_is_gone_when_the_read_comes_back_is_not_touched) {
    open_counted();
    refuse_sendfile();
    chill_files();
    const TempFile file(pattern(3 * mebibyte));
    const Sending& first = send(file.fd());
    const Sending& second = send(file.fd());
    transport().abort();
    recorder().forget_transport();
    run_until_lost();
    ASSERT_TRUE(wait_for(second, false));
    EXPECT_EQ(first.result.error, std::errc::connection_aborted);
    EXPECT_EQ(first.result.sent, 0U);
}

TEST_P(SendfileFaults, close_waits_for_a_file_that_a_thread_is_reading) {
    open_counted();
    refuse_sendfile();
    chill_files();
    const std::string content = pattern(mebibyte);
    const TempFile file(content);
    const Sending& sending = send(file.fd());
    transport().close();
    EXPECT_TRUE(peer_receives_everything() == content);
    run_until_lost();
    expect_sent(sending, content.size());
}

TEST_P(SendfileFaults, a_loop_destroyed_amid_a_read_leaves_the_thread_its_descriptor) {
    open_counted();
    refuse_sendfile();
    chill_files();
    const TempFile file(pattern(3 * mebibyte));
    const Sending& sending = send(file.fd());
    abandon_reads();
    destroy_loop();
    EXPECT_FALSE(sending.done());
    // Closed by whoever comes last, which may be the thread.
    const auto deadline = std::chrono::steady_clock::now() + patience();
    while (file.descriptors() > 1 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    EXPECT_EQ(file.descriptors(), 1U);
}

TEST_P(SendfileFaults,
       after_the_executor_was_shut_down_only_a_backend_that_reads_sends_cold_files) {
    open_counted();
    refuse_sendfile();
    chill_files();
    const std::string content = pattern(700'000);
    const TempFile file(content);
    end_reads();
    const Sending& sending = send(file.fd());
    if (backend_reads_files()) {
        expect_sent(sending, content.size());
        expect_arrived(content);
        return;
    }
    ASSERT_TRUE(wait_for(sending, false));
    EXPECT_EQ(sending.result.error, std::errc::operation_canceled);
    run_until_lost();
}

}  // namespace
}  // namespace sluice::test
