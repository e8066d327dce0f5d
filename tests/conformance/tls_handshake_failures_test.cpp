// TLS handshakes that fail (group I of asyncio's behaviour, C of the reliability list): whose
// certificate is refused and why, what a caller is told, who is left alone.
//
// What contexts themselves decide is tested without sockets in unit/tls_*_test.cpp.
#include "support/tls_fixture.hpp"
#include "support/transport_pair.hpp"

#include <stdexcept>

#include <openssl/x509_vfy.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

class TlsHandshakeFailures : public TlsTest {};
INSTANTIATE_TEST_SUITE_P(Every, TlsHandshakeFailures, testing::ValuesIn(backends()),
                         backend_case_name);

// ---- certificates that are refused ----

struct BadCertificate {
    const char* name;
    const TlsIdentity& (TlsPki::*identity)();
    int verify_code;
    const char* text;
    int depth;
    bool with_revocation_list = false;
};

const BadCertificate bad_certificates[] = {
    {"expired", &TlsPki::expired, X509_V_ERR_CERT_HAS_EXPIRED, "expired", 0},
    {"not_yet_valid", &TlsPki::not_yet_valid, X509_V_ERR_CERT_NOT_YET_VALID, "not yet valid", 0},
    {"self_signed", &TlsPki::self_signed, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "self-signed", 0},
    {"unknown", &TlsPki::unknown, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "issuer", 0},
    {"other_name", &TlsPki::other_server, X509_V_ERR_HOSTNAME_MISMATCH, "other.test", 0},
    {"common_name_only", &TlsPki::common_name_only, X509_V_ERR_HOSTNAME_MISMATCH, "names no host",
     0},
    {"revoked", &TlsPki::revoked, X509_V_ERR_CERT_REVOKED, "revoked", 0, true},
};

TEST_P(TlsHandshakeFailures, I129_I130_C1_each_bad_certificate_is_refused_with_its_reason) {
    for (const BadCertificate& bad : bad_certificates) {
        SCOPED_TRACE(bad.name);
        const TlsIdentity& identity = (pki().*bad.identity)();
        const Ref<Server> server = serve(server_with(identity));
        TlsOptions options = trusting();
        if (bad.with_revocation_list) {
            options.revocation_list_file(pki().revocation_list_file());
        }
        const auto error = refused(port_of(server), client_with(std::move(options)));
        ASSERT_TRUE(error);
        EXPECT_EQ(error->code(), Error::tls_certificate_rejected);
        const TlsFailure& failure = error->failure();
        EXPECT_EQ(failure.phase, "handshake");
        EXPECT_EQ(failure.verify_code, bad.verify_code) << failure.text;
        EXPECT_EQ(failure.verify_depth, bad.depth);
        EXPECT_EQ(failure.host, "example.test");
        EXPECT_EQ(failure.subject, identity.subject);
        EXPECT_EQ(failure.issuer, identity.issuer);
        EXPECT_NE(failure.alert_sent, "");
        const std::string address = "127.0.0.1:" + std::to_string(port_of(server));
        EXPECT_EQ(error->address(), address);
        EXPECT_THAT(error->what(), AllOf(HasSubstr("certificate verify failed"), HasSubstr(address),
                                         HasSubstr(bad.text), HasSubstr("example.test")));
        shut_down(server);
    }
    for (const Recorder* each : connections()) {
        EXPECT_FALSE(each->made()) << "a server's protocol met a client that refused it";
    }
    EXPECT_EQ(loop().counters().exceptions_reported, 0U)
        << "servers say nothing about clients that refuse them";
}

