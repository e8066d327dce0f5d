// Clients and servers that do not keep to TLS, or not to decency (reliability C, D and K): a server
// of ours refuses them cheaply and within bounds, says nothing to the exception handler, goes on
// serving others, and ends with as many SSL objects and descriptors as it began with.
//
// Mangled bytes between two honest ends are in tls_mangle_test.cpp.
#include "support/tls_fixture.hpp"

#include <algorithm>
#include <system_error>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class TlsAbuse : public TlsTest {
protected:
    /// A server with an honest client that gets its echo.
    void open_server(ServerOptions options = secure_server()) {
        server_ = serve(std::move(options));
        honest_ = &connect(port_of(server_));
        ASSERT_TRUE(wait_for_connections(1));
        Recorder& served = *connections()[0];
        served.on_data = [&served](Bytes data) { served.transport().write(data); };
    }
    /// The honest client is still served, and nobody else is.
    void close_server() {
        ASSERT_TRUE(run_until([&] { return server_->connection_count() == 1; }));
        const std::size_t expected = honest_->received().size() + 5;
        honest_->transport().write("hello");
        ASSERT_TRUE(run_until([&] { return honest_->received().size() == expected; }));
        forget_lost();
        EXPECT_EQ(new_ssl_objects(), 2U) << "of clients that are gone";
        EXPECT_EQ(loop().counters().exceptions_reported, 0U);
        shut_down(server_);
        server_.reset();
    }
    /// The recorders keep the transports of lost connections, and these their SSL objects.
    void forget_lost() {
        for (Recorder* const each : connections()) {
            if (each->lost()) {
                each->forget_transport();
            }
        }
        run_idle();
    }
    /// Sends and drives until the server hangs up; what it said.
    std::string answer_to(std::string_view bytes) {
        Peer peer = Peer::connect(port_of(server_));
        EXPECT_TRUE(run_until([&] {
            try {
                bytes.remove_prefix(peer.send_some(bytes));
            } catch (const std::system_error&) {
                return true;
            }
            peer.receive_available();
            return peer.saw_end() || peer.error() != 0;
        }));
        return peer.take_received();
    }
    static bool is_alert(const std::string& answer) {
        return answer.size() == 7 && answer[0] == 21 && answer[5] == 2;
    }

    Ref<Server> server_;
    Recorder* honest_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Every, TlsAbuse, testing::ValuesIn(backends()), backend_case_name);

std::string record(char type, std::string_view body) {
    std::string bytes{type, 3, 3, static_cast<char>(body.size() >> 8),
                      static_cast<char>(body.size() & 0xff)};
    return bytes.append(body);
}

constexpr char change_cipher_spec = 20;
constexpr char alert = 21;
constexpr char handshake = 22;
constexpr char data = 23;

