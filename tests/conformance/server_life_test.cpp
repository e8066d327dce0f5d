// The life of a Server: serving, closing, waiting, draining, limits. Group N of asyncio's behaviour.
#include "support/loop_fixture.hpp"

#include <algorithm>

#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class ServerLife : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, ServerLife, testing::ValuesIn(backends()), backend_case_name);

TEST_P(ServerLife, N275_start_serving_false_binds_but_does_not_listen_until_told) {
    Ref<Server> server = serve(ServerOptions().start_serving(false));
    ASSERT_EQ(server->sockets().size(), 1U);
    EXPECT_FALSE(server->is_serving());
    EXPECT_THROW(Peer::connect(port_of(server)), std::system_error) << "it listens already";
    server->start_serving();
    server->start_serving();
    EXPECT_TRUE(server->is_serving());
    const Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    shut_down(server);
    EXPECT_FALSE(server->is_serving());
    EXPECT_THAT(message_of<std::logic_error>([&] { server->start_serving(); }),
                testing::HasSubstr("closed"));
}

TEST_P(ServerLife, N275_serve_forever_starts_serving) {
    Ref<Server> server = serve(ServerOptions().start_serving(false));
    TaskHandle<void> serving = loop().create_task(server->serve_forever());
    ASSERT_TRUE(run_until([&] { return server->is_serving(); }));
    const Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_FALSE(serving.done());
    connections()[0]->transport().abort();
    serving.cancel();
    ASSERT_TRUE(run_until([&] { return serving.done(); }));
}

TEST_P(ServerLife, N276_serve_forever_twice_or_on_a_closed_server_is_a_logic_error) {
    Ref<Server> server = serve();
    TaskHandle<void> serving = loop().create_task(server->serve_forever());
    run_idle();
    EXPECT_THAT(message_of<std::logic_error>([&] { run(server->serve_forever()); }),
                testing::HasSubstr("already being awaited on serve_forever()"));
    EXPECT_FALSE(serving.done());
    EXPECT_TRUE(server->is_serving()) << "the refused second call ended the first";
    server->close();
    ASSERT_TRUE(run_until([&] { return serving.done(); }));
    EXPECT_THAT(message_of<std::logic_error>([&] { run(server->serve_forever()); }),
                testing::HasSubstr("closed"));
}

TEST_P(ServerLife, N277_cancelling_serve_forever_closes_and_waits_for_the_connections) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    TaskHandle<void> serving = loop().create_task(server->serve_forever());
    run_idle();
    serving.cancel();
    run_idle();
    EXPECT_FALSE(server->is_serving());
    EXPECT_TRUE(server->sockets().empty());
    EXPECT_FALSE(serving.done()) << "the connection is still open";
    EXPECT_FALSE(connections()[0]->transport().is_closing());
    peer.close();
    ASSERT_TRUE(run_until([&] { return serving.done(); }));
    EXPECT_TRUE(serving.cancelled());
}

TEST_P(ServerLife, N277_close_from_elsewhere_ends_serve_forever_with_cancelled) {
    Ref<Server> server = serve();
    TaskHandle<void> serving = loop().create_task(server->serve_forever());
    run_idle();
    server->close();
    ASSERT_TRUE(run_until([&] { return serving.done(); }));
    EXPECT_TRUE(serving.cancelled());
}

TEST_P(ServerLife, N278_the_loop_keeps_a_server_alive_that_nobody_refers_to) {
    std::uint16_t port = 0;
    {
        const Ref<Server> server = serve();
        port = port_of(server);
    }
    run_idle();
    Peer peer = Peer::connect(port);
    ASSERT_TRUE(wait_for_connections(1));
    peer.send("x");
    ASSERT_TRUE(run_until([&] { return connections()[0]->received() == "x"; }));
}

TEST_P(ServerLife, N279_close_leaves_existing_connections_alive_and_sockets_empty) {
    Ref<Server> server = serve();
    const std::uint16_t port = port_of(server);
    const int fd = server->sockets()[0].fd();
    Peer peer = Peer::connect(port);
    ASSERT_TRUE(wait_for_connections(1));
    server->close();
    server->close();
    EXPECT_TRUE(server->sockets().empty());
    EXPECT_FALSE(server->is_serving());
    EXPECT_FALSE(descriptor_is_open(fd)) << "the listener is closed at once";
    EXPECT_THROW(Peer::connect(port), std::system_error);
    peer.send("still here");
    ASSERT_TRUE(run_until([&] { return connections()[0]->received() == "still here"; }));
    connections()[0]->transport().write("me too");
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        return peer.received() == "me too";
    }));
    EXPECT_EQ(server->connection_count(), 1U);
    shut_down(server);
    EXPECT_EQ(server->connection_count(), 0U);
}