TEST_P(TlsHandshakeFailures,
       I130_nothing_the_protocol_could_say_reaches_a_server_of_the_wrong_name) {
    const SslContextPtr context = foreign_server_context(pki().other_server());
    Recorder& never = make_recorder();
    Listener listener;
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", listener.port(), secure_client(), &never));
    Peer peer;
    ASSERT_TRUE(run_until([&] {
        if (!peer.is_open()) {
            if (std::optional<Peer> accepted = listener.accept()) {
                peer = std::move(*accepted);
                peer.speak_tls(std::make_unique<PeerTls>(context.get(), true));
            }
        }
        peer.receive_available();
        return connecting.done() && (peer.saw_end() || peer.error() != 0 || peer.tls()->failed());
    }));
    EXPECT_THROW(connecting.result(), TlsError);
    EXPECT_EQ(peer.received(), "");
    EXPECT_FALSE(never.made());
    EXPECT_FALSE(peer.tls()->handshaken());
}

TEST_P(TlsHandshakeFailures, a_client_without_the_required_certificate_learns_which_alert_it_got) {
    const Ref<Server> server =
        serve(server_with(pki().server(), TlsOptions()
                                              .certificate_authority_file(pki().root_file())
                                              .client_certificates(ClientCertificates::required)));
    const auto alert_for = [&](TlsOptions options) {
        // With TLS 1.3 the client is ready before the server has looked at its certificate.
        Recorder& client = connect(port_of(server), client_with(std::move(options)));
        client.transport().write("let me in");
        run_until([&] { return client.lost(); });
        EXPECT_EQ(client.reason(), Error::tls_protocol_error);
        EXPECT_EQ(client.received(), "");
        return client.transport().get_extra_info(extra::tls_failure).alert_received;
    };
    EXPECT_EQ(alert_for(trusting()), "certificate_required");
    EXPECT_EQ(alert_for(trusting().identity_files(pki().unknown_client().certificate_file,
                                                  pki().unknown_client().key_file)),
              "unknown_ca");
    const auto error =
        refused(port_of(server), client_with(trusting().maximum_version(TlsVersion::tls1_2)));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_handshake_failed);
    EXPECT_EQ(error->failure().alert_received, "handshake_failure");
    EXPECT_EQ(server->connection_count(), 0U);
    EXPECT_TRUE(connections().empty()) << "a protocol was made for a client that never got in";
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    shut_down(server);
}

TEST_P(TlsHandshakeFailures, C15_endless_chains_and_huge_certificates_are_refused) {
    const TlsIdentity deep = pki().issue_deep(100);
    const TlsIdentity huge =
        pki().issue({.names = {"DNS:example.test"}, .padding_bytes = 1024 * 1024});
    for (const TlsIdentity* identity : {&deep, &huge}) {
        const Ref<Server> server = serve(server_with(*identity));
        const auto error = refused(port_of(server));
        ASSERT_TRUE(error);
        EXPECT_EQ(error->failure().phase, "handshake") << error->what();
        shut_down(server);
    }
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
}

// ---- arguments ----

TEST_P(TlsHandshakeFailures, I133_I134_I137_I138_wrong_arguments_are_refused_at_the_call) {
    const auto call = [&](ConnectOptions options) {
        return [this, options = std::move(options)] {
            Recorder& never = make_recorder();
            auto task =
                loop().create_connection<RecordingProtocol>("127.0.0.1", 1, options, &never);
        };
    };
    EXPECT_THAT(
        message_of<std::invalid_argument>(call(ConnectOptions().server_hostname("example.test"))),
        HasSubstr("only meaningful with tls"));
    EXPECT_THAT(message_of<std::invalid_argument>(call(ConnectOptions().tls_handshake_timeout(1s))),
                HasSubstr("only meaningful with tls"));
    EXPECT_THAT(message_of<std::invalid_argument>(call(ConnectOptions().tls_shutdown_timeout(1s))),
                HasSubstr("only meaningful with tls"));
    EXPECT_THAT(
        message_of<std::invalid_argument>(call(ConnectOptions().tls(test_server_context()))),
        HasSubstr("client's TlsContext"));
    for (const std::string& name : {std::string(), std::string(".example.test"),
                                    std::string("exa\0mple.test", 13), std::string(300, 'x'),
                                    std::string("b\xc3\xbc"
                                                "cher.test")}) {
        EXPECT_THROW(call(secure_client().server_hostname(name))(), std::invalid_argument) << name;
    }
    for (const auto limit : {0s, -1s}) {
        EXPECT_THROW(secure_client().tls_handshake_timeout(limit), std::invalid_argument);
        EXPECT_THROW(secure_client().tls_shutdown_timeout(limit), std::invalid_argument);
    }
    EXPECT_THROW(
        {
            auto task = loop().create_server(recording_factory(), "127.0.0.1", 0,
                                             ServerOptions().tls(test_client_context()));
        },
        std::invalid_argument);
}

