// Resident memory of an idle connection, TCP or TLS: see sections.hpp. Counts user-space pages only; the kernel's part (sockets,
// epoll entries) is the same for every server.
#include "echo_load.hpp"
#include "sections.hpp"
#include "tls_load.hpp"

#include <algorithm>

#include <fmt/core.h>

namespace bench {

namespace {

struct Contestant {
    const Server* server = nullptr;
    MemoryResult result;
};

// The first connections also pay for tables, pools and lazily loaded code.
constexpr std::size_t warm_connections = 100;
constexpr std::size_t spare_descriptors = 200;
constexpr std::size_t rounds_most = 3;
constexpr std::size_t tls_connections_most = 2'000;
constexpr std::size_t quick_tls_connections = 200;

template <typename Load>
void measure_server(Run& run, Contestant& contestant) {
    ServerProcess process(contestant.server->command_for({}), {run.machine.server_core});
    const EchoShape one_small_message{64, 1, 1};
    EchoShape shape = one_small_message;
    shape.connections = warm_connections;
    Load warm(process.port(), shape);
    warm.run_batches(10);
    process.wait_until_asleep();
    const std::size_t before_kib = process.resident_kib();
    shape.connections = contestant.result.connections;
    Load idle(process.port(), shape);
    idle.run_batches(1);
    process.wait_until_asleep();
    const double more_kib =
        static_cast<double>(process.resident_kib()) - static_cast<double>(before_kib);
    contestant.result.kib_per_connection.push_back(more_kib /
                                                   static_cast<double>(shape.connections));
}

std::size_t rounds_of(const Run& run) {
    return std::min(run.options.rounds, rounds_most);
}

// Handshakes take longer than connections, and the figures hardly differ from one time to the next.
std::size_t tls_rounds_of(const Run& run) {
    return run.options.quick ? 1 : std::min(run.options.tls_rounds, rounds_most);
}

template <typename Load>
void measure_all(Run& run, const std::vector<Server>& servers, std::size_t connections,
                 std::size_t rounds, std::vector<MemoryResult>& results) {
    const std::size_t possible =
        run.machine.descriptor_limit -
        std::min(run.machine.descriptor_limit, warm_connections + spare_descriptors);
    std::vector<Contestant> contestants;
    for (const Server& server : servers) {
        Contestant contestant;
        contestant.server = &server;
        contestant.result.server = server.name;
        contestant.result.connections = std::min(connections, possible);
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, rounds, run.progress,
               fmt::format("memory of {} connections", connections),
               [&](Contestant& contestant) { measure_server<Load>(run, contestant); });
    for (Contestant& contestant : contestants) {
        results.push_back(std::move(contestant.result));
    }
}

}  // namespace

std::size_t memory_units(const Run& run) {
    return rounds_of(run) * beyond_echo(run.servers).size();
}

void measure_memory(Run& run) {
    measure_all<EchoLoad>(run, beyond_echo(run.servers), run.options.idle_connections,
                          rounds_of(run), run.results.memory);
}

std::size_t tls_memory_units(const Run& run) {
    return tls_rounds_of(run) * servers_beyond_echo(run).size();
}

void measure_tls_memory(Run& run) {
    const std::size_t most = run.options.quick ? quick_tls_connections : tls_connections_most;
    measure_all<TlsEchoLoad>(run, servers_beyond_echo(run),
                             std::min(run.options.idle_connections, most), tls_rounds_of(run),
                             run.results.tls_memory);
}

}  // namespace bench
