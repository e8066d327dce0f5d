// What a run finds, as plain values: filled by the sections, read by table and JSON. No behaviour.
#pragma once

#include "echo_load.hpp"
#include "stats.hpp"
#include "syscall_counter.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace bench {

struct Skipped {
    std::string server;
    std::string what;  // "" for the whole run, otherwise the section
    std::string reason;
};

/// One value a round, in the order of the rounds.
using Series = std::vector<double>;

struct SyscallsPerMessage {
    double total = 0;
    std::vector<std::pair<std::string, double>> by_name;  // most frequent first
};

struct EchoResult {
    std::string server;
    EchoShape shape;
    unsigned threads = 1;
    Series messages_per_second;
    Series cpu_us_per_message;
    Series server_busy;  // CPU time / wall time; below 1 the load or the wake-ups limit the rate
    std::optional<SyscallsPerMessage> syscalls;
    std::string failure;
};

struct AcceptResult {
    std::string server;
    Series connections_per_second;
    Series cpu_us_per_connection;
    std::string failure;
};

struct HandshakeResult {
    std::string server;
    bool resumed = false;
    Series handshakes_per_second;
    Series cpu_us_per_handshake;
    std::string failure;
};

struct BulkResult {
    std::string server;
    Series mib_per_second;
    Series cpu_us_per_mib;
    std::string failure;
};

struct WritelinesResult {
    std::string server;
    Series messages_per_second;
    Series cpu_us_per_message;
    std::string failure;
};

struct MemoryResult {
    std::string server;
    std::size_t connections = 0;
    Series kib_per_connection;
    std::string failure;
};

struct LatencyResult {
    std::string server;
    std::size_t connections = 0;
    std::size_t rate_per_second = 0;
    Series p50_us;
    Series p99_us;
    Series p999_us;
    Series cpu_us_per_message;
    double max_us = 0;
    std::vector<std::pair<double, double>>
        curve;  // percentile, microseconds; medians over the rounds
    std::string failure;
};

struct Results {
    std::vector<std::string> notes;  // what a reader must know about these figures
    std::vector<Skipped> skipped;
    std::vector<EchoResult> echo;
    std::vector<AcceptResult> accept;
    std::vector<BulkResult> bulk;
    std::vector<WritelinesResult> writelines;
    std::vector<MemoryResult> memory;
    std::vector<LatencyResult> latency;
    std::vector<EchoResult> tls_echo;
    std::vector<HandshakeResult> handshakes;
    std::vector<MemoryResult> tls_memory;
};

}  // namespace bench
