// The echo benchmark's main program: prepares the machine, finds the servers, runs the wanted sections and reports. Every
// decision of substance lies in driver/.
#include "driver/report.hpp"
#include "driver/run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <stdexcept>

#include <fmt/core.h>

namespace bench {

namespace {

std::vector<Server> chosen_servers(const Options& options) {
    std::vector<Server> all = all_servers(options.backend);
    if (options.servers.empty()) {
        return all;
    }
    std::vector<Server> chosen;
    for (const std::string& name : options.servers) {
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const Server& server) { return server.name == name; });
        if (found == all.end()) {
            throw std::invalid_argument(fmt::format("--servers: there is no '{}'", name));
        }
        chosen.push_back(*found);
    }
    return chosen;
}

std::vector<Server> working_servers(const Options& options, const Machine& machine,
                                    Results& results) {
    std::vector<Server> working;
    for (Server& server : chosen_servers(options)) {
        const std::string reason = reason_not_available(server, {machine.server_core});
        if (reason.empty()) {
            working.push_back(std::move(server));
        } else {
            fmt::print(stderr, "skipped: {}: {}\n", server.name, reason);
            results.skipped.push_back({server.name, "", reason});
        }
    }
    return working;
}

void write_json(const std::string& path, const std::string& text) {
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file) {
        throw std::runtime_error(fmt::format("cannot write {}", path));
    }
}

int run_benchmark(const Options& options) {
    const Machine machine = prepare_machine();
    Results results;
    Progress progress;
    Run run{options, machine, working_servers(options, machine, results), progress, results};
    const std::vector<Section> sections = wanted_sections(options);
    for (const Section& section : sections) {
        progress.expect(section.units(run));
    }
    for (const Section& section : sections) {
        section.run(run);
    }
    progress.clear();
    fmt::print("{}", tables(options, machine, results));
    if (!options.json_path.empty()) {
        write_json(options.json_path, json_report(options, machine, results));
    }
    return any_failure(results) ? 1 : 0;
}

int run_command_line(int argc, char** argv) {
    const Options options = parse_options(argc, argv);
    if (options.help) {
        fmt::print("{}", usage_text());
        return 0;
    }
    return run_benchmark(options);
}

}  // namespace

}  // namespace bench

int main(int argc, char** argv) {
    try {
        return bench::run_command_line(argc, argv);
    } catch (const std::invalid_argument& error) {
        fmt::print(stderr, "echo: {}\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        fmt::print(stderr, "echo: {}\n", error.what());
        return 1;
    }
}
