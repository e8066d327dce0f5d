// Behaviour that needs a system call to fail or to fall short on command: B20, B22, E63, E64, E66,
// F82 and H120 of semantics.md, B4 of reliability.md.
//
// The program is linked with wrapped socket calls; see support/syscall_counter.hpp.
#include "support/conformance.hpp"
#include "support/syscall_counter.hpp"

namespace sluice::test {
namespace {

// What a loop makes in 30 ms that waits, on a busy machine; one that spins makes as many as the case lets it.
constexpr unsigned few_waits = 100;

class Faults : public ConformanceTest {
protected:
    void open_counted(PairOptions options = {}) {
        open_quietly(options);
        fd_ = fd_of(transport());
        counter_.clear();
    }

    /// What is unsent is this much, and with TLS what its records add to that: a few dozen bytes
    /// each.
    void expect_unsent(const Transport& transport, std::size_t byte_count) const {
        const std::size_t size = transport.get_write_buffer_size();
        EXPECT_GE(size, byte_count);
        EXPECT_LE(size, uses_tls() ? byte_count + 200 : byte_count);
    }

    SyscallCounter counter_;
    int fd_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Every, Faults, testing::ValuesIn(conformance_cases()), case_name);

class FaultsHalves : public Faults {};

INSTANTIATE_TEST_SUITE_P(Every, FaultsHalves,
                         testing::ValuesIn(conformance_cases_with_half_close()), case_name);

/// Those that call recv(2). What io_uring receives by itself fails in completions_sim_test.cpp.
std::vector<ConformanceCase> cases_that_call_recv() {
    std::vector<ConformanceCase> cases = conformance_cases();
    std::erase_if(cases, [](const ConformanceCase& each) {
        const bool by_the_ring = is_plain(each.transport)
                                     ? each.protocol == ProtocolKind::simple
                                     : each.transport == TransportKind::tls_over_transport;
        return each.backend == Backend::io_uring && by_the_ring;
    });
    return cases;
}

class FaultsOfReads : public Faults {};

INSTANTIATE_TEST_SUITE_P(Every, FaultsOfReads, testing::ValuesIn(cases_that_call_recv()),
                         case_name);

TEST_P(FaultsOfReads, B020_a_read_that_would_block_delivers_nothing_and_is_tried_again) {
    open_counted();
    counter_.fail_next("recv", fd_, EAGAIN);
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    EXPECT_EQ(recorder().trace(), "D3");
    EXPECT_EQ(counter_.count("recv", fd_), 2U);
}

TEST_P(Faults, B020_an_interrupted_read_delivers_nothing_and_is_tried_again) {
    open_counted();
    counter_.fail_next("recv", fd_, EINTR);
    counter_.fail_next("recv", fd_, EINTR);
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    EXPECT_EQ(recorder().trace(), "D3");
}

TEST_P(FaultsOfReads, B022_H120_any_error_of_a_read_is_the_reason_and_not_worth_a_report) {
    for (const int error : {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, EPIPE, ECONNABORTED, ENOMEM}) {
        SCOPED_TRACE(std::system_category().message(error));
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        events.clear_trace();
        counter_.fail_next("recv", fd_of(connection.transport()), error);
        connection.peer().send("abc");
        ASSERT_TRUE(run_until([&] { return events.lost(); }));
        EXPECT_EQ(events.count('D') + events.count('E'), 0U);
        EXPECT_EQ(events.reason(), std::error_code(error, std::system_category()));
        EXPECT_TRUE(take_reports().empty());
    }
}

TEST_P(Faults, E063_a_short_write_leaves_exactly_the_tail_pending) {
    open_counted();
    counter_.shorten_next_send(fd_, 30);
    const std::string bytes = pattern(100);
    transport().write(bytes);
    expect_unsent(transport(), 70);
    peer_receives(100);
    EXPECT_EQ(peer().received(), bytes);
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Faults, E063_the_tail_of_every_ownership_form_is_the_right_one) {
    static const std::string bytes = pattern(10'000);
    for (int form = 0; form < 3; ++form) {
        SCOPED_TRACE(form);
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        counter_.shorten_next_send(fd_of(connection.transport()), 1234);
        if (form == 0) {
            connection.transport().write(bytes);
        } else if (form == 1) {
            connection.transport().write(Buffer::copy(bytes));
        } else {
            connection.transport().write_static(bytes);
        }
        expect_unsent(connection.transport(), bytes.size() - 1234);
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().received().size() >= bytes.size();
        }));
        EXPECT_TRUE(connection.peer().received() == bytes);
    }
}

