// How TLS connections end (the second half of group J, and D of the reliability list): clean ends,
// truncation, resets, alerts and silent peers are told apart, with everything delivered before.
//
// It must not know how data is cut into records: that is tls_data_test.cpp.
#include "support/tls_fixture.hpp"

#include <stdexcept>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class TlsEnding : public TlsTest {
protected:
    Transport& ours() { return connections().back()->transport(); }
    Recorder& told() { return *connections().back(); }
};
INSTANTIATE_TEST_SUITE_P(Every, TlsEnding, testing::ValuesIn(backends()), backend_case_name);

// ---- our close ----

TEST_P(TlsEnding, J156_D6_close_flushes_ten_megabytes_and_ends_cleanly) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    const std::string text = pattern(10 * 1024 * 1024);
    ours().write(text);
    ours().close();
    EXPECT_TRUE(ours().is_closing());
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    peer.receive_available();
    EXPECT_EQ(peer.received(), text);
    EXPECT_TRUE(peer.saw_end());
    EXPECT_FALSE(peer.truncated());
    EXPECT_EQ(told().reason(), std::error_code());
    EXPECT_EQ(loop().counters().timers_pending, 0U) << "J160: the shutdown timer outlives its use";
    shut_down(server);
}

TEST_P(TlsEnding, J158_both_of_our_ends_see_a_clean_end) {
    const Ref<Server> server = serve(secure_server());
    Recorder& client = connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_EQ(loop().counters().timers_pending, 0U) << "the handshake's timer outlives its use";
    client.transport().write("bye");
    client.transport().close();
    ASSERT_TRUE(run_until([&] { return client.lost() && told().lost(); }));
    EXPECT_EQ(client.trace(), "M L(None)");
    EXPECT_EQ(told().trace(), "M D3 E L(None)");
    EXPECT_EQ(loop().counters().timers_pending, 0U);
    shut_down(server);
}

TEST_P(TlsEnding, J159_a_peer_that_never_answers_close_notify_is_given_up) {
    const Ref<Server> server = serve(secure_server().tls_shutdown_timeout(20ms));
    Peer peer = connect_foreign(port_of(server));
    ours().close();
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().reason(), Error::tls_shutdown_timeout);
    EXPECT_EQ(loop().counters().exceptions_reported, 0U) << "nobody wants that in a log";
    shut_down(server);
}

TEST_P(TlsEnding, D6_a_peer_that_stops_reading_is_given_up) {
    const Ref<Server> server = serve(secure_server().tls_shutdown_timeout(20ms));
    Peer peer = connect_foreign(port_of(server));
    ours().write(pattern(10 * 1024 * 1024));
    ours().close();
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().reason(), Error::tls_shutdown_timeout);
    EXPECT_EQ(ours().get_write_buffer_size(), 0U);
    shut_down(server);
}

TEST_P(TlsEnding, J159_a_peer_that_streams_after_our_close_is_given_up_and_nothing_delivered) {
    const Ref<Server> server = serve(secure_server().tls_shutdown_timeout(500ms));
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().close();
    const std::string chunk = pattern(64 * 1024);
    std::size_t streamed = 0;
    ASSERT_TRUE(run_until([&] {
        // It never reads, and so never learns.
        try {
            streamed += peer.send_some(chunk);
        } catch (const std::system_error&) {
            return told().lost();
        }
        return told().lost();
    }));
    EXPECT_GT(streamed, 1024U * 1024) << "our end stopped reading";
    EXPECT_EQ(told().reason(), Error::tls_shutdown_timeout);
    EXPECT_EQ(told().count('D'), 0U);
    shut_down(server);
}

TEST_P(TlsEnding, J165_data_before_the_answer_to_close_notify_is_thrown_away) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().close();
    run_idle();
    peer.send(pattern(300'000));
    peer.shutdown_write();
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().trace(), "M L(None)");
    shut_down(server);
}

TEST_P(TlsEnding, close_amid_a_message_of_the_peer_waits_for_the_rest_and_is_clean) {
    for (const bool with_data : {false, true}) {
        AmidTicket connection = connect_amid_ticket(Sealing::by_openssl);
        Recorder& client = *connection.ours;
        if (with_data) {
            client.transport().write("bye");
        }
        client.transport().close();
        run_idle();
        EXPECT_FALSE(client.lost());
        connection.peer.send_raw(connection.rest);
        ASSERT_TRUE(run_with({&connection.peer}, [&] { return client.lost(); }));
        connection.peer.receive_available();
        EXPECT_EQ(connection.peer.received(), with_data ? "bye" : "");
        EXPECT_TRUE(connection.peer.saw_end());
        EXPECT_FALSE(connection.peer.truncated());
        EXPECT_EQ(client.trace(), "M L(None)");
    }
}

