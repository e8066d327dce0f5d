// The echo benchmark's main program: prepares the machine, finds the servers, runs the wanted sections and reports. Every
// decision of substance lies in driver/.
#include "driver/program.hpp"
#include "driver/report.hpp"
#include "driver/run.hpp"
#include "driver/tls_certificate.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <fmt/core.h>

namespace bench {

namespace {

std::vector<Server> chosen_servers(const Options& options, const std::vector<Server>& all) {
    if (options.servers.empty()) {
        return all;
    }
    std::vector<Server> chosen;
    for (const std::string& name : options.servers) {
        std::copy_if(all.begin(), all.end(), std::back_inserter(chosen),
                     [&](const Server& server) { return server.name == name; });
    }
    return chosen;
}

// Some exist for TLS only, some for TCP only.
void check_names(const Options& options) {
    std::vector<Server> all = all_tls_servers("", "");
    std::ranges::move(all_servers(""), std::back_inserter(all));
    for (const std::string& name : options.servers) {
        if (std::none_of(all.begin(), all.end(),
                         [&](const Server& server) { return server.name == name; })) {
            throw std::invalid_argument(fmt::format("--servers: there is no '{}'", name));
        }
    }
}

std::vector<Server> working_servers(const Machine& machine, std::vector<Server> servers,
                                    std::string_view section, Results& results) {
    std::vector<Server> working;
    for (Server& server : servers) {
        const std::string reason = reason_not_available(server, {machine.server_core});
        if (reason.empty()) {
            working.push_back(std::move(server));
        } else {
            fmt::print(stderr, "skipped: {}{}{}: {}\n", server.name, section.empty() ? "" : " in ",
                       section, reason);
            results.skipped.push_back({server.name, std::string(section), reason});
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

std::vector<Server> tcp_servers(const Options& options, const Machine& machine, Results& results) {
    if (!options.sections.any_tcp()) {
        return {};
    }
    return working_servers(machine, chosen_servers(options, all_servers(options.backend)), "",
                           results);
}

std::vector<Server> tls_servers(const Options& options, const Machine& machine, Results& results) {
    if (!options.sections.any_tls()) {
        return {};
    }
    const std::string pem_file = beside_us("tls_server.pem");
    make_tls_file(pem_file);
    return working_servers(machine,
                           chosen_servers(options, all_tls_servers(options.backend, pem_file)),
                           "tls", results);
}

int run_benchmark(const Options& options) {
    check_names(options);
    const Machine machine = prepare_machine();
    Results results;
    Progress progress;
    Run run{.options = options,
            .machine = machine,
            .servers = tcp_servers(options, machine, results),
            .tls_servers = tls_servers(options, machine, results),
            .progress = progress,
            .results = results};
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
    return bench::run_driver("echo", [&] { return bench::run_command_line(argc, argv); });
}
