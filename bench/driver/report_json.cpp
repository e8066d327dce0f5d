// The JSON report: see report.hpp. Every round's value is written, so that others can do their own statistics.
#include "catalogue.hpp"
#include "histogram.hpp"
#include "json_figures.hpp"
#include "report.hpp"

#include <algorithm>

namespace bench {

namespace {

// The reference in the same cell, so that its rounds pair with the given result's.
const EchoResult* reference_for(const std::vector<EchoResult>& results, const EchoResult& result) {
    const auto found = std::find_if(results.begin(), results.end(), [&](const EchoResult& other) {
        return other.server == reference_server && other.failure.empty() &&
               other.shape.message_bytes == result.shape.message_bytes &&
               other.shape.connections == result.shape.connections &&
               other.shape.depth == result.shape.depth && other.threads == result.threads;
    });
    return found == results.end() ? nullptr : &*found;
}

const HandshakeResult* reference_for(const std::vector<HandshakeResult>& results,
                                     const HandshakeResult& result) {
    const auto found =
        std::find_if(results.begin(), results.end(), [&](const HandshakeResult& other) {
            return other.server == reference_server && other.failure.empty() &&
                   other.resumed == result.resumed;
        });
    return found == results.end() ? nullptr : &*found;
}

template <typename Result>
const Result* reference_in(const std::vector<Result>& results) {
    const auto found = std::find_if(results.begin(), results.end(), [](const Result& result) {
        return result.server == reference_server && result.failure.empty();
    });
    return found == results.end() ? nullptr : &*found;
}

void begin_result(JsonWriter& json, const std::string& server, const std::string& failure) {
    json.begin_object();
    json.member("server", server);
    if (!failure.empty()) {
        json.member("failure", failure);
    }
}

void write_syscalls(JsonWriter& json, const SyscallsPerMessage& syscalls) {
    json.key("syscalls_per_message").begin_object();
    json.member("total", syscalls.total);
    json.key("by_name").begin_object();
    for (const auto& [name, count] : syscalls.by_name) {
        json.member(name, count);
    }
    json.end_object().end_object();
}

void write_echo(JsonWriter& json, std::string_view key, const std::vector<EchoResult>& results) {
    json.key(key).begin_array();
    for (const EchoResult& result : results) {
        begin_result(json, result.server, result.failure);
        json.member("message_bytes", result.shape.message_bytes);
        json.member("connections", result.shape.connections);
        json.member("depth", result.shape.depth);
        json.member("threads", result.threads);
        write_series(json, "messages_per_second", result.messages_per_second);
        write_series(json, "cpu_us_per_message", result.cpu_us_per_message);
        write_series(json, "server_busy", result.server_busy);
        if (const EchoResult* reference = reference_for(results, result)) {
            write_ratio(json, "cpu_ratio", result.cpu_us_per_message,
                        reference->cpu_us_per_message);
        }
        if (result.syscalls) {
            write_syscalls(json, *result.syscalls);
        }
        json.end_object();
    }
    json.end_array();
}

void write_accept(JsonWriter& json, const Results& results) {
    const AcceptResult* reference = reference_in(results.accept);
    json.key("accept").begin_array();
    for (const AcceptResult& result : results.accept) {
        begin_result(json, result.server, result.failure);
        write_series(json, "connections_per_second", result.connections_per_second);
        write_series(json, "cpu_us_per_connection", result.cpu_us_per_connection);
        if (reference != nullptr) {
            write_ratio(json, "cpu_ratio", result.cpu_us_per_connection,
                        reference->cpu_us_per_connection);
        }
        json.end_object();
    }
    json.end_array();
}

void write_bulk(JsonWriter& json, const Results& results) {
    const BulkResult* reference = reference_in(results.bulk);
    json.key("bulk").begin_array();
    for (const BulkResult& result : results.bulk) {
        begin_result(json, result.server, result.failure);
        write_series(json, "mib_per_second", result.mib_per_second);
        write_series(json, "cpu_us_per_mib", result.cpu_us_per_mib);
        if (reference != nullptr) {
            write_ratio(json, "cpu_ratio", result.cpu_us_per_mib, reference->cpu_us_per_mib);
        }
        json.end_object();
    }
    json.end_array();
}

void write_writelines(JsonWriter& json, const Results& results) {
    const WritelinesResult* reference = reference_in(results.writelines);
    json.key("writelines").begin_array();
    for (const WritelinesResult& result : results.writelines) {
        begin_result(json, result.server, result.failure);
        write_series(json, "messages_per_second", result.messages_per_second);
        write_series(json, "cpu_us_per_message", result.cpu_us_per_message);
        if (reference != nullptr) {
            write_ratio(json, "cpu_ratio", result.cpu_us_per_message,
                        reference->cpu_us_per_message);
        }
        json.end_object();
    }
    json.end_array();
}

void write_handshakes(JsonWriter& json, const Results& results) {
    json.key("handshakes").begin_array();
    for (const HandshakeResult& result : results.handshakes) {
        begin_result(json, result.server, result.failure);
        json.member("resumed", result.resumed);
        write_series(json, "handshakes_per_second", result.handshakes_per_second);
        write_series(json, "cpu_us_per_handshake", result.cpu_us_per_handshake);
        if (const HandshakeResult* reference = reference_for(results.handshakes, result)) {
            write_ratio(json, "cpu_ratio", result.cpu_us_per_handshake,
                        reference->cpu_us_per_handshake);
        }
        json.end_object();
    }
    json.end_array();
}

void write_memory(JsonWriter& json, std::string_view key,
                  const std::vector<MemoryResult>& results) {
    json.key(key).begin_array();
    for (const MemoryResult& result : results) {
        begin_result(json, result.server, result.failure);
        json.member("connections", result.connections);
        write_series(json, "kib_per_connection", result.kib_per_connection);
        json.end_object();
    }
    json.end_array();
}

void write_latency(JsonWriter& json, const Results& results) {
    json.key("latency").begin_array();
    for (const LatencyResult& result : results.latency) {
        begin_result(json, result.server, result.failure);
        json.member("connections", result.connections);
        json.member("rate_per_second", result.rate_per_second);
        json.member("relative_error", Histogram::relative_error);
        write_series(json, "p50_us", result.p50_us);
        write_series(json, "p99_us", result.p99_us);
        write_series(json, "p999_us", result.p999_us);
        write_series(json, "cpu_us_per_message", result.cpu_us_per_message);
        json.member("max_us", result.max_us);
        json.key("curve").begin_array();
        for (const auto& [percentile, microseconds] : result.curve) {
            json.begin_object();
            json.member("percentile", percentile);
            json.member("us", microseconds);
            json.end_object();
        }
        json.end_array();
        json.end_object();
    }
    json.end_array();
}

}  // namespace

std::string json_report(const Options& options, const Machine& machine, const Results& results) {
    JsonWriter json;
    json.begin_object();
    json.member("schema", 1);
    write_machine(json, machine);
    json.key("settings").begin_object();
    json.member("rounds", options.rounds);
    json.member("tls_rounds", options.tls_rounds);
    json.member("slice_ms", options.slice.count());
    json.member("quick", options.quick);
    json.member("backend", options.backend.empty() ? "automatic" : options.backend.c_str());
    json.member("reference", reference_server);
    json.end_object();
    json.list("notes", results.notes);
    write_skipped(json, results.skipped);
    write_echo(json, "echo", results.echo);
    write_latency(json, results);
    write_bulk(json, results);
    write_writelines(json, results);
    write_accept(json, results);
    write_memory(json, "memory", results.memory);
    write_echo(json, "tls_echo", results.tls_echo);
    write_handshakes(json, results);
    write_memory(json, "tls_memory", results.tls_memory);
    json.end_object();
    return json.text() + "\n";
}

}  // namespace bench
