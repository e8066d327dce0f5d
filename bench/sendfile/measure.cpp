// Measures file servers: see measure.hpp.
#include "measure.hpp"

#include "../driver/run.hpp"
#include "file_load.hpp"

#include <algorithm>
#include <memory>

#include <fmt/core.h>

namespace bench::files {

namespace {

using namespace std::chrono_literals;

constexpr double mib = 1024.0 * 1024.0;
// As in the echo sections: what is luck in a process must not decide a row.
constexpr std::size_t rounds_of_a_process = 3;

struct Contestant {
    FileResult result;
    const FileServer* server = nullptr;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<FileLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    FileLoad& load = *contestant.load;
    // The neighbours in the round have emptied caches and congestion windows.
    load.run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms), Bodies::compared);
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const FileCount count = load.run_for(time, Bodies::counted);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto answers = static_cast<double>(count.answers);
    FileResult& result = contestant.result;
    result.requests_per_second.push_back(answers / wall.count());
    result.cpu_us_per_mib.push_back(cpu.count() * 1e6 /
                                    (answers * static_cast<double>(result.bytes) / mib));
    result.server_busy.push_back(cpu.count() / wall.count());
}

}  // namespace

void measure_cell(const Options& options, const Machine& machine, const Cell& cell,
                  const std::vector<FileServer>& servers, Progress& progress, Results& results) {
    std::vector<Contestant> contestants(servers.size());
    for (std::size_t i = 0; i < servers.size(); ++i) {
        contestants[i].server = &servers[i];
        contestants[i].result.server = servers[i].name;
        contestants[i].result.tls = cell.tls;
        contestants[i].result.bytes = cell.bytes;
        contestants[i].result.connections = cell.connections;
    }
    const std::string name = fmt::format("{}, {} KiB x {}", cell.tls ? "TLS" : "TCP",
                                         cell.bytes / 1024, cell.connections);
    for (std::size_t begin = 0; begin < options.rounds; begin += rounds_of_a_process) {
        for (Contestant& contestant : contestants) {
            attempt(contestant.result, [&] {
                progress.begin(name + ", starting " + contestant.result.server);
                contestant.process = std::make_unique<ServerProcess>(
                    contestant.server->command, std::vector<int>{machine.server_core});
                contestant.load = std::make_unique<FileLoad>(
                    contestant.process->port(),
                    FileShape{cell.path, cell.bytes, cell.connections, cell.tls});
            });
        }
        const Rounds rounds{begin, std::min(begin + rounds_of_a_process, options.rounds),
                            options.rounds};
        run_rounds(contestants, rounds, progress, name,
                   [&](Contestant& contestant) { measure_slice(contestant, options.slice); });
        for (Contestant& contestant : contestants) {
            contestant.load.reset();
            contestant.process.reset();
        }
    }
    for (Contestant& contestant : contestants) {
        results.files.push_back(std::move(contestant.result));
    }
}

}  // namespace bench::files
