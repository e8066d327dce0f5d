// TLS handshakes over sockets that succeed (group I of asyncio's behaviour, D1 and K5 of the
// reliability list): what both ends learn, how the bytes may be cut, and what a flood costs others.
//
// Failures are in tls_handshake_failures_test.cpp.
#include "support/tls_fixture.hpp"
#include "support/transport_pair.hpp"

#include <random>
#include <stdexcept>

namespace sluice::test {
namespace {

class TlsHandshake : public TlsTest {};
INSTANTIATE_TEST_SUITE_P(Every, TlsHandshake, testing::ValuesIn(backends()), backend_case_name);

void echo(Recorder& recorder) {
    recorder.on_data = [&recorder](Bytes data) { recorder.transport().write(data); };
}

TEST_P(TlsHandshake, a_session_ticket_leaves_with_the_answer_to_what_came_with_Finished) {
    const auto recording = recording_factory();
    auto listening = loop().create_server(
        [&] {
            auto protocol = recording();
            echo(*connections().back());
            return protocol;
        },
        "127.0.0.1", 0, secure_server());
    const Ref<Server> server = loop().run_until_complete(std::move(listening));
    Peer peer = Peer::connect(port_of(server));
    peer.speak_tls(std::make_unique<PeerTls>(false));
    peer.send("question");  // which the peer keeps until it has said Finished
    const std::uint64_t before = loop().counters().send_calls;
    ASSERT_TRUE(run_until([&] { return loop().counters().send_calls == before + 1; }));
    ASSERT_TRUE(wait_readable(peer.fd()));
    ASSERT_TRUE(run_with({&peer}, [&] { return peer.received() == "question"; }));
    EXPECT_EQ(loop().counters().send_calls, before + 2);
    EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get_session(peer.tls()->ssl())), 1);
    shut_down(server);
}

// ---- what both ends learn ----

TEST_P(TlsHandshake, I127_both_versions_echo) {
    for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
        const Ref<Server> server = serve(secure_server());
        Recorder& client =
            connect(port_of(server),
                    client_with(trusting().maximum_version(version).minimum_version(version)));
        ASSERT_TRUE(run_until([&] { return connections().back()->made(); }));
        echo(*connections().back());
        const std::string text = pattern(100'000);
        client.transport().write(text);
        ASSERT_TRUE(run_until([&] { return client.received().size() == text.size(); }));
        EXPECT_EQ(client.received(), text);
        EXPECT_EQ(client.transport().get_extra_info(extra::tls).version(),
                  version == TlsVersion::tls1_2 ? "TLSv1.2" : "TLSv1.3");
        shut_down(server);
    }
}

TEST_P(TlsHandshake, I131_I149_I150_both_ends_know_version_cipher_names_and_certificates) {
    const Ref<Server> server =
        serve(server_with(pki().server(), TlsOptions()
                                              .certificate_authority_file(pki().root_file())
                                              .client_certificates(ClientCertificates::required)));
    Recorder& client =
        connect(port_of(server), client_with(trusting().identity_files(
                                     pki().client().certificate_file, pki().client().key_file)));
    ASSERT_TRUE(wait_for_connections(1));
    const TlsInfo ours = client.transport().get_extra_info(extra::tls);
    const TlsInfo theirs = connections()[0]->transport().get_extra_info(extra::tls);
    ASSERT_TRUE(ours);
    ASSERT_TRUE(theirs);
    EXPECT_EQ(ours.version(), "TLSv1.3");
    EXPECT_EQ(ours.cipher(), theirs.cipher());
    EXPECT_GE(ours.cipher_bits(), 128);
    EXPECT_EQ(theirs.server_name(), "example.test");
    EXPECT_FALSE(ours.session_reused());
    EXPECT_EQ(ours.layer(), 0);
    EXPECT_FALSE(ours.ktls_send()) << "the keys that OpenSSL offers for the kernel stay with us";
    ASSERT_TRUE(ours.peer_certificate());
    EXPECT_THAT(ours.peer_certificate()->names, testing::ElementsAreArray(TlsPki::server_names));
    EXPECT_EQ(ours.peer_chain().size(), 2U);
    EXPECT_EQ(ours.verified_chain().size(), 3U);
    ASSERT_TRUE(theirs.peer_certificate());
    EXPECT_EQ(theirs.peer_certificate()->subject, "CN=client");
    EXPECT_EQ(theirs.verified_chain().size(), 3U);
    shut_down(server);
    EXPECT_TRUE(client.transport().get_extra_info(extra::tls)) << "J175: it survives the end";
    EXPECT_EQ(client.transport().get_extra_info(extra::tls).cipher(), ours.cipher());
}