TEST_P(TlsAbuse, D2_what_is_no_TLS_is_refused) {
    open_server();
    answer_to("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n");
    answer_to("CONNECT example.test:443 HTTP/1.1\r\n\r\n");
    answer_to("SSH-2.0-OpenSSH_9.2\r\n");
    answer_to(std::string("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11) + pattern(37));
    answer_to(std::string(100, '\0'));
    for (unsigned seed = 0; seed < 50; ++seed) {
        answer_to(pattern(2'000, seed));
    }
    EXPECT_EQ(connections().size(), 1U) << "a protocol was made for no TLS";
    EXPECT_EQ(server_->counters().handshakes_failed, 55U);
    close_server();
}

TEST_P(TlsAbuse, D2_records_that_cannot_be_are_answered_with_an_alert) {
    open_server();
    // One byte more than a record may have before there is a cipher (RFC 8446, 5.1).
    EXPECT_TRUE(is_alert(answer_to(record(handshake, std::string(16 * 1024 + 1, '\1')))));
    EXPECT_TRUE(is_alert(answer_to(record(data, "too early"))));
    EXPECT_TRUE(is_alert(answer_to(record(99, "no such type"))));
    // A hello of 16 MiB, announced in its first record.
    EXPECT_TRUE(is_alert(answer_to(record(handshake, std::string("\x01\xff\xff\xff", 4)))));
    // A server's hello from a client.
    EXPECT_TRUE(is_alert(answer_to(record(handshake, std::string("\x02\x00\x00\x04zzzz", 8)))));
    close_server();
}

TEST_P(TlsAbuse, D2_floods_of_empty_or_idle_records_are_cut_off) {
    open_server();
    const auto flood = [](const std::string& unit) {
        std::string bytes;
        for (int i = 0; i < 20'000; ++i) {
            bytes += unit;
        }
        return bytes;
    };
    const std::size_t before = live_openssl_bytes();
    answer_to(flood(record(change_cipher_spec, "\1")));
    answer_to(flood(record(data, "")));
    answer_to(flood(record(handshake, "")));
    answer_to(flood(record(alert, std::string("\1\x5a", 2))));
    // A client's hello of 4 KiB that makes no sense, one byte in each record.
    std::string slow = record(handshake, "\1");
    slow += record(handshake, std::string(1, '\0'));
    slow += record(handshake, "\x10");
    slow += flood(record(handshake, "a"));
    answer_to(slow);
    EXPECT_LT(live_openssl_bytes(), before + 64 * 1024);
    close_server();
}

TEST_P(TlsAbuse, early_ends_at_every_point_of_a_hello_leave_nothing_behind) {
    open_server();
    PeerTls tls(false);
    std::string nothing;
    tls.read(nothing);
    const std::string hello = tls.take_output();
    for (std::size_t length = 0; length <= hello.size(); length += 13) {
        for (const bool by_reset : {false, true}) {
            Peer peer = Peer::connect(port_of(server_));
            peer.send(hello.substr(0, length));
            run_idle();
            by_reset ? peer.reset() : peer.close();
        }
    }
    ASSERT_TRUE(run_until([&] { return server_->connection_count() == 1; }));
    EXPECT_EQ(new_ssl_objects(), 3U) << "two of ours and the test's own";
    EXPECT_EQ(connections().size(), 1U);
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    shut_down(server_);
}

TEST_P(TlsAbuse, a_flood_that_waits_for_its_handshake_is_read_in_small_bites) {
    open_server();
    const std::uint64_t before = loop().counters().bytes_received;
    constexpr std::size_t clients = 64;
    const std::string flood = pattern(40'000);
    std::vector<Peer> peers;
    for (std::size_t i = 0; i < clients; ++i) {
        peers.push_back(Peer::connect(port_of(server_)));
        ASSERT_GT(peers.back().send_some(flood), 2 * limits::tls_handshake_space_bytes);
    }
    ASSERT_TRUE(run_until([&] { return server_->counters().handshakes_failed == clients; }));
    EXPECT_LE(loop().counters().bytes_received - before,
              clients * limits::tls_handshake_space_bytes);
    close_server();
}

TEST_P(TlsAbuse, K5_silent_clients_are_gone_after_the_handshake_timeout) {
    open_server(secure_server().tls_handshake_timeout(500ms));
    std::vector<Peer> silent;
    for (int i = 0; i < 100; ++i) {
        silent.push_back(Peer::connect(port_of(server_)));
        if (i % 2 == 0) {
            // The first bytes of a record, and then nothing.
            silent.back().send(std::string("\x16\x03\x01\x02", 4));
        }
    }
    ASSERT_TRUE(run_until([&] { return server_->counters().accepted == 101; }));
    ASSERT_TRUE(run_until([&] {
        return std::all_of(silent.begin(), silent.end(), [](Peer& peer) {
            peer.receive_available();
            return peer.saw_end() || peer.error() != 0;
        });
    }));
    close_server();
}

TEST_P(TlsAbuse, a_client_that_drips_its_hello_is_bounded_by_the_same_timeout) {
    open_server(secure_server().tls_handshake_timeout(500ms));
    Peer peer = Peer::connect(port_of(server_));
    const std::string endless = record(handshake, std::string("\x01\x00\x10\x00", 4));
    std::size_t sent = 0;
    ASSERT_TRUE(run_until([&] {
        try {
            // One byte in each turn: something arrives all the time.
            peer.send_some(endless.substr(std::min(sent, endless.size() - 1), 1));
            sent += sent + 1 < endless.size() ? 1 : 0;
        } catch (const std::system_error&) {
            return true;
        }
        peer.receive_available();
        return peer.saw_end() || peer.error() != 0;
    }));
    close_server();
}

TEST_P(TlsAbuse, C8_names_of_every_shape_in_the_hello_are_survived) {
    open_server();
    const SslContextPtr context = foreign_client_context();
    for (const std::string& name :
         {std::string("EXAMPLE.TEST"), std::string("nobody.test"), std::string(255, 'x'),
          std::string("a..b"), std::string("\xff\xfe"), std::string("-"), std::string("1.2.3.4")}) {
        SCOPED_TRACE(name);
        Peer peer = Peer::connect(port_of(server_));
        auto tls = std::make_unique<PeerTls>(context.get(), false);
        ASSERT_EQ(SSL_set_tlsext_host_name(tls->ssl(), name.c_str()), 1);
        peer.speak_tls(std::move(tls));
        ASSERT_TRUE(run_with({&peer}, [&] {
            return peer.tls()->handshaken() || peer.saw_end() || peer.error() != 0 ||
                   peer.tls()->failed();
        }));
        EXPECT_TRUE(peer.tls()->handshaken()) << "without a table of names everybody is served";
        peer.shutdown_write();
        ASSERT_TRUE(run_with({&peer}, [&] { return server_->connection_count() == 1; }));
    }
    close_server();
}

TEST_P(TlsAbuse, C11_old_versions_are_refused_with_the_alert_that_says_so) {
    open_server();
    for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
        const SslContextPtr context = foreign_client_context();
        // OpenSSL itself refuses them above this security level.
        SSL_CTX_set_security_level(context.get(), 0);
        ASSERT_EQ(SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION), 1);
        ASSERT_EQ(SSL_CTX_set_max_proto_version(context.get(), version), 1);
        PeerTls tls(context.get(), false);
        std::string nothing;
        tls.read(nothing);
        const std::string answer = answer_to(tls.take_output());
        ASSERT_TRUE(is_alert(answer));
        EXPECT_EQ(answer[6], SSL_AD_PROTOCOL_VERSION);
    }
    close_server();
}

TEST_P(TlsAbuse, C16_clients_that_ask_for_renegotiation_again_and_again_are_bounded) {
    open_server();
    const SslContextPtr context = foreign_client_context();
    ASSERT_EQ(SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION), 1);
    const std::size_t before = live_openssl_bytes();
    for (int i = 0; i < 100; ++i) {
        Peer peer = connect_foreign(port_of(server_), context.get());
        SSL_renegotiate(peer.tls()->ssl());
        SSL_do_handshake(peer.tls()->ssl());
        peer.send_some({});
        ASSERT_TRUE(run_with({&peer}, [&] { return peer.tls()->failed(); }));
        peer.close();
        ASSERT_TRUE(run_until([&] { return server_->connection_count() == 1; }));
        forget_lost();
    }
    EXPECT_LT(live_openssl_bytes(), before + 512 * 1024);
    close_server();
}

TEST_P(TlsAbuse, a_thousand_connections_leave_no_memory_behind) {
    open_server();
    const SslContextPtr context = foreign_client_context();
    const auto once = [&](int i) {
        Peer peer = connect_foreign(port_of(server_), context.get());
        peer.send("x");
        switch (i % 4) {
            case 0:
                peer.shutdown_write();
                break;
            case 1:
                peer.shutdown_write_raw();
                break;
            case 2:
                peer.reset();
                break;
            default:
                peer.send_raw("no record");
                break;
        }
        ASSERT_TRUE(run_with({&peer}, [&] { return server_->connection_count() == 1; }));
        forget_lost();
    };
    for (int i = 0; i < 100; ++i) {
        once(i);
    }
    const std::size_t before = live_openssl_bytes();
    for (int i = 0; i < 1000; ++i) {
        once(i);
    }
    EXPECT_LT(live_openssl_bytes(), before + 64 * 1024);
    close_server();
}

// ---- servers that misbehave towards our client ----

TEST_P(TlsAbuse, a_server_that_asks_for_renegotiation_is_answered_no) {
    const SslContextPtr context = foreign_server_context();
    ASSERT_EQ(SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION), 1);
    ForeignServer connection = connect_to_foreign(context.get());
    ASSERT_EQ(SSL_renegotiate(connection.peer.tls()->ssl()), 1);
    SSL_do_handshake(connection.peer.tls()->ssl());
    connection.peer.send_some({});
    // OpenSSL gives up when it gets the alert no_renegotiation.
    ASSERT_TRUE(run_with({&connection.peer}, [&] { return connection.peer.tls()->failed(); }));
    EXPECT_EQ(connection.ours->count('D'), 0U);
    connection.ours->transport().abort();
    ASSERT_TRUE(run_until([&] { return connection.ours->lost(); }));
}

TEST_P(TlsAbuse, D2_garbage_for_an_answer_is_an_error_with_the_reason) {
    for (const std::string& answer :
         {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"),
          record(handshake, std::string(16 * 1024 + 1, '\2')), record(data, "early"),
          record(handshake, pattern(500)), record(alert, std::string("\2\x28", 2))}) {
        Listener listener;
        Recorder& never = make_recorder();
        auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
            "127.0.0.1", listener.port(), secure_client(), &never));
        Peer peer;
        ASSERT_TRUE(run_until([&] {
            if (std::optional<Peer> accepted = listener.accept()) {
                peer = std::move(*accepted);
                peer.send(answer);
            }
            return connecting.done();
        }));
        const auto error = caught<TlsError>([&] { connecting.result(); });
        ASSERT_TRUE(error);
        EXPECT_EQ(error->code(), Error::tls_handshake_failed);
        EXPECT_THAT(error->what(), HasSubstr("TLS handshake failed: "));
        EXPECT_FALSE(never.made());
    }
}

}  // namespace
}  // namespace sluice::test
