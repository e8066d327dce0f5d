// Golden traces: the callback sequences that were measured on two asyncio implementations
// (semantics.md 2.12), one case per row that concerns a plain stream, with the differences that
// DESIGN.md decides.
//
// A trace is what Recorder writes: M made, "returns" create_* has given its result, Dn n bytes,
// E end of stream, P and R pause and resume, L(reason) lost. The table's rows about TLS, start_tls,
// datagrams, pipes, sendfile and servers belong to those; the rows about bad argument types
// (strings, integers, non-contiguous views, generators) are ruled out by the C++ types.
#include "support/conformance.hpp"

#include <stdexcept>

namespace sluice::test {
namespace {

constexpr std::size_t megabyte = 1'000'000;

class Traces : public ConformanceTest {
protected:
    // A connection with so much written that the kernel refuses the rest.
    void open_with_pending(std::size_t byte_count) {
        open_quietly({.small_buffers = true});
        transport().write(pattern(byte_count));
        ASSERT_GT(transport().get_write_buffer_size(), limits::write_high_water_bytes);
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Traces, testing::ValuesIn(conformance_cases()), case_name);

class HalfTraces : public Traces {};

INSTANTIATE_TEST_SUITE_P(Every, HalfTraces, testing::ValuesIn(conformance_cases_with_half_close()),
                         case_name);

TEST_P(Traces, two_bytes_sent_at_once_arrive_after_create_has_returned) {
    pair().start({.via = Via::adopt});
    peer().send("ab");
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "M returns D2 E L(None)");
}

TEST_P(Traces, close_in_made_loses_the_connection_and_create_returns_all_the_same) {
    recorder().on_made = [](Transport& transport) { transport.close(); };
    open();
    run_until_lost();
    // TLS closes with an exchange, which takes longer than the caller's turn.
    EXPECT_EQ(recorder().trace(), uses_tls() ? "M returns L(None)" : "M L(None) returns");
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(Traces, abort_in_made_loses_the_connection_and_create_returns_all_the_same) {
    recorder().on_made = [](Transport& transport) { transport.abort(); };
    open();
    run_until_lost();
    // After start_tls it is the caller who makes connection_made.
    EXPECT_EQ(recorder().trace(),
              is_direct(GetParam().transport) ? "M L(None) returns" : "M returns L(None)");
}

TEST_P(Traces, an_exception_in_made_is_reported_and_the_connection_lives) {
    recorder().on_made = [](Transport&) { throw std::runtime_error("made"); };
    open();
    peer().send("a");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "a"; }));
    EXPECT_EQ(recorder().trace(), "M returns D1");
    EXPECT_FALSE(transport().is_closing());
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "made");
}

TEST_P(Traces, pause_in_made_holds_data_back_until_resume) {
    recorder().on_made = [](Transport& transport) { transport.pause_reading(); };
    pair().start({.via = Via::adopt});
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return pair().ready(); }));
    if (!backend_receives()) {
        ASSERT_TRUE(wait_for_arrival(fd_of(transport()), 3));
    }
    run_idle();
    EXPECT_EQ(recorder().trace(), "M returns");
    transport().resume_reading();
    EXPECT_EQ(recorder().trace(), "M returns") << "delivered inside resume_reading()";
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    EXPECT_EQ(recorder().trace(), "M returns D3");
}

TEST_P(Traces, an_exception_in_data_received_loses_the_connection_with_it) {
    recorder().on_data = [](Bytes) { throw std::runtime_error("data"); };
    open();
    peer().send("a");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "M returns D1 L(callback_failed)");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "data");
    EXPECT_TRUE(reports[0].has_transport);
    EXPECT_TRUE(reports[0].has_protocol);
}

TEST_P(Traces, an_exception_in_eof_received_loses_the_connection_with_it) {
    recorder().on_eof = []() -> bool { throw std::runtime_error("eof"); };
    open();
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "M returns E L(callback_failed)");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "eof");
}

TEST_P(Traces, an_exception_in_connection_lost_is_only_reported) {
    recorder().on_lost = [](std::error_code) { throw std::runtime_error("lost"); };
    open();
    transport().close();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "M returns L(None)");
    EXPECT_EQ(peer_receives_everything(), "");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "lost");
}

TEST_P(Traces, an_exception_in_pause_writing_is_only_reported) {
    recorder().on_pause = [] { throw std::runtime_error("pause"); };
    open_quietly({.small_buffers = true});
    EXPECT_NO_THROW(transport().write(pattern(megabyte)));
    EXPECT_EQ(recorder().trace(), "P");
    EXPECT_FALSE(transport().is_closing());
    peer_receives(megabyte);
    EXPECT_EQ(recorder().trace(), "P R");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "pause");
}

