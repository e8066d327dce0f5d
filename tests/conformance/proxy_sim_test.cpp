// PROXY headers before connections, in simulated time: pieces of any size, slow ones, floods.
#include <sluice/proxy_protocol.hpp>

#include "support/sim_server_fixture.hpp"

#include <algorithm>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

const std::string line = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

std::string binary_header() {
    std::string header("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x1b", 16);
    header += std::string("\xc0\0\2\7\xc6\x33\x64\1\xc3\x50\1\xbb", 12);
    header += std::string("\2\0\x0c", 3) + "example.test";
    return header;
}

class ProxyInTime : public SimServerTest {
protected:
    static ProxyProtocolOptions trusting() {
        return ProxyProtocolOptions().trust("10.0.0.0/8").timeout(5s);
    }
    Ref<Server> serve_behind(ProxyProtocolOptions options = trusting()) {
        return serve(ServerOptions().backlog(4096).proxy_protocol(std::move(options)));
    }
    [[nodiscard]] std::string peer_of(std::size_t index = 0) const {
        return connection(index).transport().get_extra_info(extra::peername).to_string();
    }
    static void expect_closed(SimPeer& peer) {
        peer.receive(1000);
        EXPECT_TRUE(peer.broken() || peer.at_end());
    }
};

TEST_F(ProxyInTime, the_header_is_taken_and_what_follows_is_delivered) {
    Ref<Server> server = serve_behind();
    for (const std::string& header : {line, binary_header()}) {
        SimPeer peer = client();
        say(peer, header + "hello");
        pass(1ms);
        ASSERT_FALSE(connections().empty());
        EXPECT_EQ(connections().back()->received(), "hello");
        EXPECT_EQ(peer_of(connections().size() - 1), "192.0.2.7:50000");
    }
    EXPECT_EQ(server->counters().accepted, 2U);
    EXPECT_EQ(server->counters().proxy_rejected, 0U);
    EXPECT_EQ(server->counters().open, 2U);
    EXPECT_EQ(loop().counters().timers_pending, 0U);
}

TEST_F(ProxyInTime, the_transport_knows_both_the_announced_and_the_real_addresses) {
    serve_behind();
    SimPeer peer = client("10.0.0.9", 1234);
    say(peer, binary_header());
    pass(1ms);
    ASSERT_EQ(connections().size(), 1U);
    const Transport& transport = connection().transport();
    EXPECT_EQ(transport.get_extra_info(extra::sockname).to_string(), "198.51.100.1:443");
    const ProxyHeader header = transport.get_extra_info(extra::proxy);
    ASSERT_TRUE(header);
    EXPECT_EQ(header.version(), 2);
    EXPECT_EQ(header.source().to_string(), "192.0.2.7:50000");
    EXPECT_EQ(header.destination().to_string(), "198.51.100.1:443");
    EXPECT_EQ(header.real_peer().to_string(), "10.0.0.9:1234");
    EXPECT_EQ(header.real_local().to_string(), "127.0.0.1:9000");
    EXPECT_EQ(header.authority(), "example.test");
    EXPECT_EQ(header.alpn(), std::nullopt);
    ASSERT_EQ(header.additions().size(), 1U);
    EXPECT_EQ(header.additions()[0].type, 2);
    EXPECT_FALSE(header.has_checksum());
    peer.close();
    pass(1ms);
    EXPECT_EQ(transport.get_extra_info(extra::proxy).version(), 2) << "survives the end";
}