TEST_P(TlsHandshake, I148_channel_bindings_are_the_same_at_both_ends) {
    const Ref<Server> server = serve(secure_server());
    Recorder& client = connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    const TlsInfo ours = client.transport().get_extra_info(extra::tls);
    const TlsInfo theirs = connections()[0]->transport().get_extra_info(extra::tls);
    EXPECT_EQ(ours.channel_binding("tls-exporter").size(), 32U);
    EXPECT_EQ(ours.channel_binding("tls-exporter"), theirs.channel_binding("tls-exporter"));
    EXPECT_THROW(static_cast<void>(ours.channel_binding("tls-magic")), std::invalid_argument);
    shut_down(server);
}

TEST_P(TlsHandshake, I132_without_a_server_hostname_the_host_is_the_name) {
    const Ref<Server> server = serve(secure_server());
    Recorder& by_address = connect(port_of(server), ConnectOptions().tls(test_client_context()));
    EXPECT_TRUE(by_address.made());
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_EQ(connections()[0]->transport().get_extra_info(extra::tls).server_name(), "")
        << "an address was sent as SNI";

    Recorder& by_name = make_recorder();
    run(loop().create_connection<RecordingProtocol>(
        "localhost", port_of(server),
        ConnectOptions().tls(test_client_context()).family(Family::ipv4), &by_name));
    ASSERT_TRUE(wait_for_connections(2));
    EXPECT_EQ(connections()[1]->transport().get_extra_info(extra::tls).server_name(), "localhost");
    shut_down(server);
}

TEST_P(TlsHandshake, I147_the_protocol_agreed_on_is_known_at_both_ends) {
    const Ref<Server> server =
        serve(server_with(pki().server(), TlsOptions().alpn({"h2", "http/1.1"})));
    const auto agreed = [&](TlsOptions options) {
        Recorder& client = connect(port_of(server), client_with(std::move(options)));
        run_until([&] { return connections().back()->made(); });
        const std::string ours = client.transport().get_extra_info(extra::tls).alpn();
        EXPECT_EQ(connections().back()->transport().get_extra_info(extra::tls).alpn(), ours);
        return ours;
    };
    EXPECT_EQ(agreed(trusting().alpn({"http/1.1", "h2"})), "h2") << "the server's order decides";
    EXPECT_EQ(agreed(trusting().alpn({"http/1.1"})), "http/1.1");
    EXPECT_EQ(agreed(trusting().alpn({"gopher"})), "");
    EXPECT_EQ(agreed(trusting()), "");
    shut_down(server);
}

TEST_P(TlsHandshake, session_tickets_resume_the_next_connection) {
    const Ref<Server> server = serve(secure_server());
    const TlsContext context = TlsContext::client(trusting());
    const auto once = [&] {
        Recorder& client =
            connect(port_of(server), ConnectOptions().tls(context).server_hostname("example.test"));
        run_until([&] { return connections().back()->made(); });
        // A ticket counts once the client has read it: it comes before the data.
        connections().back()->transport().write("ready");
        run_until([&] { return client.received() == "ready"; });
        const bool reused = client.transport().get_extra_info(extra::tls).session_reused();
        client.transport().close();
        run_until([&] { return client.lost() && connections().back()->lost(); });
        return reused;
    };
    EXPECT_FALSE(once());
    EXPECT_TRUE(once());
    EXPECT_TRUE(once()) << "each connection gets a new ticket";
    shut_down(server);
}

// ---- how the bytes arrive ----

