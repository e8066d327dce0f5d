// Scenarios with TLS, both ends from the library: a connection from handshake to close_notify, and
// one that becomes TLS on its way.
//
// What OpenSSL allocates does not fail here, only what the library does. Awaited values have names:
// GCC 12 miscompiles some temporaries in co_await.
#include <sluice/tls.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"
#include "torture/tls_contexts.hpp"

#include <algorithm>
#include <memory>
#include <string_view>
#include <system_error>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

Task<void> talk_over_tls(Stage& stage) {
    auto starting = stage.loop.create_server<RoomyEchoActor>(
        "127.0.0.1", 9000, ServerOptions().tls(torture_server_context()), std::ref(stage));
    const Ref<Server> server = co_await starting;
    constexpr std::uint64_t size = 40'000 + 50 * 200;
    ConnectOptions options;
    options.tls(torture_client_context()).server_hostname("example.test");
    auto connecting =
        stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, options, std::ref(stage), size);
    const Connection<SinkActor> connection = co_await connecting;
    const std::vector<std::byte> bytes = filled(40'000);
    connection.transport->write(Bytes(bytes));
    for (int index = 0; index < 50; ++index) {
        connection.transport->write(Bytes(bytes).first(200));
    }
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    const bool clean = !connection.protocol->reason();
    server->close();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = clean && connection.protocol->got() == size;
}

void tls_talk_scenario(Stage& stage) {
    stage.kernel.set_capacity(5'000, 20'000);
    stage.kernel.faults.short_write = 200;
    stage.kernel.faults.delay = 200;
    stage.kernel.faults.delay_most = milliseconds(3);
    stage.play(talk_over_tls(stage));
}

constexpr std::string_view command = "STARTTLS";

/// Upgrades its connection when it is asked to.
class UpgradingActor : public Actor<Protocol> {
public:
    using Actor::Actor;
    void data_received(Bytes data) override {
        if (secure_) {
            stage_.received += data.size();
            secure_->write(data);
            return;
        }
        // The client does not wait for an answer: its hello may be here already. Reading is paused
        // from here on, whatever becomes of the task.
        const Bytes hello = data.subspan(std::min(command.size(), data.size()));
        Task<Ref<Transport>> upgrading =
            stage_.loop.start_tls(Ref<Transport>(transport_), torture_server_context(),
                                  StartTlsOptions().received(hello));
        static_cast<void>(stage_.loop.create_task(upgrade(std::move(upgrading))));
    }
    void connection_lost(std::error_code reason) override {
        secure_.reset();
        Actor::connection_lost(reason);
    }

private:
    Task<void> upgrade(Task<Ref<Transport>> upgrading) {
        try {
            Ref<Transport> secure = co_await upgrading;
            // The protocol may be told of the end before this task hears of the beginning.
            secure_ = lost().done() ? Ref<Transport>() : std::move(secure);
            co_return;
        } catch (const std::exception&) {
            // The connection has ended, or will in a moment.
        }
        if (transport_ != nullptr) {
            transport_->abort();
        }
    }

    Ref<Transport> secure_;
};

Task<void> upgrade_and_talk(Stage& stage) {
    auto starting = stage.loop.create_server<UpgradingActor>("127.0.0.1", 9000, ServerOptions(),
                                                             std::ref(stage));
    const Ref<Server> server = co_await starting;
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, ConnectOptions(),
                                                              std::ref(stage), 6U);
    const Connection<SinkActor> connection = co_await connecting;
    connection.transport->write(command);
    if (connection.transport->is_closing()) {
        // Whoever upgrades it now makes a mistake.
        throw std::system_error(std::make_error_code(std::errc::connection_aborted));
    }
    StartTlsOptions options;
    options.server_hostname("example.test");
    auto upgrading = stage.loop.start_tls(connection.transport, torture_client_context(), options);
    const Ref<Transport> secure = co_await upgrading;
    connection.protocol->take_over(*secure);
    secure->write("secret");
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    server->close();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = connection.protocol->got() == 6 && stage.received == 6 + 6;
}

void start_tls_scenario(Stage& stage) {
    stage.play(upgrade_and_talk(stage));
}

constexpr Scenario all[] = {
    {"tls_talk", tls_talk_scenario},
    {"start_tls", start_tls_scenario},
};

}  // namespace

std::span<const Scenario> tls_scenarios() {
    return all;
}

}  // namespace sluice::test