// ---- handshakes that do not end, or end badly ----

TEST_P(TlsHandshakeFailures, I135_a_silent_server_runs_into_the_handshake_timeout) {
    Listener silent;
    const auto error = refused(silent.port(), secure_client().tls_handshake_timeout(20ms));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_handshake_timeout);
    EXPECT_THAT(error->what(), HasSubstr("handshake is taking longer than 0.02 seconds"));
    EXPECT_EQ(loop().counters().timers_pending, 0U);
}

TEST_P(TlsHandshakeFailures, a_limit_without_end_is_no_limit) {
    const auto for_ever = std::chrono::nanoseconds::max();
    const Ref<Server> server =
        serve(secure_server().tls_handshake_timeout(for_ever).tls_shutdown_timeout(for_ever));
    Recorder& client =
        connect(port_of(server),
                secure_client().tls_handshake_timeout(for_ever).tls_shutdown_timeout(for_ever));
    ASSERT_TRUE(wait_for_connections(1));
    client.transport().close();
    ASSERT_TRUE(run_until([&] { return client.lost() && connections()[0]->lost(); }));
    EXPECT_EQ(client.reason(), std::error_code());
    shut_down(server);
}

TEST_P(TlsHandshakeFailures, I135_a_silent_client_is_cut_off_and_others_are_not_harmed) {
    // Long enough for the neighbour's own handshake on a machine that is busy with other things.
    const Ref<Server> server = serve(secure_server().tls_handshake_timeout(500ms));
    Recorder& client = connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    connections()[0]->on_data = [&](Bytes data) { connections()[0]->transport().write(data); };
    Peer silent = Peer::connect(port_of(server));
    ASSERT_TRUE(run_with({&silent}, [&] { return silent.saw_end() || silent.error() != 0; }));
    EXPECT_EQ(connections().size(), 1U);
    client.transport().write("still there");
    ASSERT_TRUE(run_until([&] { return client.received() == "still there"; }));
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    EXPECT_EQ(server->connection_count(), 1U);
    shut_down(server);
}

TEST_P(TlsHandshakeFailures, I140_a_server_that_ends_in_the_handshake_is_a_reset_connection) {
    for (const bool by_reset : {false, true}) {
        Listener listener;
        Recorder& never = make_recorder();
        auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
            "127.0.0.1", listener.port(), secure_client(), &never));
        Peer peer;
        ASSERT_TRUE(run_until([&] {
            if (std::optional<Peer> accepted = listener.accept()) {
                peer = std::move(*accepted);
            }
            if (peer.is_open() && peer.received().empty()) {
                peer.receive_available();
                if (!peer.received().empty()) {
                    by_reset ? peer.reset() : peer.close();
                }
            }
            return connecting.done();
        }));
        const auto error = caught<TlsError>([&] { connecting.result(); });
        ASSERT_TRUE(error);
        EXPECT_EQ(error->code(), std::errc::connection_reset);
        EXPECT_EQ(error->failure().phase, "handshake");
        EXPECT_THAT(error->what(), HasSubstr("during the TLS handshake"));
        EXPECT_FALSE(never.made());
    }
}

