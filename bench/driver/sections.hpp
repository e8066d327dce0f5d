// The sections of a run: one question each, answered into Run::results. `..._units` says how many measurements of one
// server that takes. Each section lives in a file of its own.
#pragma once

#include "run.hpp"

#include <cstddef>

namespace bench {

/// Messages a second, CPU time and, when asked for, system calls a message for every cell of the grid.
std::size_t echo_units(const Run& run);
void measure_echo(Run& run);

/// The same with one and two loops that share a port.
std::size_t threads_units(const Run& run);
void measure_threads(Run& run);

/// Resident memory of an idle connection.
std::size_t memory_units(const Run& run);
void measure_memory(Run& run);

/// Connections accepted and closed a second.
std::size_t accept_units(const Run& run);
void measure_accept(Run& run);

/// One-way throughput from us to the server.
std::size_t bulk_units(const Run& run);
void measure_bulk(Run& run);

/// Echo of messages that the server answers as a list of small pieces.
std::size_t writelines_units(const Run& run);
void measure_writelines(Run& run);

/// Echo over TLS, with system calls.
std::size_t tls_units(const Run& run);
void measure_tls(Run& run);

/// TLS handshakes, full ones and resumed ones.
std::size_t handshake_units(const Run& run);
void measure_handshakes(Run& run);

/// Resident memory of an idle TLS connection.
std::size_t tls_memory_units(const Run& run);
void measure_tls_memory(Run& run);

/// Latency percentiles at a fixed rate.
std::size_t latency_units(const Run& run);
void measure_latency(Run& run);

}  // namespace bench
