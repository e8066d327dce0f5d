// Scenarios of datagram endpoints: a server and a client that exchange batches, wait for a system that
// takes nothing, join a group and change protocols.
//
// Datagrams may be lost, so nobody waits for one without a limit. Awaited values have names: GCC 12
// miscompiles some temporaries in co_await.
#include <sluice/datagram.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <functional>
#include <memory>
#include <string>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

/// Counts what it receives and, if it is a server, sends it back.
class DatagramActor : public DatagramProtocol {
public:
    DatagramActor(Stage& stage, bool echoing) : stage_(stage), echoing_(echoing) {}
    ~DatagramActor() override {
        // Nobody may die while being called; more made than lost is how a stage is told.
        stage_.made += busy_ ? 1'000 : 0;
    }

    void connection_made(DatagramTransport& transport) override {
        ++stage_.made;
        transport_ = &transport;
    }
    void datagram_received(Bytes data, const SocketAddress& sender) override {
        busy_ = true;
        try {
            if (echoing_) {
                transport_->sendto(data, sender);
            } else if (as_text(data) == "change") {
                change_protocol();
            }
        } catch (...) {
            busy_ = false;
            throw;
        }
        busy_ = false;
        stage_.received += echoing_ ? 0 : data.size();
    }
    void pause_writing() override { ++pauses; }
    void connection_lost(std::error_code) override { ++stage_.lost; }

    int pauses = 0;

private:
    void change_protocol() {
        auto successor = std::make_unique<DatagramActor>(stage_, echoing_);
        successor->transport_ = transport_;
        transport_->set_protocol(std::move(successor));
    }

    Stage& stage_;
    bool echoing_;
    bool busy_ = false;
    DatagramTransport* transport_ = nullptr;
};

using Endpoint = DatagramEndpoint<DatagramActor>;

/// The system takes nothing from the endpoint until told otherwise; nothing if that has ended.
void block(Stage& stage, const DatagramTransport& transport, bool on) {
    const int fd = transport.get_extra_info(extra::socket).fd();
    if (fd >= 0) {
        stage.kernel.block_datagrams(fd, on);
    }
}

/// Half a second at most.
Task<void> wait_for(std::function<bool()> condition) {
    for (int count = 0; count < 100 && !condition(); ++count) {
        co_await sleep(milliseconds(5));
    }
}

Task<void> close_both(Stage& stage, Endpoint server, Endpoint client) {
    // What the system does not take any more is dropped by abort().
    block(stage, *server.transport, true);
    server.transport->sendto("never sent", peer_place);
    server.transport->close();
    client.transport->close();
    co_await sleep(milliseconds(5));
    server.transport->abort();
    auto waiting = wait_for([&stage] { return stage.lost == stage.made; });
    co_await waiting;
}

Task<void> exchange_datagrams(Stage& stage) {
    auto opening_server = stage.loop.create_datagram_endpoint<DatagramActor>(
        DatagramOptions().local_address("127.0.0.1", 9000).reuse_port(true), std::ref(stage), true);
    const Endpoint server = co_await opening_server;
    auto opening_client = stage.loop.create_datagram_endpoint<DatagramActor>(
        DatagramOptions().remote_address("127.0.0.1", 9000).ttl(7), std::ref(stage), false);
    const Endpoint client = co_await opening_client;
    DatagramTransport& transport = *client.transport;
    const std::vector<std::byte> large = filled(6'000);

    // Gathered ones, a large one, and a row of one size.
    stage.loop.call_soon([&transport, &large] {
        transport.sendto("hello");
        transport.sendto("");
        transport.sendto(Bytes(large));
        transport.send_segments(Bytes(large).first(1'000), 100);
    });
    auto first = wait_for([&stage] { return stage.received >= 7'005; });
    co_await first;

    // A system that takes nothing for a while.
    block(stage, transport, true);
    transport.set_write_buffer_limits(8'000);
    transport.sendto(Bytes(large));
    transport.sendto(Bytes(large));
    transport.set_write_buffer_cap(12'050);
    transport.sendto("beyond the cap, so it is dropped");
    co_await sleep(milliseconds(5));
    // The protocol is another one later.
    const int pauses = client.protocol->pauses;
    block(stage, transport, false);
    auto second = wait_for([&stage] { return stage.received >= 19'005; });
    co_await second;

    server.transport->join_group(*SocketAddress::parse("239.1.1.1", 0));
    server.transport->leave_group(*SocketAddress::parse("239.1.1.1", 0));
    transport.sendto("change");
    auto third = wait_for([&stage] { return stage.received >= 19'011; });
    co_await third;
    transport.pause_reading();
    transport.sendto("last");
    co_await sleep(milliseconds(5));
    transport.resume_reading();
    auto fourth = wait_for([&stage] { return stage.received >= 19'015; });
    co_await fourth;

    auto closing = close_both(stage, server, client);
    co_await closing;
    stage.goal = stage.received == 19'015 && pauses == 1;
}

void datagrams_scenario(Stage& stage) {
    stage.play(exchange_datagrams(stage));
}

void joined_datagrams_scenario(Stage& stage) {
    stage.kernel.datagram_segmentation = true;
    stage.play(exchange_datagrams(stage));
}

constexpr Scenario all[] = {
    {"datagrams", datagrams_scenario},
    {"joined_datagrams", joined_datagrams_scenario},
};

}  // namespace

std::span<const Scenario> datagram_scenarios() {
    return all;
}

}  // namespace sluice::test
