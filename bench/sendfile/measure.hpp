// One cell of the file benchmark, a file's size over TCP or TLS: all servers take turns in every round. Also the results as
// plain values, and the options that decide what is measured.
#pragma once

#include "../driver/machine.hpp"
#include "../driver/progress.hpp"
#include "../driver/results.hpp"
#include "file_servers.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench::files {

struct Options {
    std::vector<std::string> servers;  // empty: all
    std::vector<std::uint64_t> sizes = {64UL * 1024, 1024UL * 1024, 100UL * 1024 * 1024};
    bool tcp = true;
    bool tls = true;
    std::size_t rounds = 9;
    std::chrono::milliseconds slice{300};
    std::size_t connections = 0;  // 0: by the size of the file
    std::string nginx;            // the program
    std::string json_path;
    bool help = false;  // nothing else was looked at
};

struct FileResult {
    std::string server;
    bool tls = false;
    std::uint64_t bytes = 0;
    std::size_t connections = 0;
    Series requests_per_second;
    Series cpu_us_per_mib;
    Series server_busy;  // CPU time / wall time; below 1 the load or the wake-ups limit the rate
    std::string failure;
};

struct Results {
    std::vector<Skipped> skipped;
    std::vector<FileResult> files;
};

struct Cell {
    bool tls = false;
    std::uint64_t bytes = 0;
    std::size_t connections = 0;
    std::string path;
};

/// Measures one cell and appends a result for each server.
void measure_cell(const Options& options, const Machine& machine, const Cell& cell,
                  const std::vector<FileServer>& servers, Progress& progress, Results& results);

}  // namespace bench::files
