// The file benchmark's main program: reads the command line, prepares the machine and a folder of files, finds the servers,
// measures every cell and reports. Every decision of substance lies in sendfile/ and driver/.
#include "driver/program.hpp"
#include "driver/run.hpp"
#include "driver/words.hpp"
#include "sendfile/report.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

namespace bench::files {

namespace {

constexpr std::string_view usage =
    R"(File benchmark over loopback: the example file_server beside nginx and aiohttp.

  --servers LIST      of nginx,sluice,aiohttp, over TCP also nginx_nopush, over TLS also sluice_16k (default: all)
  --sizes LIST        file sizes in bytes (default: 65536,1048576,104857600)
  --connections N     (default: 16 up to 64 KiB, 8 up to 1 MiB, 2 above)
  --rounds N          interleaved rounds (default: 9)
  --ms N              measuring time of one server in one round (default: 300)
  --only tcp|tls      (default: both)
  --nginx FILE        the program (bench/run.sh fetches it)
  --json FILE         write all results
  --quick             3 rounds of 100 ms
)";

void set_only(Options& options, std::string_view value) {
    if (value != "tcp" && value != "tls") {
        throw std::invalid_argument("--only: tcp or tls");
    }
    options.tcp = value == "tcp";
    options.tls = value == "tls";
}

using Setter = std::function<void(Options&, std::string_view option, std::string_view value)>;

const std::map<std::string_view, Setter>& setters() {
    static const std::map<std::string_view, Setter> table = {
        {"--servers", [](Options& o, auto, auto value) { o.servers = words(value); }},
        {"--sizes", [](Options& o, auto name, auto value) { o.sizes = numbers(name, value); }},
        {"--connections",
         [](Options& o, auto name, auto value) { o.connections = number(name, value); }},
        {"--rounds", [](Options& o, auto name, auto value) { o.rounds = number(name, value); }},
        {"--ms", [](Options& o, auto name,
                    auto value) { o.slice = std::chrono::milliseconds(number(name, value)); }},
        {"--only", [](Options& o, auto, auto value) { set_only(o, value); }},
        {"--nginx", [](Options& o, auto, auto value) { o.nginx = value; }},
        {"--json", [](Options& o, auto, auto value) { o.json_path = value; }},
    };
    return table;
}

Options parse_options(int argc, char** argv) {
    Options options;
    const auto is_quick = [](const char* word) { return std::string_view(word) == "--quick"; };
    if (std::any_of(argv + 1, argv + argc, is_quick)) {
        // First of all and only defaults: an explicit value wins wherever it stands.
        options.rounds = 3;
        options.slice = std::chrono::milliseconds(100);
    }
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--help") {
            options.help = true;
            return options;
        }
        if (name == "--quick") {
            continue;
        }
        const auto setter = setters().find(name);
        if (setter == setters().end()) {
            throw std::invalid_argument(
                fmt::format("unknown option '{}'; --help lists them", name));
        }
        if (++i == argc) {
            throw std::invalid_argument(fmt::format("{}: a value is missing", name));
        }
        setter->second(options, name, argv[i]);
    }
    return options;
}

bool is_chosen(const Options& options, const std::string& name) {
    return options.servers.empty() ||
           std::find(options.servers.begin(), options.servers.end(), name) != options.servers.end();
}

void check_names(const Options& options, const ServedFolder& folder) {
    std::vector<FileServer> all = all_file_servers(folder, "", true);
    const std::vector<FileServer> over_tcp = all_file_servers(folder, "", false);
    all.insert(all.end(), over_tcp.begin(), over_tcp.end());
    for (const std::string& name : options.servers) {
        if (std::none_of(all.begin(), all.end(),
                         [&](const FileServer& server) { return server.name == name; })) {
            throw std::invalid_argument(fmt::format("--servers: there is no '{}'", name));
        }
    }
}

std::vector<FileServer> working_servers(const Options& options, const Machine& machine,
                                        const ServedFolder& folder, bool tls, Results& results) {
    const char* const section = tls ? "tls" : "tcp";
    std::vector<FileServer> working;
    for (FileServer& server : all_file_servers(folder, options.nginx, tls)) {
        if (!is_chosen(options, server.name)) {
            continue;
        }
        const std::string reason = reason_not_available(server, machine.server_core);
        if (reason.empty()) {
            working.push_back(std::move(server));
        } else {
            fmt::print(stderr, "skipped: {} in {}: {}\n", server.name, section, reason);
            results.skipped.push_back({server.name, section, reason});
        }
    }
    return working;
}

// Enough to keep a server busy, and few enough that a slice of the largest files stays one of seconds.
std::size_t connections_for(const Options& options, std::uint64_t bytes) {
    if (options.connections > 0) {
        return options.connections;
    }
    return bytes <= 64UL * 1024 ? 16 : bytes <= 1024UL * 1024 ? 8 : 2;
}

int run_benchmark(const Options& options) {
    const ServedFolder folder;
    check_names(options, folder);
    const Machine machine = prepare_machine();
    Results results;
    Progress progress;
    struct Part {
        bool tls;
        std::vector<FileServer> servers;
    };
    std::vector<Part> parts;
    for (const bool tls : {false, true}) {
        if (tls ? options.tls : options.tcp) {
            parts.push_back({tls, working_servers(options, machine, folder, tls, results)});
            progress.expect(options.sizes.size() * options.rounds * parts.back().servers.size());
        }
    }
    for (const Part& part : parts) {
        for (const std::uint64_t bytes : options.sizes) {
            const Cell cell{part.tls, bytes, connections_for(options, bytes),
                            folder.add_file(bytes)};
            measure_cell(options, machine, cell, part.servers, progress, results);
        }
    }
    progress.clear();
    fmt::print("{}", tables(options, machine, results));
    if (!options.json_path.empty()) {
        std::ofstream file(options.json_path);
        file << json_report(options, machine, results);
        file.close();
        if (!file) {
            throw std::runtime_error(fmt::format("cannot write {}", options.json_path));
        }
    }
    return any_failure(results) ? 1 : 0;
}

int run_command_line(int argc, char** argv) {
    const Options options = parse_options(argc, argv);
    if (options.help) {
        fmt::print("{}", usage);
        return 0;
    }
    return run_benchmark(options);
}

}  // namespace

}  // namespace bench::files

int main(int argc, char** argv) {
    return bench::run_driver("sendfile",
                             [&] { return bench::files::run_command_line(argc, argv); });
}
