// The driver's command line. Knows the names and the defaults of everything that can be chosen; runs nothing.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

/// The parts of a run. Naming any on the command line leaves the others out.
struct Sections {
    bool echo = false;
    bool syscalls = false;
    bool threads = false;
    bool latency = false;
    bool bulk = false;
    bool accept = false;
    bool memory = false;
    bool writelines = false;
    bool tls = false;
    bool handshakes = false;
    bool tls_memory = false;

    bool any_tls() const { return tls || handshakes || tls_memory; }
    bool any_tcp() const {
        return echo || syscalls || threads || latency || bulk || accept || memory || writelines;
    }
};

struct Options {
    std::vector<std::string> servers;  // empty: all
    std::vector<std::size_t> sizes;
    std::vector<std::size_t> connections;
    std::vector<std::size_t> depths;
    bool default_grid =
        true;  // no axis was named: the extra rows (depth 16, many connections) belong to it
    std::size_t rounds = 9;
    std::size_t tls_rounds = 9;
    std::chrono::milliseconds slice{300};
    std::size_t idle_connections = 10'000;
    std::size_t latency_rate = 20'000;  // messages a second
    std::string backend;
    std::string json_path;
    bool quick = false;
    bool help = false;  // nothing else was looked at
    Sections sections;
};

std::string_view usage_text();

/// Throws std::invalid_argument naming option and value.
Options parse_options(int argc, char** argv);

}  // namespace bench