TEST_P(ServerLife, N279_close_inside_a_connections_callback) {
    Ref<Server> server;
    auto factory = recording_factory();
    auto closing = [&, factory]() -> std::unique_ptr<StreamProtocol> {
        auto protocol = factory();
        connections().back()->on_made = [&](Transport&) { server->close(); };
        return protocol;
    };
    server = run(loop().create_server(closing, "127.0.0.1", 0));
    const Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    run_idle();
    EXPECT_FALSE(server->is_serving());
    EXPECT_FALSE(connections()[0]->lost());
    shut_down(server);
}

TEST_P(ServerLife, a_connection_accepted_just_before_close_is_closed_without_a_protocol) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_readable(server->sockets().at(0).fd()));
    loop().run_once();
    ASSERT_TRUE(connections().empty()) << "accepted, not yet served: the case needs that moment";
    ASSERT_EQ(server->connection_count(), 1U);
    server->close();
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        return peer.saw_end() || peer.error() != 0;
    }));
    EXPECT_TRUE(connections().empty());
    run(server->wait_closed());
}

// ---- wait_closed ----

TEST_P(ServerLife, wait_closed_returns_when_closed_and_the_last_connection_is_gone) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    TaskHandle<void> waiting = loop().create_task(server->wait_closed());
    run_idle();
    EXPECT_FALSE(waiting.done()) << "not even closed";
    server->close();
    run_idle();
    EXPECT_FALSE(waiting.done()) << "a connection is open";
    bool lost_first = false;
    connections()[0]->on_lost = [&](std::error_code) { lost_first = !waiting.done(); };
    peer.close();
    ASSERT_TRUE(run_until([&] { return waiting.done(); }));
    EXPECT_TRUE(lost_first);
    run(server->wait_closed());
}

TEST_P(ServerLife, wait_closed_on_a_server_without_connections) {
    Ref<Server> server = serve();
    TaskHandle<void> waiting = loop().create_task(server->wait_closed());
    run_idle();
    EXPECT_FALSE(waiting.done());
    server->close();
    finish(waiting);
}

TEST_P(ServerLife, N282_a_cancelled_wait_closed_does_not_disturb_the_others) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    TaskHandle<void> first = loop().create_task(server->wait_closed());
    TaskHandle<void> second = loop().create_task(server->wait_closed());
    server->close();
    run_idle();
    first.cancel();
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_FALSE(second.done());
    peer.close();
    finish(second);
}

TEST_P(ServerLife, wait_closed_ends_although_a_protocol_could_not_be_made) {
    auto throwing = []() -> std::unique_ptr<StreamProtocol> {
        throw std::runtime_error("no protocol");
    };
    auto null = []() -> std::unique_ptr<StreamProtocol> { return nullptr; };
    const std::vector<int> before = open_descriptors();
    std::vector<Ref<Server>> servers;
    servers.push_back(run(loop().create_server(throwing, "127.0.0.1", 0)));
    servers.push_back(run(loop().create_server(null, "127.0.0.1", 0)));
    for (const Ref<Server>& server : servers) {
        Peer peer = Peer::connect(port_of(server));
        ASSERT_TRUE(run_until([&] {
            peer.receive_available();
            return peer.saw_end() || peer.error() != 0;
        }));
        const std::vector<Report> reports = take_reports();
        ASSERT_EQ(reports.size(), 1U);
        EXPECT_THAT(reports[0].message,
                    testing::HasSubstr("Error on transport creation for incoming connection"));
        EXPECT_EQ(server->connection_count(), 0U);
        server->close();
        run(server->wait_closed());
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(ServerLife, J6_a_failing_connection_leaves_the_others_and_the_server_alone) {
    Ref<Server> server = serve();
    Peer good = Peer::connect(port_of(server));
    Peer bad = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(2));
    for (Recorder* each : connections()) {
        each->on_data = [](Bytes data) {
            if (as_text(data) == "bad") {
                throw std::runtime_error("from a session");
            }
        };
    }
    bad.send("bad");
    ASSERT_TRUE(run_until([&] {
        bad.receive_available();
        return bad.saw_end() || bad.error() != 0;
    }));
    EXPECT_EQ(take_reports().size(), 1U);
    good.send("good");
    ASSERT_TRUE(run_until([&] {
        return std::any_of(connections().begin(), connections().end(),
                           [](const Recorder* each) { return each->received() == "good"; });
    }));
    EXPECT_EQ(server->connection_count(), 1U);
    EXPECT_TRUE(server->is_serving());
    shut_down(server);
}

// ---- close_clients, abort_clients, drain ----

TEST_P(ServerLife, N283_close_clients_closes_each_and_sends_what_is_pending) {
    Ref<Server> server = serve();
    Peer first = Peer::connect(port_of(server));
    Peer second = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(2));
    for (Recorder* each : connections()) {
        each->transport().write("goodbye");
    }
    server->close_clients();
    EXPECT_TRUE(server->is_serving());
    for (Peer* peer : {&first, &second}) {
        ASSERT_TRUE(run_until([&] {
            peer->receive_available();
            return peer->saw_end();
        }));
        EXPECT_EQ(peer->received(), "goodbye");
    }
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 0; }));
    EXPECT_EQ(connections()[0]->reason(), std::error_code());
    const Peer third = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(3));
    shut_down(server);
}

