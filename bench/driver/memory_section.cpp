// Resident memory of an idle connection: see sections.hpp. Counts user-space pages only; the kernel's part (sockets,
// epoll entries) is the same for every server.
#include "echo_load.hpp"
#include "sections.hpp"

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

void measure_server(Run& run, Contestant& contestant) {
    ServerProcess process(contestant.server->command_for({}), {run.machine.server_core});
    const EchoShape one_small_message{64, 1, 1};
    EchoShape shape = one_small_message;
    shape.connections = warm_connections;
    EchoLoad warm(process.port(), shape);
    warm.run_batches(10);
    process.wait_until_asleep();
    const std::size_t before_kib = process.resident_kib();
    shape.connections = contestant.result.connections;
    EchoLoad idle(process.port(), shape);
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

}  // namespace

std::size_t memory_units(const Run& run) {
    return rounds_of(run) * run.servers.size();
}

void measure_memory(Run& run) {
    const std::size_t possible =
        run.machine.descriptor_limit -
        std::min(run.machine.descriptor_limit, warm_connections + spare_descriptors);
    std::vector<Contestant> contestants;
    for (const Server& server : run.servers) {
        Contestant contestant;
        contestant.server = &server;
        contestant.result.server = server.name;
        contestant.result.connections = std::min(run.options.idle_connections, possible);
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, rounds_of(run), run.progress,
               fmt::format("memory of {} connections", run.options.idle_connections),
               [&](Contestant& contestant) { measure_server(run, contestant); });
    for (Contestant& contestant : contestants) {
        run.results.memory.push_back(std::move(contestant.result));
    }
}

}  // namespace bench