TEST_P(TlsEnding, a_stream_that_ends_amid_a_message_is_truncated_at_once) {
    enum class Before { nothing, write, close };
    for (const Before before : {Before::nothing, Before::write, Before::close}) {
        AmidTicket connection = connect_amid_ticket(Sealing::by_openssl);
        Recorder& client = *connection.ours;
        if (before != Before::nothing) {
            client.transport().write("never sealed");
        }
        if (before == Before::close) {
            client.transport().close();
        }
        connection.peer.shutdown_write_raw();
        // Not by the shutdown timeout, which is longer than a test may take.
        ASSERT_TRUE(run_until([&] { return client.lost(); }));
        EXPECT_EQ(client.reason(), Error::tls_truncated);
    }
}

TEST_P(TlsEnding, closing_while_reading_is_paused_still_finds_the_answer) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().pause_reading();
    peer.send(pattern(100'000));
    ours().close();
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    EXPECT_EQ(told().trace(), "M L(None)");
    shut_down(server);
}

TEST_P(TlsEnding, J164_writes_after_close_are_dropped_quietly) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    ours().close();
    ours().write("too late");
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    ours().write("far too late");
    EXPECT_EQ(peer.received(), "");
    EXPECT_FALSE(peer.truncated());
    shut_down(server);
}

TEST_P(TlsEnding, a_peer_that_answers_close_notify_with_a_bare_end_is_good_enough) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().close();
    run_idle();
    peer.shutdown_write_raw();
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().trace(), "M L(None)");
    shut_down(server);
}

TEST_P(TlsEnding, J180_abort_sends_no_close_notify) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    ours().write(pattern(8 * 1024 * 1024));
    ours().abort();
    ASSERT_TRUE(
        run_with({&peer}, [&] { return told().lost() && (peer.error() != 0 || peer.saw_end()); }));
    EXPECT_EQ(told().reason(), std::error_code());
    EXPECT_TRUE(peer.truncated() || peer.error() != 0);
    shut_down(server);
}

// ---- the peer's end ----

TEST_P(TlsEnding, J157_data_before_close_notify_is_delivered_and_data_behind_it_ignored) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().pause_reading();
    peer.send("the last words");
    peer.shutdown_write();
    // What a record with this header would be, nobody asks any more (D4).
    peer.send_raw(std::string("\x17\x03\x03\x00\x20", 5) + pattern(32));
    run_idle();
    EXPECT_EQ(told().trace(), "M");
    ours().resume_reading();
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    EXPECT_EQ(told().trace(), "M D14 E L(None)");
    shut_down(server);
}

TEST_P(TlsEnding, a_reply_from_eof_received_reaches_a_peer_that_has_closed_its_half) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    told().on_eof = [&] {
        ours().write("and good bye");
        return false;
    };
    peer.shutdown_write();
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    peer.receive_available();
    EXPECT_EQ(peer.received(), "and good bye");
    EXPECT_FALSE(peer.truncated());
    shut_down(server);
}

TEST_P(TlsEnding, J166_true_from_eof_received_closes_all_the_same_and_debug_mode_says_so) {
    for (const bool debug : {false, true}) {
        loop().set_debug(debug);
        const Ref<Server> server = serve(secure_server());
        Peer peer = connect_foreign(port_of(server));
        told().on_eof = [] { return true; };
        peer.shutdown_write();
        ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
        EXPECT_EQ(told().trace(), "M E L(None)");
        const std::vector<Report> reports = take_reports();
        ASSERT_EQ(reports.size(), debug ? 1U : 0U);
        if (debug) {
            EXPECT_THAT(reports[0].message, HasSubstr("has no effect with TLS"));
        }
        shut_down(server);
    }
}

TEST_P(TlsEnding, a_stream_without_close_notify_is_delivered_and_then_called_truncated) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    ours().pause_reading();
    // The window that kernels before 6.6 make of the usual buffer does not take all of it.
    set_buffers(fd_of(ours()), {.send_bytes = {}, .receive_bytes = 256 * 1024});
    const std::string text = pattern(100'000);
    peer.send(text);
    peer.shutdown_write_raw();
    ASSERT_TRUE(wait_for_hang_up(fd_of(ours())));
    run_idle();
    EXPECT_EQ(told().trace(), "M");
    ours().resume_reading();
    ASSERT_TRUE(run_with({&peer}, [&] { return told().lost(); }));
    EXPECT_EQ(told().received(), text);
    EXPECT_EQ(told().count('E'), 1U);
    EXPECT_EQ(told().reason(), Error::tls_truncated);
    shut_down(server);
}

