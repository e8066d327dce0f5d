// Group B of semantics.md, reading, and B's part of reliability.md (A1, G5).
//
// B20 and B22 need calls that fail on command: they are in faults_test.cpp. Sizes of chunks are not
// promised, so traces are compared merged wherever a stream may be cut anywhere.
#include "support/conformance.hpp"

namespace sluice::test {
namespace {

class Reading : public ConformanceTest {
protected:
    // The bytes are in the kernel, the transport has not been told to take them.
    void bytes_wait(std::string_view bytes) {
        peer().send(bytes);
        ASSERT_TRUE(wait_for_arrival(fd_of(transport()), bytes.size()));
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Reading, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(Reading, B019_what_is_sent_comes_back_equal_and_in_order_at_every_size) {
    recorder().on_data = [&](Bytes bytes) { transport().write(bytes); };
    open_quietly();
    constexpr std::size_t sizes[] = {1, 2,  3,    4,    5,         6,          7,
                                     8, 29, 4095, 4096, 64 * 1024, 256 * 1024, 6 * 1024 * 1024};
    for (const std::size_t size : sizes) {
        SCOPED_TRACE(size);
        const std::string sent = pattern(size, static_cast<unsigned>(size));
        std::string_view rest = sent;
        ASSERT_TRUE(run_until([&] {
            rest.remove_prefix(peer().send_some(rest));
            peer().receive_available();
            return peer().received().size() >= size;
        }));
        EXPECT_TRUE(peer().take_received() == sent);
    }
}

TEST_P(Reading, B021_a_reset_loses_the_connection_without_end_of_stream_or_report) {
    open_quietly();
    bytes_wait("unread");
    peer_resets();
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::connection_reset);
    EXPECT_EQ(recorder().count('E'), 0U);
    EXPECT_EQ(recorder().count('L'), 1U);
}

TEST_P(Reading, rel_A1_a_reset_while_idle_is_reported_once_and_nothing_follows) {
    open_quietly();
    run_idle();
    peer_resets();
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(ECONNRESET)");
}

TEST_P(Reading, B023_an_exception_in_the_read_callback_ends_this_connection_and_tells_the_handler) {
    recorder().on_data = [](Bytes) { throw std::runtime_error("cannot parse"); };
    open_quietly();
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 L(callback_failed)");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "cannot parse");
    EXPECT_FALSE(reports[0].message.empty());
}

TEST_P(Reading, B023_a_system_error_from_the_read_callback_gives_its_code_as_the_reason) {
    recorder().on_data = [](Bytes) {
        throw std::system_error(std::make_error_code(std::errc::timed_out), "too slow");
    };
    open_quietly();
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::errc::timed_out);
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(Reading, B023_an_exception_that_is_no_std_exception_is_fatal_all_the_same) {
    recorder().on_data = [](Bytes) { throw 42; };
    open_quietly();
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 L(callback_failed)");
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(Reading, B023_an_exception_drops_the_backlog) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    recorder().on_data = [](Bytes) { throw std::runtime_error("fatal"); };
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    peer().receive_available();
    EXPECT_LT(peer().received().size(), written);
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(Reading, B024_pause_and_resume_are_idempotent) {
    open_quietly();
    transport().resume_reading();
    EXPECT_TRUE(transport().is_reading());
    transport().pause_reading();
    transport().pause_reading();
    EXPECT_FALSE(transport().is_reading());
    bytes_wait("abc");
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    transport().resume_reading();
    EXPECT_TRUE(transport().is_reading());
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "D3");
}

TEST_P(Reading, B024_pause_and_resume_do_nothing_while_closing_and_after) {
    open_quietly({.small_buffers = true});
    plug();
    transport().close();
    bytes_wait("too late");
    transport().pause_reading();
    transport().resume_reading();
    EXPECT_FALSE(transport().is_reading());
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return recorder().lost();
    }));
    transport().pause_reading();
    transport().resume_reading();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Reading, B024_the_last_of_pause_and_resume_in_one_callback_counts) {
    int calls = 0;
    recorder().on_data = [&](Bytes) {
        transport().pause_reading();
        transport().resume_reading();
        transport().pause_reading();
        ++calls;
    };
    open_quietly();
    peer().send("a");
    ASSERT_TRUE(run_until([&] { return calls == 1; }));
    bytes_wait("b");
    run_idle();
    EXPECT_EQ(recorder().trace(), "D1");
    transport().resume_reading();
    transport().pause_reading();
    run_idle();
    EXPECT_EQ(recorder().trace(), "D1") << "a resume that was taken back delivered";
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return calls == 2; }));
    EXPECT_EQ(recorder().received(), "ab");
}

TEST_P(Reading, B026_pausing_under_load_stops_data_and_resuming_loses_and_doubles_nothing) {
    const std::string sent = pattern(2 * 1024 * 1024);
    std::string_view rest = sent;
    std::size_t allowed = 0;
    recorder().on_data = [&](Bytes) {
        EXPECT_GT(allowed, 0U) << "data while paused";
        allowed = 0;
        transport().pause_reading();
    };
    open_quietly();
    ASSERT_TRUE(run_until([&] {
        rest.remove_prefix(peer().send_some(rest));
        if (!transport().is_reading()) {
            run_idle();
            allowed = 1;
            transport().resume_reading();
        } else {
            allowed = 1;
        }
        return recorder().received().size() >= sent.size();
    }));
    EXPECT_TRUE(recorder().received() == sent);
}