TEST_P(TlsHandshakeFailures, I143_a_plain_server_is_told_apart) {
    const Ref<Server> server = serve();
    Recorder& client = make_recorder();
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", port_of(server), secure_client(), &client));
    ASSERT_TRUE(wait_for_connections(1));
    connections()[0]->transport().write("220 mail.example.test ESMTP\r\n");
    ASSERT_TRUE(run_until([&] { return connecting.done(); }));
    const auto error = caught<TlsError>([&] { connecting.result(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::tls_handshake_failed);
    EXPECT_THAT(error->what(), HasSubstr("the peer does not speak TLS"));
    shut_down(server);
}

TEST_P(TlsHandshakeFailures, I141_cancelling_in_the_handshake_closes_the_socket_without_a_word) {
    const Ref<Server> server = serve(secure_server());
    for (int steps = 0; steps < 12; ++steps) {
        // How many, not which: a backend that accepts ahead has sockets of its own once the loop has run, and
        // other ones afterwards.
        run_idle();
        const std::size_t before = open_descriptors().size();
        Recorder& client = make_recorder();
        auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
            "127.0.0.1", port_of(server), secure_client(), &client));
        for (int step = 0; step < steps; ++step) {
            loop().run_once();
        }
        if (!connecting.cancel()) {
            connecting.result().transport->abort();
        }
        ASSERT_TRUE(
            run_until([&] { return connecting.done() && server->connection_count() == 0; }));
        if (!connecting.cancelled()) {
            connecting.result().transport->abort();
        }
        connecting = {};
        ASSERT_TRUE(run_until([&] { return open_descriptors().size() == before; }));
        EXPECT_EQ(client.made(), client.lost());
    }
    shut_down(server);
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
}

TEST_P(TlsHandshakeFailures, I141_a_limit_of_connecting_does_not_touch_the_handshake_after_it) {
    Listener silent;
    Recorder& client = make_recorder();
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", silent.port(), secure_client().timeout(100ms), &client));
    bool later = false;
    loop().call_later(200ms, [&] { later = true; });
    ASSERT_TRUE(run_until([&] { return later; }));
    EXPECT_FALSE(connecting.done());
    ASSERT_TRUE(connecting.cancel());
    ASSERT_TRUE(run_until([&] { return connecting.done(); }));
    EXPECT_TRUE(connecting.cancelled()) << "told as timed out";
}

TEST_P(TlsHandshakeFailures, I141_a_server_that_aborts_its_clients_ends_handshakes_too) {
    const Ref<Server> server = serve(secure_server());
    Peer silent = Peer::connect(port_of(server));
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 1; }));
    EXPECT_EQ(new_ssl_objects(), 1U);
    server->close();
    server->close_clients();
    run(server->wait_closed());
    EXPECT_TRUE(run_with({&silent}, [&] { return silent.saw_end() || silent.error() != 0; }));
    EXPECT_EQ(new_ssl_objects(), 0U);
    EXPECT_TRUE(connections().empty());
}

TEST_P(TlsHandshakeFailures, I146_failing_a_hundred_times_leaks_nothing) {
    const Ref<Server> server = serve(server_with(pki().other_server()));
    const TlsContext context = TlsContext::client(trusting());
    Recorder& never = make_recorder();
    const auto fail_once = [&] {
        EXPECT_THROW(run(loop().create_connection<RecordingProtocol>(
                         "127.0.0.1", port_of(server),
                         ConnectOptions().tls(context).server_hostname("example.test"), &never)),
                     TlsError);
        ASSERT_TRUE(run_until([&] { return server->connection_count() == 0; }));
    };
    for (int i = 0; i < 10; ++i) {
        fail_once();
    }
    const std::size_t descriptors = open_descriptors().size();
    const std::size_t bytes = live_openssl_bytes();
    const std::size_t objects = live_ssl_objects();
    for (int i = 0; i < 100; ++i) {
        fail_once();
    }
    EXPECT_EQ(open_descriptors().size(), descriptors);
    EXPECT_EQ(live_ssl_objects(), objects);
    // What OpenSSL caches may still move by a little; a leaked SSL object alone has several KiB.
    EXPECT_LT(live_openssl_bytes(), bytes + 16 * 1024);
    EXPECT_FALSE(never.made());
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