TEST_P(TlsEnding, half_a_record_and_an_end_is_a_truncation_and_nothing_of_it_is_delivered) {
    const Ref<Server> server = serve(secure_server());
    TlsLink link(port_of(server));
    Recorder& client = connect(link);
    ASSERT_TRUE(run_with(link, [&] { return !connections().empty() && told().made(); }));
    bool halved = false;
    link.mangle = [&](Direction direction, std::string& waiting) {
        const std::string piece = std::exchange(waiting, {});
        if (direction == Direction::to_server && !std::exchange(halved, true)) {
            return piece.substr(0, piece.size() / 2);
        }
        return halved && direction == Direction::to_server ? std::string() : piece;
    };
    client.transport().write(pattern(1000));
    ASSERT_TRUE(run_with(link, [&] { return halved; }));
    run_with(link, [&, rounds = 0]() mutable { return ++rounds > 20; });
    link.cut();
    ASSERT_TRUE(run_until([&] { return told().lost() && client.lost(); }));
    EXPECT_EQ(told().received(), "");
    EXPECT_EQ(told().reason(), Error::tls_truncated);
    EXPECT_EQ(client.reason(), Error::tls_truncated);
    shut_down(server);
}

TEST_P(TlsEnding, a_reset_is_told_as_a_reset) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    peer.reset();
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().trace(), "M L(ECONNRESET)");
    shut_down(server);
}

// ---- a peer that breaks the protocol ----

TEST_P(TlsEnding, D8_a_fatal_alert_of_the_peer_is_named) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    peer.send("before");
    // Bytes that it never received make its OpenSSL send bad_record_mac.
    peer.tls()->feed(std::string("\x17\x03\x03\x00\x20", 5) + pattern(32));
    std::string nothing;
    peer.tls()->read(nothing);
    ASSERT_TRUE(peer.tls()->failed());
    peer.send_raw(peer.tls()->take_output());
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().received(), "before");
    EXPECT_EQ(told().count('E'), 0U);
    EXPECT_EQ(told().reason(), Error::tls_protocol_error);
    const TlsFailure failure = ours().get_extra_info(extra::tls_failure);
    EXPECT_EQ(failure.alert_received, "bad_record_mac");
    EXPECT_EQ(failure.phase, "data");
    EXPECT_THAT(failure.text, HasSubstr("bad_record_mac"));
    shut_down(server);
}

/// What a peer does about a record that it takes for forged: says so and is gone.
void refuse_with_an_alert(Peer& peer) {
    peer.tls()->feed(std::string("\x17\x03\x03\x00\x20", 5) + pattern(32));
    std::string nothing;
    peer.tls()->read(nothing);
    peer.send_raw(peer.tls()->take_output());
    peer.reset();
}

TEST_P(TlsEnding, D8_an_alert_is_known_although_writing_fails_before_it_is_read) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    refuse_with_an_alert(peer);
    // Not from the loop, which would read first.
    ASSERT_TRUE(wait_for_error(fd_of(ours())));
    ours().write("anybody there?");
    EXPECT_TRUE(ours().is_closing());
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_EQ(told().reason(), Error::tls_protocol_error);
    EXPECT_EQ(ours().get_extra_info(extra::tls_failure).alert_received, "bad_record_mac");
    shut_down(server);
}

TEST_P(TlsEnding, D8_an_alert_is_known_although_what_a_callback_wrote_cannot_be_sent) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    bool written = false;
    // In one callback, so that the loop cannot read before.
    loop().call_soon([&] {
        refuse_with_an_alert(peer);
        if (wait_for_error(fd_of(ours()))) {
            ours().write("anybody there?");
            written = true;
        }
    });
    ASSERT_TRUE(run_until([&] { return told().lost(); }));
    EXPECT_TRUE(written);
    EXPECT_EQ(told().reason(), Error::tls_protocol_error);
    EXPECT_EQ(ours().get_extra_info(extra::tls_failure).alert_received, "bad_record_mac");
    shut_down(server);
}

TEST_P(TlsEnding, I144_bytes_that_are_no_record_end_the_connection_with_an_alert) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    settle({&peer});
    peer.send("before");
    peer.send_raw("GET / HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(run_with(
        {&peer}, [&] { return told().lost() && (peer.tls()->failed() || peer.saw_end()); }));
    EXPECT_EQ(told().received(), "before");
    EXPECT_EQ(told().reason(), Error::tls_protocol_error);
    const TlsFailure failure = ours().get_extra_info(extra::tls_failure);
    EXPECT_NE(failure.alert_sent, "");
    EXPECT_TRUE(peer.tls()->failed()) << "the alert did not arrive";
    shut_down(server);
}

TEST_P(TlsEnding, J181_an_exception_in_data_received_ends_the_connection) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = connect_foreign(port_of(server));
    told().on_data = [](Bytes) { throw std::runtime_error("no appetite"); };
    peer.send("food");
    ASSERT_TRUE(
        run_with({&peer}, [&] { return told().lost() && (peer.saw_end() || peer.error() != 0); }));
    EXPECT_EQ(told().reason(), Error::callback_failed);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "no appetite");
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
