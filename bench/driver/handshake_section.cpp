// TLS handshakes: see sections.hpp. In the resumed rows a server that does not resume fails. The load's own share of a
// handshake is larger than the server's, so with one core for each the rate is the load's; CPU time a handshake is the
// server's.
#include "handshake_load.hpp"
#include "sections.hpp"

#include <algorithm>
#include <memory>

namespace bench {

namespace {

using namespace std::chrono_literals;

struct Contestant {
    HandshakeResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<HandshakeLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const EchoCount count = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto handshakes = static_cast<double>(count.messages);
    contestant.result.handshakes_per_second.push_back(handshakes / wall.count());
    contestant.result.cpu_us_per_handshake.push_back(cpu.count() * 1e6 / handshakes);
}

void measure_kind(Run& run, bool resumed) {
    std::vector<Contestant> contestants;
    for (const Server& server : servers_beyond_echo(run)) {
        Contestant contestant;
        contestant.result.server = server.name;
        contestant.result.resumed = resumed;
        attempt(contestant.result, [&] {
            contestant.process = std::make_unique<ServerProcess>(
                server.command_for({}), std::vector<int>{run.machine.server_core});
            contestant.load = std::make_unique<HandshakeLoad>(contestant.process->port(), resumed);
            contestant.load->run_for(20ms);
        });
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.tls_rounds, run.progress,
               resumed ? "resumed handshakes" : "full handshakes",
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        run.results.handshakes.push_back(std::move(contestant.result));
    }
}

}  // namespace

std::size_t handshake_units(const Run& run) {
    return 2 * run.options.tls_rounds * servers_beyond_echo(run).size();
}

void measure_handshakes(Run& run) {
    measure_kind(run, false);
    measure_kind(run, true);
}

}  // namespace bench