TEST_P(Traces, end_of_stream_closes_by_default) {
    open_quietly();
    peer().send("abc");
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "D3 E L(None)");
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(HalfTraces, end_of_stream_can_be_survived_and_a_late_write_reaches_the_peer) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    peer().send("abc");
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    run_idle();
    EXPECT_EQ(recorder().merged_trace(), "D3 E");
    EXPECT_FALSE(transport().is_closing());
    transport().write("late");
    transport().close();
    EXPECT_EQ(peer_receives_everything(), "late");
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "D3 E L(None)");
}

TEST_P(Traces, a_write_after_close_with_nothing_pending_puts_nothing_on_the_wire) {
    open_quietly();
    transport().close();
    transport().write("late");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(Traces, a_write_after_close_with_data_pending_is_sent) {
    open_with_pending(megabyte);
    transport().close();
    const std::size_t pending = transport().get_write_buffer_size();
    transport().write("last");
    EXPECT_EQ(transport().get_write_buffer_size(), pending + 4);
    EXPECT_EQ(peer_receives_everything(), pattern(megabyte) + "last");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P R L(None)");
}

TEST_P(HalfTraces, every_kind_of_write_after_write_eof_is_misuse_and_the_peer_may_still_send) {
    open_quietly();
    transport().write_eof();
    EXPECT_THROW(transport().write("a"), std::logic_error);
    EXPECT_THROW(transport().writelines({as_bytes("a")}), std::logic_error);
    EXPECT_THROW(transport().write(""), std::logic_error);
    EXPECT_EQ(peer_receives_everything(), "");
    peer().send("hello");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "hello"; }));
    EXPECT_EQ(recorder().merged_trace(), "D5");
}

TEST_P(HalfTraces, write_eof_after_close_and_after_loss_is_ignored) {
    open_quietly();
    transport().close();
    EXPECT_NO_THROW(transport().write_eof());
    run_until_lost();
    EXPECT_NO_THROW(transport().write_eof());
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(HalfTraces, write_eof_and_close_with_data_pending_send_everything) {
    open_with_pending(megabyte);
    transport().write_eof();
    transport().close();
    EXPECT_EQ(peer_receives_everything(), pattern(megabyte));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P R L(None)");
}

TEST_P(Traces, exactly_the_high_water_mark_does_not_pause_and_one_byte_more_does) {
    open_quietly({.small_buffers = true});
    plug();
    transport().set_write_buffer_limits(transport().get_write_buffer_size() + 1000);
    transport().write(pattern(1000));
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().write("x");
    EXPECT_EQ(recorder().trace(), "P");
}

TEST_P(Traces, limits_have_asyncios_defaults) {
    using Limits = WriteBufferLimits;
    open_quietly();
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{16384, 65536}));
    transport().set_write_buffer_limits(0);
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{0, 0}));
    transport().set_write_buffer_limits(1000);
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{250, 1000}));
    transport().set_write_buffer_limits({}, 100);
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{100, 400}));
    transport().set_write_buffer_limits();
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{16384, 65536}));
}

// A difference: asyncio does not look at a raised limit before the next flush.
TEST_P(Traces, raising_the_limits_while_paused_resumes_from_the_loop) {
    open_with_pending(megabyte);
    EXPECT_EQ(recorder().trace(), "P");
    transport().set_write_buffer_limits(4 * megabyte, 2 * megabyte);
    EXPECT_EQ(recorder().trace(), "P") << "resumed inside the call";
    run_idle();
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(Traces, abort_with_much_pending_empties_the_buffer_at_once) {
    constexpr std::size_t much = 16 * 1024 * 1024;
    const std::string bytes = pattern(much);
    open_quietly({.small_buffers = true});
    transport().write(bytes);
    transport().abort();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P L(None)");
    const std::string received = peer_receives_everything();
    EXPECT_LT(received.size(), much);
    EXPECT_EQ(received, bytes.substr(0, received.size()));
}

TEST_P(Traces, abort_in_pause_writing_loses_without_a_resume) {
    recorder().on_pause = [&] { transport().abort(); };
    open_quietly({.small_buffers = true});
    transport().write(pattern(megabyte));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P L(None)");
}

TEST_P(Traces, close_in_resume_writing_is_clean) {
    recorder().on_resume = [&] { transport().close(); };
    open_with_pending(megabyte);
    EXPECT_EQ(peer_receives_everything(), pattern(megabyte));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P R L(None)");
}

TEST_P(Traces, a_reset_by_the_peer_is_the_reason_and_no_end_of_stream) {
    open_quietly();
    peer_resets();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(ECONNRESET)");
}

TEST_P(Traces, a_reset_while_paused_is_noticed_on_resume) {
    open_quietly();
    transport().pause_reading();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_of(transport())));
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(ECONNRESET)");
}

