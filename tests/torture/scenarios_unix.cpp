// Scenarios on Unix sockets: both ends from the library, over a path where a stale file lies.
//
// Awaited values have names: GCC 12 miscompiles some temporaries in co_await.
#include "torture/scenarios.hpp"
#include "torture/stage.hpp"

#include <functional>

namespace sluice::test {

namespace {

constexpr const char* place = "/run/scene";

Task<void> serve_and_connect(Stage& stage) {
    auto serving = stage.loop.create_unix_server<EchoActor>(
        place, ServerOptions().permissions(0600), std::ref(stage));
    const Ref<Server> server = co_await serving;
    auto connecting =
        stage.loop.create_unix_connection<SinkActor>(place, ConnectOptions(), std::ref(stage), 5U);
    const Connection<SinkActor> connection = co_await connecting;
    const PeerCredentials peer = connection.transport->get_extra_info(extra::peer_credentials);
    connection.transport->write("hello");
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    server->close();
    auto closed = server->wait_closed();
    co_await closed;
    stage.goal = connection.protocol->got() == 5 && peer && !stage.kernel.has_socket_file(place);
}

void unix_scenario(Stage& stage) {
    stage.kernel.replace_socket_file(place, true);
    stage.play(serve_and_connect(stage));
}

constexpr Scenario all[] = {
    {"unix_sockets", unix_scenario},
};

}  // namespace

std::span<const Scenario> unix_scenarios() {
    return all;
}

}  // namespace sluice::test