TEST_P(Reading, rel_G5_resume_delivers_what_waits_from_the_loop_and_not_inside_the_call) {
    open_quietly();
    transport().pause_reading();
    bytes_wait("abc");
    in_callback([&] {
        transport().resume_reading();
        EXPECT_EQ(recorder().trace(), "");
    });
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
}

TEST_P(Reading, B027_close_in_the_read_callback_ends_reading_although_the_socket_has_more) {
    recorder().on_data = [&](Bytes) { transport().close(); };
    open_quietly();
    const std::size_t sent = peer().send_some(pattern(1'000'000));
    // A Unix socket holds less than a TCP connection, but more than the first read takes.
    ASSERT_GT(sent, over_unix() ? limits::receive_start_bytes : limits::receive_max_bytes);
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().count('D'), 1U);
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(Reading, B027_abort_in_the_read_callback_does_too) {
    recorder().on_data = [&](Bytes) { transport().abort(); };
    open_quietly();
    const std::size_t sent = peer().send_some(pattern(1'000'000));
    // A Unix socket holds less than a TCP connection, but more than the first read takes.
    ASSERT_GT(sent, over_unix() ? limits::receive_start_bytes : limits::receive_max_bytes);
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().count('D'), 1U);
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(Reading, B028_is_reading_follows_pause_resume_end_of_stream_and_close) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    EXPECT_TRUE(transport().is_reading());
    transport().pause_reading();
    EXPECT_FALSE(transport().is_reading());
    transport().resume_reading();
    EXPECT_TRUE(transport().is_reading());
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    // A difference: asyncio still says true here.
    EXPECT_FALSE(transport().is_reading());
    transport().resume_reading();
    EXPECT_FALSE(transport().is_reading());
    transport().close();
    EXPECT_FALSE(transport().is_reading());
}

TEST_P(Reading, B028_is_reading_is_false_from_close_on) {
    open_quietly();
    transport().close();
    EXPECT_FALSE(transport().is_reading());
}

TEST_P(Reading, B030_no_chunk_exceeds_256_KiB_and_none_is_empty) {
    const std::string sent = pattern(8 * 1024 * 1024);
    open_quietly();
    std::vector<std::byte> large(1024 * 1024);
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(large); };
    peer_sends(sent);
    ASSERT_TRUE(run_until([&] { return recorder().received().size() >= sent.size(); }));
    EXPECT_TRUE(recorder().received() == sent);
    for (const std::size_t chunk : recorder().chunks()) {
        EXPECT_GT(chunk, 0U);
        if (!buffered()) {
            EXPECT_LE(chunk, limits::receive_max_bytes);
        }
    }
}

TEST_P(Reading, B032_a_reset_while_paused_is_found_by_writing) {
    open_quietly();
    transport().pause_reading();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_of(transport())));
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().write("anybody there?");
    EXPECT_EQ(recorder().trace(), "") << "lost inside write()";
    run_until_lost();
    EXPECT_TRUE(recorder().reason() == std::errc::connection_reset ||
                recorder().reason() == std::errc::broken_pipe)
        << recorder().trace();
    EXPECT_EQ(recorder().count('L'), 1U);
}

TEST_P(Reading, B032_a_paused_connection_whose_peer_is_gone_can_be_closed) {
    open_quietly();
    transport().pause_reading();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_of(transport())));
    run_idle();
    transport().close();
    run_until_lost();
    // Closing TLS sends something, which tells that the peer is gone.
    EXPECT_EQ(recorder().trace(), uses_tls() ? "L(ECONNRESET)" : "L(None)");
}

TEST_P(Reading, a_connection_with_much_to_read_does_not_starve_its_neighbour) {
    open_quietly();
    Recorder& other_events = make_recorder();
    TransportPair& other = another(other_events);
    open(other, {});
    // Two megabytes wait on one connection, one byte on the other, and one iteration serves both.
    // In a Unix socket it is some 200 KiB that can wait.
    const int large = 4 * 1024 * 1024;
    set_buffers(fd_of(transport()), {std::nullopt, large});
    transport().pause_reading();
    std::size_t waiting = std::size_t{2} * 1024 * 1024;
    if (over_unix()) {
        waiting = peer().send_some(pattern(waiting));
    } else {
        peer_sends(pattern(waiting));
    }
    transport().resume_reading();
    other.peer().send("x");
    ASSERT_TRUE(wait_for_arrival(fd_of(other.transport()), 1));
    ASSERT_TRUE(run_until([&] { return recorder().count('D') > 0; }));
    EXPECT_EQ(other_events.received(), "x");
    EXPECT_LE(recorder().received().size(), limits::read_budget_bytes + limits::receive_max_bytes);
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == waiting; }));
}

TEST_P(Reading, data_and_end_of_stream_arrive_together_in_order) {
    open_quietly();
    bytes_wait("last words");
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().merged_trace(), "D10 E L(None)");
    EXPECT_EQ(recorder().received(), "last words");
}

TEST_P(Reading, data_before_a_reset_may_be_lost_but_the_reset_is_never_an_end_of_stream) {
    open_quietly();
    transport().pause_reading();
    bytes_wait("abc");
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_of(transport())));
    transport().resume_reading();
    run_until_lost();
    EXPECT_EQ(recorder().count('E'), 0U);
    EXPECT_EQ(recorder().reason(), std::errc::connection_reset);
}

}  // namespace
}  // namespace sluice::test
