// Scenarios that connect: by address, by name, in vain, with a descriptor, and to our own server.
//
// They end by what the peer does; ending a connection in other ways is another file. Awaited values have
// names: GCC 12 miscompiles some temporaries in co_await.
#include <sluice/detail/sys.hpp>
#include <sluice/error.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <stdexcept>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

// ---- connecting ----

Task<void> connect_once(Stage& stage) {
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, ConnectOptions(),
                                                              std::ref(stage), 5U);
    const Connection<SinkActor> connection = co_await connecting;
    connection.transport->write("hello");
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    stage.goal = !connection.protocol->reason() && connection.protocol->got() == 5;
}

void connect_scenario(Stage& stage) {
    stage.kernel.listen_peer(peer_place, echo);
    stage.play(connect_once(stage));
}

Task<void> connect_by_name(Stage& stage) {
    ConnectOptions options;
    options.local_address("127.0.0.5").timeout(std::chrono::seconds(5));
    auto connecting = stage.loop.create_connection<SinkActor>("several.example", 9000, options,
                                                              std::ref(stage), 5U);
    const Connection<SinkActor> connection = co_await connecting;
    connection.transport->write("hello");
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    stage.goal = connection.protocol->got() == 5;
}

void connect_by_name_scenario(Stage& stage) {
    // The first refuses, the second never answers, the third works.
    stage.kernel.add_host("several.example", {*SocketAddress::parse("127.0.0.7", 0),
                                              *SocketAddress::parse("127.0.0.8", 0), peer_place});
    stage.kernel.black_hole(*SocketAddress::parse("127.0.0.8", 9000));
    stage.kernel.listen_peer(peer_place, echo);
    stage.play(connect_by_name(stage));
}

Task<void> connect_in_vain(Stage& stage) {
    ConnectOptions options;
    options.all_errors(true);
    auto connecting = stage.loop.create_connection<SinkActor>("nobody.example", 9000, options,
                                                              std::ref(stage), 5U);
    try {
        const Connection<SinkActor> connection = co_await connecting;
    } catch (const ConnectErrors& errors) {
        stage.goal = errors.errors().size() == 2;
    }
}

void connect_in_vain_scenario(Stage& stage) {
    stage.kernel.add_host("nobody.example", {peer_place, other_place});
    stage.kernel.faults.slow_connect = 1000;
    stage.kernel.faults.delay_most = milliseconds(20);
    stage.play(connect_in_vain(stage));
}

Task<void> adopt(Stage& stage) {
    namespace sys = detail::sys;
    const auto opened = sys::open_socket(Family::ipv4, sys::SocketType::stream);
    if (!opened.ok()) {
        throw std::system_error(opened.error());
    }
    Descriptor socket(opened.value());
    const auto connected = sys::connect(socket.get(), peer_place);
    if (!connected.ok()) {
        throw std::system_error(connected.blocked() ? std::error_code() : connected.error());
    }
    try {
        auto connecting =
            stage.loop.create_connection<SinkActor>(std::move(socket), std::ref(stage), 5U);
        const Connection<SinkActor> connection = co_await connecting;
        connection.transport->write("hello");
        const Future<void> lost = connection.protocol->lost();
        co_await lost;
        stage.goal = connection.protocol->got() == 5;
    } catch (const std::invalid_argument& error) {
        // What a descriptor that is no socket gets: the system said so.
        throw std::system_error(std::make_error_code(std::errc::invalid_argument), error.what());
    }
}

void adopt_scenario(Stage& stage) {
    stage.kernel.listen_peer(peer_place, echo);
    stage.play(adopt(stage));
}

// ---- both ends ----

Task<void> talk(Stage& stage) {
    auto starting = stage.loop.create_server<RoomyEchoActor>("127.0.0.1", 9000, ServerOptions(),
                                                             std::ref(stage));
    const Ref<Server> server = co_await starting;
    constexpr std::uint64_t size = 5 * 30'000;
    auto connecting = stage.loop.create_connection<SinkActor>("localhost", 9000, ConnectOptions(),
                                                              std::ref(stage), size);
    const Connection<SinkActor> connection = co_await connecting;
    const std::vector<std::byte> bytes = filled(30'000);
    connection.transport->write(Bytes(bytes));
    connection.transport->write(Buffer::copy(bytes));
    connection.transport->writelines({Bytes(bytes).first(10'000), Bytes(bytes).subspan(10'000)});
    for (int index = 0; index < 300; ++index) {
        connection.transport->write(Bytes(bytes).first(200));
    }
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    server->close();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = connection.protocol->got() == size;
}

void talk_scenario(Stage& stage) {
    stage.kernel.set_capacity(5000, 20'000);
    stage.kernel.faults.short_write = 200;
    stage.kernel.faults.delay = 200;
    stage.kernel.faults.delay_most = milliseconds(3);
    stage.play(talk(stage));
}

/// Writes 600 kB in every form, as fast as it is allowed to.
class PushingActor : public Actor<Protocol> {
public:
    using Actor::Actor;
    void connection_made(Transport& transport) override {
        Actor::connection_made(transport);
        transport.set_write_buffer_limits(20'000, 5'000);
        push();
    }
    void data_received(Bytes) override {}
    void pause_writing() override { paused_ = true; }
    void resume_writing() override {
        paused_ = false;
        push();
    }
    [[nodiscard]] bool all_pushed() const noexcept { return round_ == 60; }

private:
    void push() {
        try {
            push_all();
        } catch (const std::bad_alloc&) {
            // Nobody else would ever go on.
            transport_->abort();
        }
    }

    void push_all() {
        static const std::vector<std::byte> bytes = filled(10'000);
        while (!paused_ && round_ < 60 && transport_ != nullptr && !transport_->is_closing()) {
            switch (++round_ % 5) {
                case 0:
                    transport_->write(Bytes(bytes));
                    break;
                case 1:
                    transport_->write(Buffer::copy(bytes));
                    break;
                case 2:
                    transport_->write_static(bytes);
                    break;
                case 3:
                    transport_->writelines({Bytes(bytes).first(3), Bytes(bytes).subspan(3)});
                    break;
                default:
                    for (std::size_t index = 0; index < 50; ++index) {
                        transport_->write(Bytes(bytes).subspan(index * 200, 200));
                    }
                    transport_->flush();
            }
        }
        if (round_ == 60 && transport_ != nullptr) {
            transport_->close();
        }
    }

    bool paused_ = false;
    int round_ = 0;
};

Task<void> push_through(Stage& stage) {
    auto connecting = stage.loop.create_connection<PushingActor>("127.0.0.1", 9000,
                                                                 ConnectOptions(), std::ref(stage));
    const Connection<PushingActor> connection = co_await connecting;
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    stage.goal = connection.protocol->all_pushed() && !connection.protocol->reason();
}

void back_pressure_scenario(Stage& stage) {
    stage.kernel.set_capacity(8'000, 8'000);
    stage.kernel.listen_peer(peer_place, swallow);
    stage.play(push_through(stage));
}

constexpr Scenario all[] = {
    {"connect", connect_scenario},
    {"connect_by_name", connect_by_name_scenario},
    {"connect_in_vain", connect_in_vain_scenario},
    {"adopt", adopt_scenario},
    {"talk", talk_scenario},
    {"back_pressure", back_pressure_scenario},
};

}  // namespace

std::span<const Scenario> connecting_scenarios() {
    return all;
}

}  // namespace sluice::test