TEST_P(ServerLife, N283_abort_clients_ends_even_connections_that_are_stuck) {
    Ref<Server> server = serve();
    SocketBuffers small;
    small.receive_bytes = 4096;
    Peer peer = Peer::connect(port_of(server), small);
    ASSERT_TRUE(wait_for_connections(1));
    Transport& transport = connections()[0]->transport();
    const std::string much = pattern(8'000'000);
    transport.write(much);
    server->close();
    server->close_clients();
    run_idle();
    EXPECT_FALSE(connections()[0]->lost()) << "nobody reads: close() has to wait";
    server->abort_clients();
    run(server->wait_closed());
    EXPECT_TRUE(connections()[0]->lost());
    EXPECT_FALSE(connections()[0]->reason());
}

TEST_P(ServerLife, N283_clients_may_close_each_other_meanwhile) {
    Ref<Server> server = serve();
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i) {
        peers.push_back(Peer::connect(port_of(server)));
    }
    ASSERT_TRUE(wait_for_connections(5));
    for (Recorder* each : connections()) {
        each->on_lost = [&](std::error_code) { server->abort_clients(); };
    }
    server->close();
    connections()[2]->transport().abort();
    run(server->wait_closed());
    EXPECT_EQ(server->connection_count(), 0U);
}

TEST_P(ServerLife, drain_waits_for_protocols_that_finish_in_time) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    TaskHandle<bool> draining = loop().create_task(server->drain(1h));
    run_idle();
    EXPECT_FALSE(server->is_serving());
    EXPECT_FALSE(connections()[0]->transport().is_closing()) << "it may finish on its own";
    EXPECT_FALSE(draining.done());
    peer.close();
    EXPECT_TRUE(finish(draining));
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "the timer of the deadline is left";
}

TEST_P(ServerLife, drain_aborts_what_is_left_at_the_deadline) {
    Ref<Server> server = serve();
    const Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    EXPECT_FALSE(run(server->drain(1ms)));
    EXPECT_TRUE(connections()[0]->lost());
    EXPECT_TRUE(run(server->drain(1ms))) << "nothing was left to abort";
}

TEST_P(ServerLife, drain_without_connections_ends_at_once_whatever_the_deadline) {
    for (const std::chrono::nanoseconds deadline :
         {std::chrono::nanoseconds(0), std::chrono::nanoseconds::max()}) {
        Ref<Server> server = serve();
        EXPECT_TRUE(run(server->drain(deadline)));
    }
}

TEST_P(ServerLife, a_cancelled_drain_releases_its_timer_and_aborts_nobody) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    TaskHandle<bool> draining = loop().create_task(server->drain(1h));
    run_idle();
    draining.cancel();
    ASSERT_TRUE(run_until([&] { return draining.done(); }));
    EXPECT_TRUE(draining.cancelled());
    EXPECT_FALSE(connections()[0]->transport().is_closing());
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
    shut_down(server);
}

// ---- limits and accidents ----

TEST_P(ServerLife, max_connections_closes_those_beyond_unread_and_counts_them) {
    Ref<Server> server = serve(ServerOptions().max_connections(2));
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i) {
        peers.push_back(Peer::connect(port_of(server)));
    }
    ASSERT_TRUE(run_until([&] { return server->refused_count() == 3; }));
    EXPECT_EQ(server->connection_count(), 2U);
    ASSERT_TRUE(wait_for_connections(2));
    connections()[0]->transport().abort();
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 1; }));
    const Peer late = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(3)) << "there is room again";
    EXPECT_EQ(server->refused_count(), 3U);
    shut_down(server);
}

TEST_P(ServerLife, N287_a_listener_closed_behind_the_back_does_not_disturb_close) {
    Ref<Server> server = serve();
    ASSERT_EQ(::close(server->sockets().at(0).fd()), 0);
    run_idle();
    server->close();
    run(server->wait_closed());
}

TEST_P(ServerLife, a_connection_the_peer_reset_before_it_was_accepted_changes_nothing) {
    Ref<Server> server = serve();
    Peer broken = Peer::connect(port_of(server));
    broken.reset();
    const Peer good = Peer::connect(port_of(server));
    ASSERT_TRUE(run_until([&] {
        return std::any_of(connections().begin(), connections().end(), [&](const Recorder* each) {
            return each->has_transport() &&
                   each->transport().get_extra_info(extra::peername) == address_of(good.fd());
        });
    }));
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 1; }));
    shut_down(server);
}

TEST_P(ServerLife, the_last_reference_may_be_dropped_inside_a_callback_of_the_server) {
    Ref<Server> server;
    auto factory = recording_factory();
    auto dropping = [&, factory]() -> std::unique_ptr<StreamProtocol> {
        auto protocol = factory();
        server->close();
        server.reset();
        return protocol;
    };
    server = run(loop().create_server(dropping, "127.0.0.1", 0));
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(run_until([&] { return !server; }));
    peer.close();
    run_idle();
}

}  // namespace
}  // namespace sluice::test
