// The main section: echo cells over TCP and TLS, each measured in interleaved rounds, then counted under trace. See
// sections.hpp.
#include "echo_load.hpp"
#include "sections.hpp"
#include "syscall_counter.hpp"
#include "tls_load.hpp"

#include <algorithm>
#include <memory>

#include <fmt/core.h>

namespace bench {

namespace {

using namespace std::chrono_literals;

struct Cell {
    EchoShape shape;
    unsigned threads = 1;
    bool tls = false;
};

struct Contestant {
    const Server* server = nullptr;
    EchoResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<EchoLoad> load;
};

// Each connection costs us one descriptor, and its server one; the rest is for files and listeners.
constexpr std::size_t spare_descriptors = 200;

// A process is a matter of luck: where its buffers lie to each other decides, on some processors, how fast they can be
// copied, by as much as a third of the whole CPU time (`rep movsb` to an address a few bytes further in its page than
// the source). More rounds with the same process would only confirm its luck.
constexpr std::size_t rounds_of_a_process = 3;

bool fits(const Run& run, std::size_t connections) {
    return connections + spare_descriptors <= run.machine.descriptor_limit;
}

std::vector<Cell> grid(const Options& options, bool tls) {
    std::vector<Cell> cells;
    for (const std::size_t depth : options.depths) {
        for (const std::size_t connections : options.connections) {
            for (const std::size_t size : options.sizes) {
                cells.push_back({{size, connections, depth}, 1, tls});
            }
        }
    }
    return cells;
}

std::vector<Cell> echo_cells(const Options& options) {
    std::vector<Cell> cells = grid(options, false);
    if (options.default_grid) {
        cells.push_back({{64, 50, 16}, 1});
        if (!options.quick) {
            cells.push_back({{64, 10'000, 1}, 1});
        }
    }
    return cells;
}

// Sizes at which other things matter than in TCP: one small record, one full one, many full ones.
std::vector<Cell> tls_cells(const Options& options) {
    if (!options.default_grid) {
        return grid(options, true);
    }
    std::vector<Cell> cells;
    for (const std::size_t connections : {std::size_t{1}, std::size_t{50}}) {
        for (const std::size_t size : {64UL, 1024UL, 16'384UL, 262'144UL}) {
            cells.push_back({{size, connections, 1}, 1, true});
        }
    }
    cells.push_back({{64, 1000, 1}, 1, true});
    if (options.quick) {
        cells = {{{64, 50, 1}, 1, true}, {{16'384, 50, 1}, 1, true}};
    }
    cells.push_back({{64, 50, 16}, 1, true});
    return cells;
}

std::vector<Cell> thread_cells(const Options& options) {
    std::vector<Cell> cells;
    const std::size_t large = options.quick ? 8192 : 16'384;
    for (const std::size_t size : {std::size_t{64}, large}) {
        for (const unsigned threads : {1U, 2U}) {
            cells.push_back({{size, 50, 1}, threads});
        }
    }
    return cells;
}

std::vector<int> cores_for(const Machine& machine, unsigned threads) {
    const std::size_t count = std::min<std::size_t>(threads, machine.cores.size());
    return {machine.cores.begin(), machine.cores.begin() + static_cast<std::ptrdiff_t>(count)};
}

std::string name_of(const Cell& cell) {
    return fmt::format("{}{} B x {}, depth {}{}", cell.tls ? "TLS, " : "", cell.shape.message_bytes,
                       cell.shape.connections, cell.shape.depth,
                       cell.threads > 1 ? ", 2 loops" : "");
}

std::unique_ptr<EchoLoad> load_for(const Cell& cell, const ServerProcess& process) {
    if (cell.tls) {
        return std::make_unique<TlsEchoLoad>(process.port(), cell.shape);
    }
    return std::make_unique<EchoLoad>(process.port(), cell.shape);
}

void measure_slice(Contestant& contestant, EchoLoad& load, std::chrono::nanoseconds time) {
    // The neighbours in the round have emptied caches and congestion windows.
    load.run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const EchoCount count = load.run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto messages = static_cast<double>(count.messages);
    contestant.result.messages_per_second.push_back(messages / wall.count());
    contestant.result.cpu_us_per_message.push_back(cpu.count() * 1e6 / messages);
    contestant.result.server_busy.push_back(cpu.count() / wall.count());
}

std::unique_ptr<EchoLoad> connected_load(const Run& run, const Cell& cell,
                                         const Contestant& contestant) {
    auto load = load_for(cell, *contestant.process);
    // Interpreters, allocators and socket buffers settle within the first messages.
    load->run_for(std::max<std::chrono::nanoseconds>(run.options.slice / 3, 20ms));
    return load;
}

void measure_rounds(Run& run, const Cell& cell, const Rounds& rounds,
                    std::vector<Contestant>& contestants) {
    const std::string name = name_of(cell);
    // Where the connections to all servers together are more than we may have, they are made anew for each slice: the
    // servers still take turns in every round.
    const bool all_at_once = fits(run, cell.shape.connections * contestants.size());
    for (Contestant& contestant : contestants) {
        attempt(contestant.result, [&] {
            run.progress.begin(name + ", starting " + contestant.result.server);
            contestant.process = std::make_unique<ServerProcess>(
                contestant.server->command_for({.threads = cell.threads, .sink = false}),
                cores_for(run.machine, cell.threads));
            if (all_at_once) {
                contestant.load = connected_load(run, cell, contestant);
            }
        });
    }
    run_rounds(contestants, rounds, run.progress, name, [&](Contestant& contestant) {
        const auto alone = all_at_once ? nullptr : connected_load(run, cell, contestant);
        measure_slice(contestant, all_at_once ? *contestant.load : *alone, run.options.slice);
    });
    for (Contestant& contestant : contestants) {
        contestant.load.reset();
        contestant.process.reset();
    }
}

void measure_cell(Run& run, const Cell& cell, std::vector<Contestant>& contestants) {
    const std::size_t all = cell.tls ? run.options.tls_rounds : run.options.rounds;
    for (std::size_t begin = 0; begin < all; begin += rounds_of_a_process) {
        const Rounds rounds{begin, std::min(begin + rounds_of_a_process, all), all};
        measure_rounds(run, cell, rounds, contestants);
    }
}

std::uint64_t traced_batches(const EchoShape& shape, bool quick) {
    // Enough for three digits, but tracing is slow and a large cell moves much in one batch.
    const std::size_t messages = quick ? 500 : 2000;
    const std::size_t messages_a_batch = shape.connections * shape.depth;
    const std::size_t most = std::max<std::size_t>(1, (64UL << 20U) / shape.message_bytes);
    return std::max<std::size_t>(2, std::min(messages, most) / messages_a_batch);
}

void count_syscalls(Run& run, const Cell& cell, Contestant& contestant) {
    const std::vector<int> cores = cores_for(run.machine, cell.threads);
    ServerProcess process(contestant.server->command_for({.threads = cell.threads, .sink = false}),
                          cores);
    const auto load = load_for(cell, process);
    load->run_batches(2);
    SyscallCounter counter(process.pid(), cores);
    load->run_batches(1);
    counter.reset();
    const EchoCount count = load->run_batches(traced_batches(cell.shape, run.options.quick));
    SyscallsPerMessage result;
    for (const auto& [name, calls] : counter.counts()) {
        const double per_message = static_cast<double>(calls) / static_cast<double>(count.messages);
        result.total += per_message;
        result.by_name.emplace_back(name, per_message);
    }
    std::sort(result.by_name.begin(), result.by_name.end(),
              [](const auto& a, const auto& b) { return a.second > b.second; });
    contestant.result.syscalls = std::move(result);
}

void measure_cells(Run& run, const std::vector<Cell>& cells, bool timed, bool counted,
                   std::vector<EchoResult>& results) {
    for (const Cell& cell : cells) {
        std::vector<Contestant> contestants;
        for (const Server& server : run.servers) {
            Contestant contestant;
            contestant.server = &server;
            contestant.result.server = server.name;
            contestant.result.shape = cell.shape;
            contestant.result.threads = cell.threads;
            if (!fits(run, cell.shape.connections)) {
                contestant.result.failure = fmt::format(
                    "needs more than the {} descriptors allowed", run.machine.descriptor_limit);
            }
            contestants.push_back(std::move(contestant));
        }
        if (timed) {
            measure_cell(run, cell, contestants);
        }
        for (Contestant& contestant : contestants) {
            if (counted) {
                run.progress.begin(name_of(cell) + ", system calls, " + contestant.result.server);
                attempt(contestant.result, [&] { count_syscalls(run, cell, contestant); });
                run.progress.done();
            }
            results.push_back(std::move(contestant.result));
        }
    }
}

std::vector<Server> servers_with_many_loops(const Run& run) {
    std::vector<Server> servers = run.servers;
    std::erase_if(servers, [](const Server& server) { return !server.many_loops; });
    return servers;
}

std::size_t units(std::size_t rounds, std::size_t servers, std::size_t cells, bool counted) {
    return cells * servers * (rounds + (counted ? 1 : 0));
}

}  // namespace

std::size_t echo_units(const Run& run) {
    const Sections& sections = run.options.sections;
    return units(sections.echo ? run.options.rounds : 0, run.servers.size(),
                 echo_cells(run.options).size(), sections.syscalls);
}

void measure_echo(Run& run) {
    const Sections& sections = run.options.sections;
    measure_cells(run, echo_cells(run.options), sections.echo, sections.syscalls, run.results.echo);
}

std::size_t threads_units(const Run& run) {
    return units(run.options.rounds, servers_with_many_loops(run).size(),
                 thread_cells(run.options).size(), false);
}

void measure_threads(Run& run) {
    const std::vector<Server> everyone = run.servers;
    for (const Server& server : everyone) {
        if (!server.many_loops) {
            run.results.skipped.push_back({server.name, "threads", "one loop a process"});
        }
    }
    if (run.machine.cores.size() < 3) {
        run.results.notes.emplace_back(
            "With 2 loops one of them shares its core with the load: too few cores for more.");
    }
    run.servers = servers_with_many_loops(run);
    measure_cells(run, thread_cells(run.options), true, false, run.results.echo);
    run.servers = everyone;
}

std::size_t tls_units(const Run& run) {
    return units(run.options.tls_rounds, run.tls_servers.size(), tls_cells(run.options).size(),
                 true);
}

void measure_tls(Run& run) {
    run.servers.swap(run.tls_servers);
    measure_cells(run, tls_cells(run.options), true, true, run.results.tls_echo);
    run.servers.swap(run.tls_servers);
}

}  // namespace bench