TEST_F(ProxyInTime, UNKNOWN_and_LOCAL_leave_the_real_addresses) {
    serve_behind();
    for (const std::string& header :
         {std::string("PROXY UNKNOWN\r\n"), std::string("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16)}) {
        SimPeer peer = client("10.0.0.9", 1234);
        say(peer, header + "x");
        pass(1ms);
        const std::size_t last = connections().size() - 1;
        EXPECT_EQ(peer_of(last), "10.0.0.9:1234");
        EXPECT_EQ(connection(last).received(), "x");
        EXPECT_FALSE(connection(last).transport().get_extra_info(extra::proxy).source());
        peer.close();
        pass(1ms);
    }
    EXPECT_TRUE(connection(1).transport().get_extra_info(extra::proxy).is_local());
}

TEST_F(ProxyInTime, it_may_come_byte_by_byte_and_nothing_spins_meanwhile) {
    for (const bool optional : {false, true}) {
        Ref<Server> server = serve_behind(trusting().timeout(60s).optional(optional));
        for (const std::string& header : {line, binary_header()}) {
            SimPeer peer = client();
            const std::uint64_t before = loop().counters().iterations;
            for (const char byte : header + "hi") {
                say(peer, std::string_view(&byte, 1));
                pass(500ms);
            }
            EXPECT_EQ(connections().back()->received(), "hi");
            EXPECT_EQ(peer_of(connections().size() - 1), "192.0.2.7:50000");
            // Some 20 iterations of run_idle() for each byte, and where bytes must stay in the
            // socket, a look every 100 ms.
            EXPECT_LT(loop().counters().iterations - before, header.size() * 40);
        }
        server->close();
        server->abort_clients();
        pass(1ms);
    }
}

TEST_F(ProxyInTime, short_reads_and_false_alarms_change_nothing) {
    kernel().faults.short_read = 500;
    kernel().faults.spurious_block = 200;
    serve_behind();
    for (int count = 0; count < 60; ++count) {
        SimPeer peer = client("10.0.1." + std::to_string(count % 250));
        say(peer, (count % 2 == 0 ? line : binary_header()) + "hello");
        pass(2ms);
    }
    ASSERT_EQ(connections().size(), 60U);
    for (std::size_t index = 0; index < 60; ++index) {
        EXPECT_EQ(connection(index).received(), "hello");
        EXPECT_EQ(peer_of(index), "192.0.2.7:50000");
    }
}

TEST_F(ProxyInTime, rel_K6_a_header_that_never_ends_is_closed_when_the_time_is_over) {
    Ref<Server> server = serve_behind();
    const std::size_t before = kernel().open_descriptors();
    std::vector<SimPeer> peers;
    for (const std::string& part : {std::string(), line.substr(0, 3), line.substr(0, 20),
                                    binary_header().substr(0, 15), binary_header().substr(0, 40)}) {
        peers.push_back(client());
        if (!part.empty()) {
            say(peers.back(), part);
        }
    }
    pass(4900ms);
    EXPECT_EQ(server->counters().open, peers.size());
    EXPECT_EQ(server->counters().accepted, 0U);
    EXPECT_EQ(server->counters().proxy_rejected, 0U);
    pass(200ms);
    EXPECT_EQ(server->counters().open, 0U);
    EXPECT_EQ(server->counters().proxy_rejected, peers.size());
    EXPECT_EQ(kernel().open_descriptors(), before);
    EXPECT_EQ(loop().counters().timers_pending, 0U);
    for (SimPeer& peer : peers) {
        expect_closed(peer);
    }
    EXPECT_TRUE(connections().empty()) << "a protocol was made";
}

TEST_F(ProxyInTime, dripping_bytes_buys_no_time) {
    Ref<Server> server = serve_behind();
    SimPeer peer = client();
    const std::string header = binary_header();
    for (std::size_t index = 0; index < 5; ++index) {
        say(peer, header.substr(index, 1));
        pass(990ms);
    }
    EXPECT_EQ(server->counters().proxy_rejected, 0U);
    pass(100ms);
    EXPECT_EQ(server->counters().proxy_rejected, 1U);
}

TEST_F(ProxyInTime, rel_K6_what_is_wrong_is_closed_at_once) {
    Ref<Server> server = serve_behind();
    std::string too_long = binary_header();
    too_long[14] = too_long[15] = '\xff';
    std::uint64_t rejected = 0;
    for (const std::string& header :
         {std::string("GET / HTTP/1.1\r\n"), std::string("\x16\x03\x01"),
          "PROXY " + std::string(102, 'x'), std::string("PROXY TCP4 1 2 3 4\r\n"),
          too_long.substr(0, 16)}) {
        SimPeer peer = client();
        say(peer, header);
        pass(1ms);
        EXPECT_EQ(server->counters().proxy_rejected, ++rejected) << header;
        expect_closed(peer);
    }
    SimPeer gone = client();
    gone.close();
    SimPeer reset = client();
    reset.reset();
    pass(1ms);
    EXPECT_EQ(server->counters().proxy_rejected, rejected + 2);
    EXPECT_EQ(server->counters().open, 0U);
    EXPECT_TRUE(connections().empty());
}

TEST_F(ProxyInTime, a_source_that_is_not_trusted_is_closed_or_served_as_it_is) {
    Ref<Server> strict = serve_behind();
    SimPeer stranger = client("11.0.0.1");
    say(stranger, line + "x");
    pass(1ms);
    expect_closed(stranger);
    EXPECT_EQ(strict->counters().proxy_rejected, 1U);
    EXPECT_TRUE(connections().empty());
    strict->close();
    Ref<Server> mixed = serve_behind(trusting().serve_untrusted(true));
    SimPeer direct = client("11.0.0.1", 1234);
    say(direct, line + "x");
    pass(1ms);
    ASSERT_EQ(connections().size(), 1U);
    EXPECT_EQ(connection().received(), line + "x") << "believed, or eaten";
    EXPECT_EQ(peer_of(), "11.0.0.1:1234");
    EXPECT_FALSE(connection().transport().get_extra_info(extra::proxy));
}

TEST_F(ProxyInTime, where_it_is_optional_what_is_no_header_reaches_the_protocol_whole) {
    serve_behind(trusting().optional(true));
    for (const std::string& bytes :
         {std::string("GET /"), std::string("PROXIMA"), std::string("\r\n\r\n\0\r\nQUIX", 11)}) {
        SimPeer peer = client("10.0.0.9");
        for (const char byte : bytes) {
            say(peer, std::string_view(&byte, 1));
            pass(10ms);
        }
        pass(200ms);
        EXPECT_EQ(connections().back()->received(), bytes);
        EXPECT_TRUE(peer_of(connections().size() - 1).starts_with("10.0.0.9:"));
    }
    // Less than tells, and nothing: served when the time is over, for servers that speak first.
    SimPeer part = client();
    say(part, "PRO");
    client();
    SimPeer ended = client();
    ended.finish();
    pass(1s);
    EXPECT_EQ(connections().size(), 4U) << "the end alone is not a header, either";
    pass(5s);
    ASSERT_EQ(connections().size(), 6U);
    pass(1ms);
    EXPECT_EQ(connection(4).received() + connection(5).received(), "PRO");
}

TEST_F(ProxyInTime, thousands_that_say_nothing_harm_nobody_and_are_closed) {
    kernel().set_descriptor_limit(4096);
    Ref<Server> server = serve_behind();
    const std::size_t before = kernel().open_descriptors();
    for (int count = 0; count < 1000; ++count) {
        client("10.1.0." + std::to_string(count % 250 + 1));
    }
    pass(1s);
    EXPECT_EQ(server->counters().open, 1000U);
    SimPeer honest = client("10.2.0.1");
    say(honest, line + "served");
    pass(1ms);
    ASSERT_EQ(connections().size(), 1U);
    EXPECT_EQ(connection().received(), "served");
    pass(6s);
    EXPECT_EQ(server->counters().proxy_rejected, 1000U);
    EXPECT_EQ(server->counters().open, 1U);
    EXPECT_EQ(kernel().open_descriptors(), before + 1);
    EXPECT_EQ(connection().count('L'), 0U);
}

TEST_F(ProxyInTime, max_connections_counts_those_whose_header_is_awaited) {
    Ref<Server> server = serve(ServerOptions().max_connections(2).proxy_protocol(trusting()));
    client();
    client();
    pass(1ms);
    SimPeer third = client();
    pass(1ms);
    EXPECT_EQ(server->counters().refused, 1U);
    expect_closed(third);
    pass(6s);
    EXPECT_EQ(server->counters().proxy_rejected, 2U);
    SimPeer fourth = client();
    say(fourth, line);
    pass(1ms);
    EXPECT_EQ(connections().size(), 1U);
}

TEST_F(ProxyInTime, a_closed_server_forgets_those_whose_header_is_awaited) {
    Ref<Server> server = serve_behind();
    SimPeer peer = client();
    pass(1ms);
    ASSERT_EQ(server->counters().open, 1U);
    server->close();
    auto closing = loop().create_task(server->wait_closed());
    ASSERT_TRUE(run_until([&closing] { return closing.done(); }));
    EXPECT_EQ(server->counters().open, 0U);
    expect_closed(peer);
}

TEST_F(ProxyInTime, a_loop_that_goes_takes_them_along) {
    const std::size_t before = kernel().open_descriptors();
    Ref<Server> server = serve_behind();
    client();
    pass(1ms);
    destroy_loop();
    EXPECT_EQ(server->counters().open, 0U);
    EXPECT_LE(kernel().open_descriptors(), before);
    server.reset();
}

// ---- limits per address ----

TEST_F(ProxyInTime, rel_K4_an_address_has_so_many_connections_and_no_more) {
    Ref<Server> server = serve(ServerOptions().max_connections_per_address(2));
    SimPeer first = client("10.0.0.1");
    client("10.0.0.1");
    SimPeer third = client("10.0.0.1");
    client("10.0.0.2");
    pass(1ms);
    EXPECT_EQ(connections().size(), 3U);
    EXPECT_EQ(server->refused_count(), 1U);
    EXPECT_EQ(server->counters().accepted, 3U);
    expect_closed(third);
    first.close();
    pass(1ms);
    client("10.0.0.1");
    pass(1ms);
    EXPECT_EQ(connections().size(), 4U);
    EXPECT_EQ(server->refused_count(), 1U);
}

TEST_F(ProxyInTime, behind_a_proxy_the_announced_address_is_limited) {
    Ref<Server> server =
        serve(ServerOptions().max_connections_per_address(1).proxy_protocol(trusting()));
    SimPeer first = client();
    say(first, line);
    SimPeer second = client("10.0.0.200");
    say(second, line);
    SimPeer other = client();
    say(other, "PROXY TCP4 192.0.2.8 198.51.100.1 50000 443\r\n");
    pass(1ms);
    EXPECT_EQ(connections().size(), 2U);
    EXPECT_EQ(server->refused_count(), 1U);
    EXPECT_EQ(server->counters().open, 2U);
    expect_closed(second);
    EXPECT_EQ(peer_of(1), "192.0.2.8:50000");
}

TEST_F(ProxyInTime, a_proxy_that_nobody_trusts_is_a_mistake) {
    const auto factory = [] { return std::unique_ptr<StreamProtocol>(); };
    EXPECT_THROW(
        static_cast<void>(loop().create_server(
            factory, "127.0.0.1", 9000, ServerOptions().proxy_protocol(ProxyProtocolOptions()))),
        std::invalid_argument);
}

}  // namespace
}  // namespace sluice::test
