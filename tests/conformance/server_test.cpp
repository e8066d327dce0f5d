// create_server: which sockets it opens, with which options, and what its errors say. Group N of
// asyncio's behaviour; a server's life is in server_life_test.cpp.
#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"

#include <algorithm>
#include <set>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Servers : public BackendTest {
protected:
    Ref<Server> serve_on(std::vector<std::string> hosts, Port port = 0,
                         ServerOptions options = ServerOptions()) {
        return run(
            loop().create_server(recording_factory(), std::move(hosts), std::move(port), options));
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Servers, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Servers, N257_serves_several_clients_on_several_sockets) {
    Ref<Server> server = serve_on({"127.0.0.1", "127.0.0.2"});
    ASSERT_EQ(server->sockets().size(), 2U);
    std::vector<Peer> peers;
    for (int i = 0; i < 20; ++i) {
        const SocketView socket = server->sockets().at(static_cast<std::size_t>(i % 2));
        const SocketAddress& address = socket.local_address();
        peers.push_back(connect_to(address.host(), address.port()));
        peers.back().send("from " + std::to_string(i));
    }
    ASSERT_TRUE(wait_for_connections(20));
    ASSERT_TRUE(run_until([&] {
        return std::all_of(connections().begin(), connections().end(),
                           [](const Recorder* each) { return !each->received().empty(); });
    }));
    std::set<std::string> received;
    for (const Recorder* each : connections()) {
        received.insert(each->received());
    }
    EXPECT_EQ(received.size(), 20U);
    EXPECT_EQ(server->connection_count(), 20U);
    shut_down(server);
}

TEST_P(Servers, N257_an_accepted_transport_knows_both_its_addresses) {
    Ref<Server> any = run(loop().create_server(recording_factory(), "0.0.0.0", 0));
    Peer peer = connect_to("127.0.0.2", port_of(any));
    ASSERT_TRUE(wait_for_connections(1));
    const Transport& transport = connections()[0]->transport();
    EXPECT_EQ(transport.get_extra_info(extra::peername), address_of(peer.fd()));
    // Not the wildcard the listener is bound to.
    EXPECT_EQ(transport.get_extra_info(extra::sockname).to_string(),
              "127.0.0.2:" + std::to_string(port_of(any)));
    shut_down(any);
}

TEST_P(Servers, N258_each_address_gets_a_socket_and_duplicates_bind_once) {
    Ref<Server> server =
        serve_on({"127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3", "127.0.0.2"});
    std::vector<std::string> hosts;
    for (const SocketView& socket : server->sockets()) {
        hosts.push_back(socket.local_address().host());
        EXPECT_NE(socket.local_address().port(), 0);
        EXPECT_EQ(socket.family(), Family::ipv4);
        EXPECT_EQ(address_of(socket.fd()), socket.local_address());
    }
    EXPECT_EQ(hosts, (std::vector<std::string>{"127.0.0.1", "127.0.0.2", "127.0.0.3"}));
    shut_down(server);
}

TEST_P(Servers, N258_a_name_and_its_address_are_the_same) {
    Ref<Server> server =
        serve_on({"localhost", "127.0.0.1"}, 0, ServerOptions().family(Family::ipv4));
    EXPECT_EQ(server->sockets().size(), 1U);
    shut_down(server);
}

TEST_P(Servers, N259_an_empty_host_means_every_interface) {
    Ref<Server> server = run(loop().create_server(recording_factory(), "", 0));
    std::set<Family> families;
    for (const SocketView& socket : server->sockets()) {
        families.insert(socket.family());
        EXPECT_TRUE(socket.local_address().host() == "0.0.0.0" ||
                    socket.local_address().host() == "::");
    }
    EXPECT_TRUE(families.contains(Family::ipv4));
    EXPECT_EQ(families.contains(Family::ipv6), has_ipv6());
    std::size_t count = 0;
    for (const SocketView& socket : server->sockets()) {
        const std::string ip = socket.family() == Family::ipv6 ? "::1" : "127.0.0.5";
        const Peer peer = connect_to(ip, socket.local_address().port());
        ASSERT_TRUE(wait_for_connections(++count)) << ip;
    }
    shut_down(server);
}

TEST_P(Servers, N260_both_families_share_one_port_number) {
    if (!has_ipv6()) {
        GTEST_SKIP() << "no IPv6 loopback here";
    }
    std::uint16_t port = 0;
    {
        const Peer probe = bound_socket("0.0.0.0");
        port = address_of(probe.fd()).port();
    }
    Ref<Server> server = run(loop().create_server(recording_factory(), "", port));
    ASSERT_EQ(server->sockets().size(), 2U);
    for (const SocketView& socket : server->sockets()) {
        EXPECT_EQ(socket.local_address().port(), port);
        if (socket.family() == Family::ipv6) {
            EXPECT_EQ(socket_option(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY), 1);
        }
    }
    const Peer four = connect_to("127.0.0.1", port);
    const Peer six = connect_to("::1", port);
    ASSERT_TRUE(wait_for_connections(2));
    shut_down(server);
}