TEST_P(Faults, E064_a_write_that_would_block_is_queued_whole) {
    open_counted();
    counter_.fail_next("send", fd_, EAGAIN);
    transport().write("hello");
    expect_unsent(transport(), 5);
    EXPECT_FALSE(transport().is_closing());
    peer_receives(5);
    EXPECT_EQ(peer().received(), "hello");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
}

TEST_P(Faults, E064_an_interrupted_write_is_repeated) {
    open_counted();
    counter_.fail_next("send", fd_, EINTR);
    transport().write("hello");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    peer_receives(5);
    EXPECT_EQ(peer().received(), "hello");
}

TEST_P(Faults, E066_H120_any_error_of_a_write_is_the_reason_and_never_thrown_or_reported) {
    for (const int error : {EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS}) {
        for (const bool inside : {false, true}) {
            SCOPED_TRACE(std::system_category().message(error) + (inside ? ", inside" : ""));
            if (inside && backend_sends()) {
                continue;  // no send() to fail
            }
            Recorder& events = make_recorder();
            TransportPair& connection = another(events);
            open(connection, {});
            events.clear_trace();
            counter_.fail_next("send", fd_of(connection.transport()), error);
            const auto write = [&] {
                EXPECT_NO_THROW(connection.transport().write("x"));
                EXPECT_NO_THROW(connection.transport().write("y"));
                EXPECT_EQ(events.trace(), "");
            };
            inside ? in_callback(write) : write();
            EXPECT_TRUE(connection.transport().is_closing());
            EXPECT_EQ(connection.transport().get_write_buffer_size(), 0U);
            ASSERT_TRUE(run_until([&] { return events.lost(); }));
            EXPECT_EQ(events.count('L'), 1U);
            EXPECT_EQ(events.reason(), std::error_code(error, std::system_category()));
            EXPECT_TRUE(take_reports().empty());
        }
    }
}

TEST_P(Faults, E066_an_error_of_a_gathering_write_is_the_reason_too) {
    open_counted();
    counter_.fail_next("sendmsg", fd_, ETIMEDOUT);
    counter_.fail_next("send", fd_, ETIMEDOUT);
    const std::string body = pattern(10'000);
    EXPECT_NO_THROW(transport().writelines({as_bytes("header"), as_bytes(body)}));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(ETIMEDOUT)");
}

TEST_P(Faults, E066_an_error_while_flushing_after_close_is_the_reason) {
    open_counted({.small_buffers = true});
    plug();
    transport().close();
    counter_.fail_next("send", fd_, ETIMEDOUT);
    counter_.fail_next("sendmsg", fd_, ETIMEDOUT);
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return recorder().lost();
    }));
    EXPECT_EQ(recorder().trace(), "L(ETIMEDOUT)");
}

TEST_P(Faults, H123_the_first_of_two_errors_is_the_reason) {
    open_counted();
    counter_.fail_next("send", fd_, ETIMEDOUT);
    counter_.fail_next("recv", fd_, ECONNRESET);
    peer().send("abc");
    ASSERT_TRUE(wait_for_arrival(fd_, 3));
    transport().write("x");
    transport().write("y");
    transport().abort();
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(ETIMEDOUT)");
}

