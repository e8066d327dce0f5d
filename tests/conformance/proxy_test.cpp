// PROXY headers on the kernel's sockets: before TLS, over IPv6, and with options of the server that the
// simulation does not need to see.
#include <sluice/proxy_protocol.hpp>

#include "support/tls_fixture.hpp"

#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

const std::string line = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

class Proxied : public TlsTest {
protected:
    static ProxyProtocolOptions loopback() {
        return ProxyProtocolOptions().trust("127.0.0.0/8").trust("::1");
    }
    [[nodiscard]] std::string peer_of(std::size_t index) const {
        return connections().at(index)->transport().get_extra_info(extra::peername).to_string();
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Proxied, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Proxied, what_follows_the_header_in_one_segment_is_the_protocols) {
    Ref<Server> server = serve(ServerOptions().proxy_protocol(loopback()));
    Peer peer = connect_to("127.0.0.1", port_of(server));
    const std::string sent = pattern(100'000);
    peer.send(line);
    peer.send(sent);
    ASSERT_TRUE(wait_for_connections(1));
    ASSERT_TRUE(run_until([&] { return connections()[0]->received().size() == sent.size(); }));
    EXPECT_TRUE(connections()[0]->received() == sent);
    EXPECT_EQ(peer_of(0), "192.0.2.7:50000");
    shut_down(server);
}

TEST_P(Proxied, TLS_begins_behind_the_header_whether_in_one_segment_or_byte_by_byte) {
    Ref<Server> server = serve(secure_server().proxy_protocol(loopback()));
    for (const bool dripping : {false, true}) {
        Peer peer = connect_to("127.0.0.1", port_of(server));
        const std::size_t before = connections().size();
        if (dripping) {
            for (const char byte : line) {
                peer.send_raw(std::string_view(&byte, 1));
                run_idle();
            }
        } else {
            peer.send_raw(line);
        }
        const SslContextPtr context = foreign_client_context();
        peer.speak_tls(std::make_unique<PeerTls>(context.get(), false));
        peer.send("through TLS");
        ASSERT_TRUE(run_with({&peer}, [&] {
            return connections().size() > before &&
                   connections().back()->received() == "through TLS";
        }));
        EXPECT_EQ(peer_of(before), "192.0.2.7:50000");
        const Transport& transport = connections().back()->transport();
        EXPECT_EQ(transport.get_extra_info(extra::proxy).real_peer(), address_of(peer.fd()));
        EXPECT_TRUE(transport.get_extra_info(extra::tls));
    }
    shut_down(server);
}

TEST_P(Proxied, TLS_without_a_header_is_refused_before_any_handshake) {
    Ref<Server> server = serve(secure_server().proxy_protocol(loopback()));
    EXPECT_TRUE(refused(port_of(server)));
    EXPECT_EQ(server->counters().proxy_rejected, 1U);
    EXPECT_EQ(server->counters().handshakes_failed, 0U);
    shut_down(server);
}

TEST_P(Proxied, a_header_over_IPv6_may_announce_IPv4) {
    if (!has_ipv6()) {
        GTEST_SKIP() << "no IPv6 loopback here";
    }
    Ref<Server> server = serve(ServerOptions().proxy_protocol(loopback()), "::1");
    Peer peer = connect_to("::1", port_of(server));
    peer.send(line);
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_EQ(peer_of(0), "192.0.2.7:50000");
    shut_down(server);
}

TEST_P(Proxied, a_slow_header_is_closed_and_its_descriptor_is_back) {
    Ref<Server> server = serve(ServerOptions().proxy_protocol(loopback().timeout(10ms)));
    Peer peer = connect_to("127.0.0.1", port_of(server));
    peer.send("PROXY TCP4");
    ASSERT_TRUE(run_until([&] { return server->counters().proxy_rejected == 1; }));
    EXPECT_EQ(server->counters().open, 0U);
    EXPECT_TRUE(connections().empty());
    shut_down(server);
}

TEST_P(Proxied, limits_of_the_options_reach_every_connection) {
    Ref<Server> server =
        serve(ServerOptions().proxy_protocol(loopback()).idle_timeout(10ms).write_timeout(1h));
    Peer peer = connect_to("127.0.0.1", port_of(server));
    peer.send(line);
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_EQ(connections()[0]->transport().get_write_timeout(), std::chrono::nanoseconds(1h));
    ASSERT_TRUE(run_until([&] { return connections()[0]->lost(); }));
    EXPECT_EQ(connections()[0]->trace(), "M L(idle_timeout)");
    shut_down(server);
}

TEST_P(Proxied, limits_of_the_options_reach_a_client_and_cover_its_handshake) {
    Listener silent;
    const auto error = refused(silent.port(), secure_client().idle_timeout(20ms));
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), make_error_code(Error::idle_timeout));
    Ref<Server> server = serve(secure_server());
    const Recorder& client = connect(port_of(server), secure_client().idle_timeout(1h));
    EXPECT_EQ(client.transport().get_idle_timeout(), std::chrono::nanoseconds(1h));
    shut_down(server);
}

TEST_P(Proxied, an_address_has_so_many_TLS_connections_and_no_more) {
    Ref<Server> server = serve(secure_server().max_connections_per_address(1));
    const Recorder& first = connect(port_of(server));
    EXPECT_TRUE(refused(port_of(server)));
    EXPECT_EQ(server->refused_count(), 1U);
    first.transport().close();
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 0; }));
    const Recorder& second = connect(port_of(server));
    EXPECT_TRUE(second.made());
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
