// What all sections of a run share: the servers that take part, and the order in which rounds visit them. A section is
// one question (echo, memory ...) in a file of its own that appends to the results.
#pragma once

#include "catalogue.hpp"
#include "machine.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "results.hpp"
#include "server_process.hpp"

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct Run {
    const Options& options;
    const Machine& machine;
    std::vector<Server> servers;      // those that work here
    std::vector<Server> tls_servers;  // likewise; empty when no TLS section is wanted
    Progress& progress;
    Results& results;
};

/// Those servers for which more than echoing is another question than for their neighbours.
inline std::vector<Server> beyond_echo(std::vector<Server> servers) {
    std::erase_if(servers, [](const Server& server) { return server.echo_only; });
    return servers;
}
inline std::vector<Server> servers_beyond_echo(const Run& run) {
    return beyond_echo(run.tls_servers);
}

/// The order of servers in one round: it starts one further each time and changes direction, so that nobody always
/// follows the same neighbour or always comes first after a pause.
inline std::vector<std::size_t> round_order(std::size_t round, std::size_t count) {
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t place = round % 2 == 0 ? i : count - 1 - i;
        order[place] = (round + i) % count;
    }
    return order;
}

/// Some rounds of all there are.
struct Rounds {
    std::size_t begin;
    std::size_t end;
    std::size_t all;
};

/// Calls `measure(contestant)` for each of them in each of these rounds. What a contestant throws ends its part and becomes
/// its `result.failure`; the others go on.
template <typename Contestant, typename Measure>
void run_rounds(std::vector<Contestant>& contestants, const Rounds& rounds, Progress& progress,
                const std::string& what, const Measure& measure) {
    for (std::size_t round = rounds.begin; round < rounds.end; ++round) {
        for (const std::size_t i : round_order(round, contestants.size())) {
            Contestant& contestant = contestants[i];
            progress.begin(what + ", round " + std::to_string(round + 1) + "/" +
                           std::to_string(rounds.all) + ", " + contestant.result.server);
            try {
                if (contestant.result.failure.empty()) {
                    measure(contestant);
                }
            } catch (const std::exception& error) {
                contestant.result.failure = error.what();
            }
            progress.done();
        }
    }
}

/// The same with all rounds.
template <typename Contestant, typename Measure>
void run_rounds(std::vector<Contestant>& contestants, std::size_t rounds, Progress& progress,
                const std::string& what, const Measure& measure) {
    run_rounds(contestants, Rounds{0, rounds, rounds}, progress, what, measure);
}

/// Runs `step` for one contestant outside the rounds (starting it, warming it up) with the same treatment of failures.
template <typename Result, typename Step>
void attempt(Result& result, const Step& step) {
    try {
        if (result.failure.empty()) {
            step();
        }
    } catch (const std::exception& error) {
        result.failure = error.what();
    }
}

struct Section {
    bool wanted;
    std::function<std::size_t(const Run&)> units;  // for the progress line
    std::function<void(Run&)> run;
};

/// The sections that the options ask for, in the order of the report.
std::vector<Section> wanted_sections(const Options& options);

}  // namespace bench