TEST_P(Servers, N261_an_address_in_use_is_named_and_everything_is_closed_again) {
    // Addresses no other test connects from, whose port numbers are therefore free on both.
    const Peer holder = bound_socket("127.77.0.2", 0, 1);
    const std::uint16_t port = address_of(holder.fd()).port();
    const std::vector<int> before = open_descriptors();
    const auto error = caught<AddressError>([&] { serve_on({"127.77.0.1", "127.77.0.2"}, port); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    const std::string address = "127.77.0.2:" + std::to_string(port);
    EXPECT_THAT(error->what(),
                testing::HasSubstr("error while attempting to bind on address " + address));
    EXPECT_EQ(error->address(), address);
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Servers, N261_a_port_two_servers_want_is_an_error_at_listen_or_bind) {
    Ref<Server> first = serve();
    const std::uint16_t port = port_of(first);
    const auto error = caught<AddressError>([&] { serve_on({"127.0.0.1"}, port); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_THAT(error->what(), testing::HasSubstr(std::to_string(port)));
    shut_down(first);
}

TEST_P(Servers, N262_an_address_of_another_machine_cannot_be_bound) {
    // 192.0.2.1 is for documentation (RFC 5737): nobody's. Nothing is sent.
    const auto error = caught<AddressError>([&] { serve_on({"192.0.2.1"}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_not_available);
    EXPECT_THAT(error->what(),
                testing::AllOf(testing::HasSubstr("could not bind on any address out of ["),
                               testing::HasSubstr("192.0.2.1")));
}

TEST_P(Servers, N263_an_address_that_is_not_there_is_skipped_when_another_can_be_bound) {
    Ref<Server> server = serve_on({"192.0.2.1", "127.0.0.1"});
    ASSERT_EQ(server->sockets().size(), 1U);
    EXPECT_EQ(server->sockets()[0].local_address().host(), "127.0.0.1");
    shut_down(server);
}

TEST_P(Servers, N264_reuse_port_lets_servers_share_a_port) {
    Ref<Server> first = serve(ServerOptions().reuse_port(true));
    EXPECT_EQ(socket_option(first->sockets().at(0).fd(), SOL_SOCKET, SO_REUSEPORT), 1);
    Ref<Server> second = serve_on({"127.0.0.1"}, port_of(first), ServerOptions().reuse_port(true));
    EXPECT_EQ(port_of(second), port_of(first));
    shut_down(first);
    shut_down(second);
    Ref<Server> alone = serve();
    EXPECT_EQ(socket_option(alone->sockets().at(0).fd(), SOL_SOCKET, SO_REUSEPORT), 0);
    shut_down(alone);
}

TEST_P(Servers, reuse_address_is_on_unless_switched_off) {
    Ref<Server> on = serve();
    EXPECT_EQ(socket_option(on->sockets().at(0).fd(), SOL_SOCKET, SO_REUSEADDR), 1);
    shut_down(on);
    Ref<Server> off = serve(ServerOptions().reuse_address(false));
    EXPECT_EQ(socket_option(off->sockets().at(0).fd(), SOL_SOCKET, SO_REUSEADDR), 0);
    shut_down(off);
}

TEST_P(Servers, N265_keep_alive_is_set_on_accepted_connections) {
    for (const bool wanted : {true, false}) {
        const std::size_t already = connections().size();
        Ref<Server> server = serve(ServerOptions().keep_alive(wanted));
        const Peer peer = Peer::connect(port_of(server));
        ASSERT_TRUE(wait_for_connections(already + 1));
        EXPECT_EQ(
            socket_option(fd_of(connections().back()->transport()), SOL_SOCKET, SO_KEEPALIVE) != 0,
            wanted);
        shut_down(server);
    }
}

TEST_P(Servers, N266_a_bound_socket_can_be_given_listening_or_not) {
    for (const std::optional<int> backlog : {std::optional<int>(), std::optional<int>(5)}) {
        const std::size_t already = connections().size();
        Peer socket = bound_socket("127.0.0.1", 0, backlog);
        const int fd = socket.release();
        Ref<Server> server = run(loop().create_server(recording_factory(), Descriptor(fd)));
        ASSERT_EQ(server->sockets().size(), 1U);
        EXPECT_EQ(server->sockets()[0].fd(), fd);
        const Peer peer = Peer::connect(port_of(server));
        ASSERT_TRUE(wait_for_connections(already + 1));
        shut_down(server);
        EXPECT_FALSE(descriptor_is_open(fd));
    }
}

TEST_P(Servers, N266_clients_that_wait_in_the_queue_of_a_given_socket_are_served) {
    Peer socket = bound_socket("127.0.0.1", 0, 5);
    const Peer peer = Peer::connect(address_of(socket.fd()).port());
    Ref<Server> server =
        run(loop().create_server(recording_factory(), Descriptor(socket.release())));
    EXPECT_TRUE(wait_for_connections(1));
    shut_down(server);
}

TEST_P(Servers, N266_a_given_socket_that_was_blocking_does_not_block_the_loop) {
    Peer socket = bound_socket("127.0.0.1", 0, 5);
    const int flags = ::fcntl(socket.fd(), F_GETFL);
    ASSERT_EQ(::fcntl(socket.fd(), F_SETFL, flags & ~O_NONBLOCK), 0);
    Ref<Server> server =
        run(loop().create_server(recording_factory(), Descriptor(socket.release())));
    const Peer peer = Peer::connect(port_of(server));
    // accept runs until nothing is left: on a blocking listener it would wait for a second client.
    ASSERT_TRUE(wait_for_connections(1));
    run_idle();
    shut_down(server);
}

TEST_P(Servers, N266_wrong_sockets_are_refused_by_number_and_closed) {
    const int datagram = make_socket(AF_INET, SOCK_DGRAM);
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    auto task = loop().create_server(recording_factory(), Descriptor(datagram));
                }),
                testing::HasSubstr(std::to_string(datagram)));
    EXPECT_FALSE(descriptor_is_open(datagram));
    EXPECT_THROW(auto task = loop().create_server(recording_factory(), Descriptor()),
                 std::invalid_argument);
    auto [peer, connected] = connected_peers();
    const int fd = connected.release();
    EXPECT_ANY_THROW(run(loop().create_server(recording_factory(), Descriptor(fd))))
        << "a connected socket cannot listen";
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_P(Servers, N267_a_backlog_of_one_accepts_one_connection_per_readiness) {
    Ref<Server> server = serve(ServerOptions().backlog(1));
    const Peer first = Peer::connect(port_of(server));
    const Peer second = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_readable(server->sockets().at(0).fd()));
    loop().run_once();
    EXPECT_EQ(server->connection_count(), 1U);
    ASSERT_TRUE(wait_for_connections(2));
    shut_down(server);
}

TEST_P(Servers, N269_a_whole_backlog_is_accepted_at_one_readiness) {
    Ref<Server> server = serve();
    std::vector<Peer> peers;
    for (int i = 0; i < 50; ++i) {
        peers.push_back(Peer::connect(port_of(server)));
    }
    loop().run_once();
    EXPECT_EQ(server->connection_count(), 50U);
    ASSERT_TRUE(wait_for_connections(50));
    shut_down(server);
}

TEST_P(Servers, N284_cancelling_the_creation_leaves_no_listener) {
    const std::vector<int> before = open_descriptors();
    for (int steps = 0; steps < 8; ++steps) {
        std::vector<std::string> hosts{"127.0.0.1", "127.0.0.2", "127.0.0.3"};
        auto creating = loop().create_task(loop().create_server(recording_factory(), hosts, 0));
        for (int i = 0; i < steps; ++i) {
            loop().run_once();
        }
        creating.cancel();
        ASSERT_TRUE(run_until([&] { return creating.done(); }));
        if (!creating.cancelled()) {
            creating.result()->close();
        }
        run_idle();
        ASSERT_EQ(open_descriptors(), before);
    }
}

TEST_P(Servers, N285_the_sockets_of_a_server_are_views_that_cannot_close_them) {
    Ref<Server> server = serve();
    {
        // Copies and temporaries come and go; the listener stays.
        std::vector<SocketView> views = server->sockets();
        const SocketView copy = views.at(0);
        views.clear();
    }
    EXPECT_TRUE(descriptor_is_open(server->sockets().at(0).fd()));
    const Peer peer = Peer::connect(port_of(server));
    EXPECT_TRUE(wait_for_connections(1));
    shut_down(server);
}

TEST_P(Servers, constructor_arguments_are_copied_for_every_connection) {
    struct Greeting : Protocol {
        explicit Greeting(std::string text) : text_(std::move(text)) {}
        void connection_made(Transport& transport) override { transport.write(text_); }
        void data_received(Bytes) override {}
        std::string text_;
    };
    std::string text = "a greeting that is too long for the small string optimisation";
    Ref<Server> server = run(loop().create_server<Greeting>("127.0.0.1", 0, ServerOptions(), text));
    for (int i = 0; i < 3; ++i) {
        Peer peer = Peer::connect(port_of(server));
        ASSERT_TRUE(run_until([&] {
            peer.receive_available();
            return peer.received() == text;
        }));
    }
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