TEST_P(Traces, data_and_end_while_paused_arrive_in_order_on_resume) {
    open_quietly();
    transport().pause_reading();
    peer().send("abc");
    peer_ends();
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 E L(None)");
}

TEST_P(Traces, pause_inside_data_received_holds_the_next_data_back) {
    recorder().on_data = [&](Bytes) { transport().pause_reading(); };
    open_quietly();
    peer().send(pattern(100));
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == 100; }));
    peer().send(pattern(50));
    ASSERT_TRUE(wait_for_arrival(fd_of(transport()), 50));
    run_idle();
    EXPECT_EQ(recorder().trace(), "D100");
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == 150; }));
    EXPECT_EQ(recorder().trace(), "D100 D50");
}

TEST_P(Traces, close_in_data_received_leaves_the_rest_in_the_socket) {
    recorder().on_data = [&](Bytes) { transport().close(); };
    open_quietly();
    // More than any one chunk may hold, all there before the loop looks.
    const std::size_t sent = peer().send_some(pattern(megabyte));
    // A Unix socket holds less than a TCP connection, but more than the first read takes.
    ASSERT_GT(sent, over_unix() ? limits::receive_start_bytes : limits::receive_max_bytes);
    run_until_lost();
    ASSERT_EQ(recorder().chunks().size(), 1U);
    EXPECT_LE(recorder().chunks()[0], limits::receive_max_bytes);
    EXPECT_LT(recorder().chunks()[0], sent);
    EXPECT_EQ(recorder().trace(), "D" + std::to_string(recorder().chunks()[0]) + " L(None)");
}

TEST_P(Traces, writelines_of_lists_and_of_nothing) {
    open_quietly();
    const std::vector<Bytes> pieces{as_bytes("ab"), as_bytes(""), as_bytes("cd")};
    const std::vector<Bytes> empties(3);
    const std::vector<Buffer> buffers{Buffer::copy("ef"), Buffer()};
    transport().writelines(std::span(pieces));
    transport().writelines(std::span<const Bytes>());
    transport().writelines(std::span(empties));
    transport().writelines(std::span(buffers));
    transport().writelines({as_bytes("gh"), as_bytes("ij")});
    peer_receives(10);
    EXPECT_EQ(peer().received(), "abcdefghij");
    EXPECT_EQ(recorder().trace(), "");
}

// A difference: asyncio keeps the caller's object, and the wire shows what it holds by then.
TEST_P(Traces, bytes_changed_after_a_partial_write_are_sent_as_they_were) {
    open_quietly({.small_buffers = true});
    const std::string original = pattern(3 * megabyte);
    std::string bytes = original;
    transport().write(bytes);
    ASSERT_GT(transport().get_write_buffer_size(), 0U);
    bytes.assign(bytes.size(), 'x');
    peer_receives(original.size());
    EXPECT_EQ(peer().received(), original);
}

TEST_P(Traces, the_addresses_are_kept_after_the_loss) {
    open_quietly();
    const SocketAddress peername = transport().get_extra_info(extra::peername);
    const SocketAddress sockname = transport().get_extra_info(extra::sockname);
    if (over_unix()) {
        // The peer is where we have connected to; our own end has no name.
        EXPECT_NE(peername.path(), "");
        EXPECT_EQ(sockname, SocketAddress::unix_path(""));
    } else {
        EXPECT_EQ(peername.port(), peer().local_port());
        EXPECT_EQ(sockname.host(), "127.0.0.1");
    }
    transport().close();
    run_until_lost();
    run_idle();
    EXPECT_EQ(transport().get_extra_info(extra::peername), peername);
    EXPECT_EQ(transport().get_extra_info(extra::sockname), sockname);
    EXPECT_EQ(fd_of(transport()), -1);
}

class BufferedTraces : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, BufferedTraces,
                         testing::ValuesIn(conformance_cases(ProtocolKind::buffered)), case_name);

// A difference: asyncio's hint on a plain stream is -1.
TEST_P(BufferedTraces, the_hint_on_a_plain_stream_is_zero_for_unknown) {
    open_quietly();
    peer().send("abc");
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "D3 E L(None)");
    ASSERT_GE(recorder().hints().size(), 2U) << "one get_buffer for the data, one before the end";
    for (const std::size_t hint : recorder().hints()) {
        EXPECT_EQ(hint, 0U);
    }
}

}  // namespace
}  // namespace sluice::test
