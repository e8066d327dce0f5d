// Echo with gathered answers: see sections.hpp. Each message comes back as a list of pieces that the server hands to its
// library in one call (writelines, a buffer sequence, an array of buffers). What is measured is what a library makes of
// the list: one system call for all of it, copies, or a call a piece.
#include "echo_load.hpp"
#include "sections.hpp"

#include <algorithm>
#include <memory>

namespace bench {

namespace {

using namespace std::chrono_literals;

// 64 pieces each, as server_support.hpp cuts them.
constexpr EchoShape shape{4096, 50, 1};

struct Contestant {
    WritelinesResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<EchoLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const EchoCount count = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto messages = static_cast<double>(count.messages);
    contestant.result.messages_per_second.push_back(messages / wall.count());
    contestant.result.cpu_us_per_message.push_back(cpu.count() * 1e6 / messages);
}

}  // namespace

std::size_t writelines_units(const Run& run) {
    return run.options.rounds * beyond_echo(run.servers).size();
}

void measure_writelines(Run& run) {
    std::vector<Contestant> contestants;
    for (const Server& server : beyond_echo(run.servers)) {
        Contestant contestant;
        contestant.result.server = server.name;
        try {
            contestant.process = std::make_unique<ServerProcess>(
                server.command_for({.threads = 1, .sink = false, .pieces = true}),
                std::vector<int>{run.machine.server_core});
            contestant.load = std::make_unique<EchoLoad>(contestant.process->port(), shape);
            contestant.load->run_for(20ms);
        } catch (const NotOffered& reason) {
            run.results.skipped.push_back({server.name, "writelines", reason.what()});
            run.progress.done(run.options.rounds);
            continue;
        } catch (const std::exception& error) {
            contestant.result.failure = error.what();
        }
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.rounds, run.progress, "writelines",
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        run.results.writelines.push_back(std::move(contestant.result));
    }
}

}  // namespace bench
