// Group D of semantics.md: end of stream in both directions (also reliability.md A3).
//
// D57's other rows (pipes, datagrams) come with those transports. What TLS has instead of a half-close
// is in tls_data_test.cpp.
#include "support/conformance.hpp"

namespace sluice::test {
namespace {

constexpr std::size_t megabyte = 1'000'000;

class EndOfStream : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, EndOfStream, testing::ValuesIn(conformance_cases()), case_name);

class HalfClose : public EndOfStream {};

INSTANTIATE_TEST_SUITE_P(Every, HalfClose, testing::ValuesIn(conformance_cases_with_half_close()),
                         case_name);

TEST_P(EndOfStream, D047_by_default_the_transport_flushes_and_closes) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    peer().shutdown_write();
    // The peer is not to read yet.
    ASSERT_TRUE(LoopTest::run_until([&] { return recorder().count('E') == 1; }));
    EXPECT_TRUE(transport().is_closing());
    run_idle();
    EXPECT_EQ(recorder().trace(), "E") << "lost before the backlog was sent";
    EXPECT_EQ(peer_receives_everything().size(), written);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(EndOfStream, D047_what_eof_received_writes_is_still_sent) {
    recorder().on_eof = [&] {
        transport().write("goodbye");
        return false;
    };
    open_quietly();
    peer().shutdown_write();
    EXPECT_EQ(peer_receives_everything(), "goodbye");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(HalfClose, D048_rel_A3_true_keeps_the_writing_half_open_until_close) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    for (const char* text : {"one ", "two ", "three"}) {
        run_idle();
        transport().write(text);
    }
    peer_receives(13);
    EXPECT_EQ(peer().received(), "one two three");
    EXPECT_EQ(recorder().trace(), "E");
    transport().close();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(HalfClose, D048_only_one_end_is_reported_however_often_reading_is_resumed) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    transport().resume_reading();
    run_idle();
    transport().pause_reading();
    transport().resume_reading();
    run_idle();
    EXPECT_EQ(recorder().trace(), "E");
}

TEST_P(HalfClose, D048_a_peer_that_vanishes_after_its_end_is_found_by_writing) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    peer_resets();
    ASSERT_TRUE(run_until([&] {
        transport().write("x");
        return recorder().lost();
    }));
    EXPECT_TRUE(recorder().reason() == std::errc::broken_pipe ||
                recorder().reason() == std::errc::connection_reset)
        << recorder().trace();
}

TEST_P(EndOfStream, D049_an_exception_is_fatal_and_reported) {
    recorder().on_eof = []() -> bool { throw std::runtime_error("eof"); };
    open_quietly({.small_buffers = true});
    plug();
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(callback_failed)");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(EndOfStream, D049_close_and_abort_inside_eof_received_are_honoured) {
    for (const bool keep_open : {false, true}) {
        for (const bool abort : {false, true}) {
            SCOPED_TRACE(testing::Message() << "returns " << keep_open << ", abort " << abort);
            Recorder& events = make_recorder();
            TransportPair& connection = another(events);
            open(connection, {});
            events.clear_trace();
            events.on_eof = [&] {
                abort ? connection.transport().abort() : connection.transport().close();
                return keep_open;
            };
            connection.peer().shutdown_write();
            ASSERT_TRUE(run_until([&] { return events.lost(); }));
            EXPECT_EQ(events.trace(), "E L(None)");
        }
    }
}

TEST_P(HalfClose, D051_write_eof_with_nothing_pending_is_seen_at_once) {
    open_quietly();
    transport().write_eof();
    // Without running the loop.
    ASSERT_TRUE(wait_readable(peer().fd()));
    peer().receive_available();
    EXPECT_TRUE(peer().saw_end());
    EXPECT_FALSE(transport().is_closing());
    EXPECT_TRUE(transport().is_reading());
}

TEST_P(HalfClose, D051_write_eof_inside_a_callback_follows_what_was_gathered) {
    open_quietly();
    in_callback([&] {
        transport().write("head");
        transport().write("body");
        transport().write_eof();
    });
    EXPECT_EQ(peer_receives_everything(), "headbody");
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(HalfClose, D052_write_eof_with_a_backlog_follows_the_last_byte) {
    open_quietly({.small_buffers = true});
    const std::string bytes = pattern(megabyte);
    transport().write(bytes);
    ASSERT_GT(transport().get_write_buffer_size(), 0U);
    transport().write_eof();
    EXPECT_TRUE(peer_receives_everything() == bytes);
    EXPECT_FALSE(recorder().lost());
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
}

TEST_P(HalfClose, D053_write_eof_twice_is_once) {
    open_quietly();
    transport().write_eof();
    EXPECT_NO_THROW(transport().write_eof());
    EXPECT_EQ(peer_receives_everything(), "");
    EXPECT_NO_THROW(transport().write_eof());
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(HalfClose, D053_write_eof_twice_with_a_backlog_is_once) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().write_eof();
    EXPECT_NO_THROW(transport().write_eof());
    EXPECT_EQ(peer_receives_everything().size(), written);
}

TEST_P(HalfClose, D054_write_eof_after_close_is_silently_ignored) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().close();
    EXPECT_NO_THROW(transport().write_eof());
    // Still pending, so still accepted: write_eof() counted for nothing.
    EXPECT_NO_THROW(transport().write("x"));
    EXPECT_EQ(peer_receives_everything().size(), written + 1);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(HalfClose, D056_write_eof_then_close_with_a_backlog_sends_everything) {
    open_quietly({.small_buffers = true});
    const std::string bytes = pattern(megabyte);
    transport().write(bytes);
    transport().write_eof();
    transport().close();
    EXPECT_TRUE(peer_receives_everything() == bytes);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(HalfClose, D057_a_stream_socket_can_write_eof) {
    open_quietly();
    EXPECT_TRUE(transport().can_write_eof());
}

TEST_P(HalfClose, D058_data_is_delivered_after_our_half_is_closed) {
    open_quietly();
    transport().write_eof();
    EXPECT_EQ(peer_receives_everything(), "");
    const std::string bytes = pattern(100'000);
    peer_sends(bytes);
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == bytes.size(); }));
    EXPECT_EQ(recorder().received(), bytes);
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "D100000 E L(None)");
}

TEST_P(HalfClose, D058_both_halves_closed_ends_in_a_clean_loss) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    transport().write_eof();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "E") << "the user asked to keep it open and must close it";
    transport().close();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(EndOfStream, an_end_while_paused_is_delivered_on_resume_only) {
    open_quietly();
    transport().pause_reading();
    peer_ends();
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    EXPECT_EQ(recorder().trace(), "");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(EndOfStream, pausing_in_the_last_read_callback_holds_the_end_back) {
    recorder().on_data = [&](Bytes) { transport().pause_reading(); };
    open_quietly();
    transport().pause_reading();
    peer().send("abc");
    peer_ends();
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().count('D') == 1; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "D3");
    transport().resume_reading();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 E L(None)");
}

}  // namespace
}  // namespace sluice::test
