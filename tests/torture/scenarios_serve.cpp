// Scenarios that serve, and those that end connections: every way to close, and every callback that
// throws.
//
// The peers are simulated ones; both ends from the library are another file. Awaited values have
// names: GCC 12 miscompiles some temporaries in co_await.
#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <memory>
#include <stdexcept>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

// ---- serving ----

template <class P>
Task<void> serve(Stage& stage, int peers) {
    auto starting = stage.loop.create_server<P>(
        "127.0.0.1", 9000, ServerOptions().keep_alive(true).reuse_port(true), std::ref(stage));
    const Ref<Server> server = co_await starting;
    send_greetings(stage, peers);
    co_await sleep(std::chrono::seconds(3));
    server->close();
    server->close_clients();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = stage.received == 5U * static_cast<unsigned>(peers);
}

void serve_scenario(Stage& stage) {
    stage.play(serve<EchoActor>(stage, 4));
}
void serve_buffered_scenario(Stage& stage) {
    stage.play(serve<RoomyEchoActor>(stage, 4));
}

Task<void> serve_and_drain(Stage& stage) {
    std::vector<std::string> hosts;
    hosts.push_back("localhost");
    hosts.push_back("127.0.0.2");
    auto starting = stage.loop.create_server<EchoActor>(
        hosts, 9000, ServerOptions().max_connections(2), std::ref(stage));
    const Ref<Server> server = co_await starting;
    send_greetings(stage, 3);
    // One that never ends by itself.
    const SimPeer silent = stage.kernel.connect_peer(other_place);
    co_await sleep(std::chrono::seconds(2));
    auto draining = server->drain(milliseconds(500));
    const bool all_ended = co_await draining;
    stage.goal = !all_ended && silent && server->connection_count() == 0;
}

void drain_scenario(Stage& stage) {
    stage.play(serve_and_drain(stage));
}

// ---- ending ----

Task<void> end_in_every_way(Stage& stage) {
    const std::vector<std::byte> bytes = filled(50'000);
    for (int way = 0; way < 6; ++way) {
        auto connecting = stage.loop.create_connection<SinkActor>(
            "127.0.0.1", 9000, ConnectOptions(), std::ref(stage), 1'000'000U);
        const Connection<SinkActor> connection = co_await connecting;
        Transport& transport = *connection.transport;
        transport.write(Bytes(bytes));
        switch (way) {
            case 0:
                transport.close();
                break;
            case 1:
                transport.abort();
                break;
            case 2:
                transport.write_eof();
                break;
            case 3:
                transport.close();
                transport.abort();
                break;
            case 4: {
                auto successor = std::make_unique<SinkActor>(stage, 10U);
                successor->take_over(transport);
                transport.set_protocol(std::move(successor));
                transport.pause_reading();
                transport.resume_reading();
                break;
            }
            default:
                transport.set_write_buffer_cap(1000);
                transport.write(Bytes(bytes));
        }
        // The protocol may have been replaced: what matters is that the transport ends.
        const int made = stage.made;
        for (int count = 0; count < 1000 && stage.lost < made; ++count) {
            co_await sleep(milliseconds(1));
        }
    }
    stage.goal = stage.made == 6 && stage.lost == 6;
}

void endings_scenario(Stage& stage) {
    stage.kernel.set_capacity(3'000, 3'000);
    stage.kernel.listen_peer(peer_place, [](SimPeer peer) {
        peer.send(as_bytes("ten bytes."));
        swallow(peer);
    });
    stage.play(end_in_every_way(stage));
}

/// Throws from the callback whose number it is given: 0 made, 1 data, 2 eof, 3 lost.
class ThrowingActor : public Actor<Protocol> {
public:
    ThrowingActor(Stage& stage, int where) : Actor(stage), where_(where) {}
    void connection_made(Transport& transport) override {
        Actor::connection_made(transport);
        throw_in(0);
    }
    void data_received(Bytes) override { throw_in(1); }
    bool eof_received() override {
        throw_in(2);
        return false;
    }
    void connection_lost(std::error_code reason) override {
        Actor::connection_lost(reason);
        throw_in(3);
    }

private:
    void throw_in(int callback) const {
        if (callback == where_) {
            throw std::domain_error("a long enough text, so that it needs memory of its own");
        }
    }

    int where_;
};

/// Everything is reported that can be: throwing callbacks, a throwing factory, a listener without
/// descriptors, a task whose exception nobody wants, in debug mode.
Task<void> fail_in_every_way(Stage& stage) {
    stage.loop.set_debug(true);
    stage.loop.set_slow_callback_duration({});
    auto reports = std::make_shared<int>(0);
    stage.loop.set_exception_handler([reports](const ExceptionContext& context) {
        *reports += to_string(context).empty() ? 0 : 1;
    });
    int accepted = 0;
    auto factory = [&stage, &accepted]() -> std::unique_ptr<StreamProtocol> {
        if (accepted == 4) {
            throw std::domain_error("the factory that throws, with a text that needs memory");
        }
        return std::make_unique<ThrowingActor>(stage, accepted++);
    };
    auto starting = stage.loop.create_server(std::move(factory), "127.0.0.1", 9000);
    const Ref<Server> server = co_await starting;
    send_greetings(stage, 5);
    stage.kernel.after(milliseconds(300), [&stage] { stage.kernel.set_descriptor_limit(6); });
    stage.kernel.after(milliseconds(2500), [&stage] { stage.kernel.set_descriptor_limit(100); });
    stage.loop.call_soon([] { throw std::domain_error("a callback that throws"); });
    stage.loop.create_task([]() -> Task<void> {
        co_await sleep(milliseconds(1));
        throw std::domain_error("a task that nobody asks");
    }());
    co_await sleep(std::chrono::seconds(5));
    server->close();
    server->abort_clients();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = *reports >= 8 && stage.made == 4;
}

void failures_scenario(Stage& stage) {
    stage.play(fail_in_every_way(stage));
}

constexpr Scenario all[] = {
    {"serve", serve_scenario},       {"serve_buffered", serve_buffered_scenario},
    {"drain", drain_scenario},       {"endings", endings_scenario},
    {"failures", failures_scenario},
};

}  // namespace

std::span<const Scenario> serving_scenarios() {
    return all;
}

}  // namespace sluice::test