TEST_P(TlsHandshake, D1_a_handshake_survives_any_cutting_of_its_bytes) {
    const Ref<Server> server = serve(secure_server());
    TlsLink link(port_of(server));
    constexpr int seeds = 100;
    for (int seed = 0; seed <= seeds; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(static_cast<std::uint32_t>(seed));
        link.mangle = [&](Direction, std::string& waiting) {
            // Seed 0: byte by byte.
            const std::size_t most = seed == 0 ? 1 : random() % 700 + 1;
            std::string piece = waiting.substr(0, most);
            waiting.erase(0, most);
            return piece;
        };
        Recorder& client = connect(link);
        const auto made = static_cast<std::size_t>(seed) + 1;
        client.transport().write("hello");
        ASSERT_TRUE(run_with(link, [&] {
            return connections().size() == made && connections().back()->received() == "hello";
        }));
        connections().back()->transport().write("welcome");
        ASSERT_TRUE(run_with(link, [&] { return client.received() == "welcome"; }));
        client.transport().close();
        ASSERT_TRUE(run_with(link, [&] { return client.lost() && connections().back()->lost(); }));
        EXPECT_EQ(client.reason(), std::error_code());
        EXPECT_EQ(connections().back()->reason(), std::error_code());
        EXPECT_EQ(connections().back()->merged_trace(), "M D5 E L(None)");
    }
    shut_down(server);
}

TEST_P(TlsHandshake, D1_finished_data_and_close_notify_in_one_segment_are_told_in_order) {
    const Ref<Server> server = serve(secure_server());
    Peer peer = Peer::connect(port_of(server));
    PeerTls tls(false);
    std::string nothing;
    // By hand: everything the client says after its hello leaves in a single send.
    tls.read(nothing);
    peer.send(tls.take_output());
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        tls.feed(peer.take_received());
        tls.read(nothing);
        return tls.handshaken();
    }));
    ASSERT_TRUE(tls.write("request"));
    tls.shut_down();
    peer.send(tls.take_output());
    ASSERT_TRUE(
        run_with({&peer}, [&] { return !connections().empty() && connections()[0]->lost(); }));
    EXPECT_EQ(connections()[0]->trace(), "M D7 E L(None)");
    shut_down(server);
}

TEST_P(TlsHandshake, D1_data_right_behind_the_servers_flight_follows_connection_made) {
    const Ref<Server> server = serve(ServerOptions(secure_server()));
    TlsLink link(port_of(server));
    // Every flight of the server waits for what comes after it.
    std::size_t held = 0;
    int quiet_rounds = 0;
    link.mangle = [&](Direction direction, std::string& waiting) {
        if (direction == Direction::to_client) {
            quiet_rounds = waiting.size() == held ? quiet_rounds + 1 : 0;
            held = waiting.size();
            if (quiet_rounds < 5) {
                return std::string();
            }
        }
        held = 0;
        return std::exchange(waiting, {});
    };
    Recorder& client = make_recorder();
    bool returned_first = false;
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", link.port(), secure_client(), &client));
    client.on_data = [&](Bytes) { returned_first = connecting.done(); };
    ASSERT_TRUE(run_with(link, [&] {
        if (!connections().empty() && connections()[0]->made() &&
            connections()[0]->transport().get_extra_info(extra::counters).bytes_sent == 0) {
            connections()[0]->transport().write("greeting");
        }
        return client.received() == "greeting";
    }));
    EXPECT_TRUE(returned_first) << "data came before create_connection had returned";
    EXPECT_EQ(client.trace(), "M D8");
    shut_down(server);
}

TEST_P(TlsHandshake, K5_a_flood_of_handshakes_is_done_in_small_portions) {
    const Ref<Server> server = serve(secure_server());
    Recorder& established = connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    echo(*connections()[0]);
    constexpr std::size_t flood = 3 * limits::tls_handshake_turns;
    std::vector<Peer> clients;
    for (std::size_t i = 0; i < flood; ++i) {
        clients.push_back(Peer::connect(port_of(server)));
    }
    ASSERT_TRUE(run_until([&] { return server->connection_count() == flood + 1; }));
    for (Peer& client : clients) {
        client.speak_tls(std::make_unique<PeerTls>(false));
        client.send_some({});
    }
    for (const Recorder* each : connections()) {
        ASSERT_TRUE(each->made());
    }
    const auto answered = [&] {
        std::size_t count = 0;
        for (Peer& client : clients) {
            client.receive_available();
            count += client.tls()->handshaken() ? 1U : 0U;
        }
        return count;
    };
    established.transport().write("ping");
    ASSERT_TRUE(wait_readable(fd_of(connections()[0]->transport())));
    loop().run_once();
    loop().run_once();
    EXPECT_EQ(established.received(), "ping") << "it had to wait for the flood";
    EXPECT_LE(answered(), 2 * limits::tls_handshake_turns);
    ASSERT_TRUE(run_until([&] { return answered() == flood && connections().size() == flood + 1; }))
        << "some were forgotten";
    EXPECT_EQ(loop().counters().exceptions_reported, 0U);
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
