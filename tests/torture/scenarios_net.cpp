// Scenarios of descriptors that are not, or not yet, connections of a protocol: pipes, socket calls, and
// a server that awaits PROXY headers and has limits of every kind.
//
// Awaited values have names: GCC 12 miscompiles some temporaries in co_await.
#include <sluice/detail/sys.hpp>
#include <sluice/proxy_protocol.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <system_error>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

Descriptor open_socket() {
    const detail::Result<int> opened =
        detail::sys::open_socket(Family::ipv4, detail::sys::SocketType::stream);
    if (!opened.ok()) {
        throw std::system_error(opened.error());
    }
    return Descriptor(opened.value());
}

Task<Descriptor> connected_socket(Stage& stage) {
    Descriptor socket = open_socket();
    auto connecting = stage.loop.sock_connect(socket.get(), peer_place);
    co_await connecting;
    co_return std::move(socket);
}

// ---- pipes ----

Task<void> write_and_read(Stage& stage, const std::uint64_t& arrived) {
    const std::vector<std::byte> bytes = filled(20'000);
    auto connecting = connected_socket(stage);
    Descriptor socket = co_await connecting;
    auto making =
        stage.loop.connect_write_pipe<Actor<WritePipeProtocol>>(std::move(socket), std::ref(stage));
    const Connection<Actor<WritePipeProtocol>> writer = co_await making;
    stage.loop.call_soon([&writer] {
        writer.transport->write("gathered, ");
        writer.transport->write("as always");
    });
    co_await sleep(milliseconds(1));
    writer.transport->write(Bytes(bytes));
    writer.transport->write_eof();
    const Future<void> written = writer.protocol->lost();
    co_await written;

    auto connecting_again = connected_socket(stage);
    Descriptor second = co_await connecting_again;
    auto reading =
        stage.loop.connect_read_pipe<SinkActor>(std::move(second), std::ref(stage), 1'000'000U);
    const Connection<SinkActor> reader = co_await reading;
    const Future<void> read = reader.protocol->lost();
    co_await read;
    stage.goal = arrived == 20'019 && reader.protocol->got() == 10;
}

void pipes_scenario(Stage& stage) {
    // The kernel's peer may act after the scenario's end.
    const auto arrived = std::make_shared<std::uint64_t>(0);
    const auto count = std::make_shared<int>(0);
    stage.kernel.set_capacity(3'000, 3'000);
    stage.kernel.listen_peer(peer_place, [arrived, count](SimPeer peer) {
        if (++*count == 2) {
            peer.send(as_bytes("ten bytes."));
            peer.finish();
            return;
        }
        peer.on_readable([arrived](SimPeer end) {
            *arrived += end.receive(1'000'000).size();
            if (end.at_end()) {
                end.close();
            }
        });
    });
    stage.play(write_and_read(stage, *arrived));
}

// ---- socket calls ----

Task<void> call_sockets(Stage& stage) {
    const std::vector<std::byte> bytes = filled(7'000);
    const Descriptor file(stage.kernel.open_file(
        3'000, [](std::uint64_t, MutableBytes into) { std::ranges::fill(into, std::byte{1}); }));
    auto connecting = connected_socket(stage);
    const Descriptor socket = co_await connecting;
    // More than the connection holds.
    auto sending = stage.loop.sock_sendall(socket.get(), Bytes(bytes));
    co_await sending;
    auto receiving = stage.loop.sock_recv(socket.get(), 2'000);
    const std::vector<std::byte> received = co_await receiving;
    auto sending_file = stage.loop.sock_sendfile(socket.get(), file.get(), 0, {},
                                                 {.fallback = true, .fallback_chunk_size = 1'000});
    const std::uint64_t sent = co_await sending_file;

    const Descriptor listener = open_socket();
    std::error_code error = detail::sys::bind(listener.get(), other_place);
    if (!error) {
        error = detail::sys::listen(listener.get(), 5);
    }
    if (error) {
        throw std::system_error(error);
    }
    stage.kernel.after(milliseconds(5),
                       [&stage] { static_cast<void>(stage.kernel.connect_peer(other_place)); });
    auto accepting = stage.loop.sock_accept(listener.get());
    const AcceptedSocket accepted = co_await accepting;
    stage.goal = received.size() == 10 && sent == 3'000 && accepted.socket;
}

void socket_calls_scenario(Stage& stage) {
    stage.kernel.set_capacity(3'000, 3'000);
    stage.kernel.listen_peer(peer_place, [](SimPeer peer) {
        peer.send(as_bytes("ten bytes."));
        swallow(peer);
    });
    stage.play(call_sockets(stage));
}

// ---- a server on the open internet ----

constexpr const char* line = "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

/// Says these in turn, and finishes once something has come back.
void speak(Stage& stage, milliseconds when, std::vector<std::string> parts) {
    stage.kernel.after(when, [&stage, parts = std::move(parts)] {
        SimPeer peer = stage.kernel.connect_peer(peer_place);
        if (!peer) {
            return;
        }
        peer.on_readable([](SimPeer end) {
            static_cast<void>(end.receive(1'000));
            end.close();
        });
        for (std::size_t index = 0; index < parts.size(); ++index) {
            stage.kernel.after(milliseconds(20 * index),
                               [peer, part = parts[index]] { SimPeer(peer).send(as_bytes(part)); });
        }
    });
}

Task<void> serve_proxied(Stage& stage) {
    ServerOptions options;
    options.proxy_protocol(ProxyProtocolOptions().trust_everyone().timeout(milliseconds(500)));
    options.max_connections(10).max_connections_per_address(2);
    options.idle_timeout(milliseconds(700)).write_timeout(milliseconds(700));
    auto starting =
        stage.loop.create_server<EchoActor>("127.0.0.1", 9000, std::move(options), std::ref(stage));
    const Ref<Server> server = co_await starting;
    speak(stage, milliseconds(10), {std::string(line) + "hello"});
    speak(stage, milliseconds(200), {std::string(line, 9), std::string(line + 9), "again"});
    // Served and given up when nothing moves; never served; nothing; not a header.
    speak(stage, milliseconds(400), {line});
    speak(stage, milliseconds(400), {line});
    speak(stage, milliseconds(500), {line});
    speak(stage, milliseconds(600), {});
    speak(stage, milliseconds(700), {"GET / HTTP/1.1\r\n"});
    co_await sleep(std::chrono::seconds(3));
    const ServerCounters counters = server->counters();
    server->close();
    server->abort_clients();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = stage.received == 10 && counters.proxy_rejected == 2 && counters.refused == 1 &&
                 counters.open == 0 && counters.accepted == 4;
}

void proxied_scenario(Stage& stage) {
    stage.play(serve_proxied(stage));
}

// ---- a protocol that gives way to another while it is being called ----

class GivesWay : public Actor<Protocol> {
public:
    using Actor::Actor;
    ~GivesWay() override {
        // Nobody may die while being called; more made than lost is how a stage is told.
        stage_.made += busy_ ? 1'000 : 0;
    }
    void data_received(Bytes data) override {
        busy_ = true;
        try {
            auto successor = std::make_unique<SinkActor>(stage_, 5U);
            successor->take_over(*transport_);
            transport_->set_protocol(std::move(successor));
        } catch (...) {
            busy_ = false;
            throw;
        }
        busy_ = false;
        stage_.received += data.size();
    }

private:
    bool busy_ = false;
};

Task<void> give_way(Stage& stage) {
    auto connecting = stage.loop.create_connection<GivesWay>("127.0.0.1", 9000, ConnectOptions(),
                                                             std::ref(stage));
    const Connection<GivesWay> connection = co_await connecting;
    for (int count = 0; count < 100 && stage.lost == 0; ++count) {
        co_await sleep(milliseconds(5));
    }
    stage.goal = stage.received == 10 && stage.lost == 1;
}

void gives_way_scenario(Stage& stage) {
    stage.kernel.listen_peer(peer_place, [&stage](SimPeer peer) {
        peer.send(as_bytes("first"));
        stage.kernel.after(milliseconds(20), [peer] { SimPeer(peer).send(as_bytes("later")); });
        swallow(peer);
    });
    stage.play(give_way(stage));
}

constexpr Scenario all[] = {
    {"gives_way", gives_way_scenario},
    {"pipes", pipes_scenario},
    {"socket_calls", socket_calls_scenario},
    {"proxied", proxied_scenario},
};

}  // namespace

std::span<const Scenario> net_scenarios() {
    return all;
}

}  // namespace sluice::test