TEST_P(Faults, F082_a_gathering_write_cut_anywhere_continues_at_the_right_byte) {
    const std::vector<std::string> texts{pattern(1000, 1), pattern(1, 2), pattern(3000, 3),
                                         pattern(5000, 4)};
    std::string whole;
    std::vector<Bytes> pieces;
    std::vector<Buffer> buffers;
    for (const std::string& text : texts) {
        whole += text;
        pieces.push_back(as_bytes(text));
        buffers.push_back(Buffer::copy(text));
    }
    const std::size_t cuts[] = {0, 1, 999, 1000, 1001, 1002, 4000, 4001, 4002, whole.size() - 1};
    for (const bool owned : {false, true}) {
        for (const std::size_t cut : cuts) {
            SCOPED_TRACE(testing::Message() << cut << (owned ? " owned" : " copied"));
            Recorder& events = make_recorder();
            TransportPair& connection = another(events);
            open(connection, {});
            const int fd = fd_of(connection.transport());
            if (cut == 0) {
                counter_.fail_next("sendmsg", fd, EAGAIN);
                counter_.fail_next("send", fd, EAGAIN);
            } else {
                counter_.shorten_next_send(fd, cut);
            }
            if (owned) {
                connection.transport().writelines(std::span(buffers));
            } else {
                connection.transport().writelines(std::span(pieces));
            }
            expect_unsent(connection.transport(), whole.size() - cut);
            ASSERT_TRUE(run_until([&] {
                connection.peer().receive_available();
                return connection.peer().received().size() >= whole.size();
            }));
            EXPECT_TRUE(connection.peer().received() == whole);
        }
    }
}

TEST_P(Faults, F082_a_flush_of_gathered_bytes_cut_anywhere_continues_at_the_right_byte) {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{500}, std::size_t{999}}) {
        SCOPED_TRACE(cut);
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        counter_.shorten_next_send(fd_of(connection.transport()), cut);
        const std::string bytes = pattern(1000);
        in_callback([&] {
            connection.transport().write(std::string_view(bytes).substr(0, 300));
            connection.transport().write(std::string_view(bytes).substr(300));
        });
        connection.transport().write("behind");
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().received().size() >= 1006;
        }));
        EXPECT_EQ(connection.peer().received(), bytes + "behind");
    }
}

TEST_P(Faults, F082_many_short_writes_in_a_row_keep_the_order) {
    open_counted();
    for (std::size_t i = 1; i <= 200; ++i) {
        counter_.shorten_next_send(fd_, i);
    }
    const std::string bytes = pattern(100'000);
    for (std::size_t at = 0; at < bytes.size(); at += 10'000) {
        const std::string_view piece = std::string_view(bytes).substr(at, 10'000);
        transport().writelines({as_bytes(piece.substr(0, 17)), as_bytes(piece.substr(17))});
    }
    transport().close();
    EXPECT_TRUE(peer_receives_everything() == bytes);
}

TEST_P(FaultsHalves, D051_shutdown_on_a_connection_that_is_gone_is_not_an_error) {
    open_counted();
    counter_.fail_next("shutdown", fd_, ENOTCONN);
    EXPECT_NO_THROW(transport().write_eof());
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    EXPECT_TRUE(take_reports().empty());
}

// epoll reports EPOLLERR and EPOLLHUP whether they are wanted or not (epoll_ctl(2)): a loop that
// does nothing about them spins.
TEST_P(Faults, rel_B4_a_hang_up_while_paused_does_not_spin) {
    open_counted();
    transport().pause_reading();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_));
    run_idle();
    counter_.clear();
    bool done = false;
    loop().call_later(std::chrono::milliseconds(30), [&] { done = true; });
    for (int i = 0; i < 1000 && !done; ++i) {
        loop().run_once(std::nullopt);
    }
    EXPECT_TRUE(done);
    EXPECT_LE(counter_.count("epoll_wait"), few_waits);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(FaultsHalves, rel_B4_an_end_that_was_kept_open_does_not_spin) {
    recorder().on_eof = [] { return true; };
    open_counted();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    run_idle();
    counter_.clear();
    bool done = false;
    loop().call_later(std::chrono::milliseconds(30), [&] { done = true; });
    for (int i = 0; i < 1000 && !done; ++i) {
        loop().run_once(std::nullopt);
    }
    EXPECT_TRUE(done);
    EXPECT_LE(counter_.count("epoll_wait"), few_waits);
}

TEST_P(Faults, rel_B4_a_hang_up_while_a_closed_transport_flushes_ends_it) {
    open_counted({.small_buffers = true});
    plug();
    transport().close();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_));
    counter_.clear();
    run_until_lost();
    EXPECT_LE(counter_.count("epoll_wait"), few_waits);
    EXPECT_EQ(recorder().count('L'), 1U);
}

}  // namespace
}  // namespace sluice::test
