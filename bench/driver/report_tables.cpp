// The tables: see report.hpp. A figure is a median over the rounds with its smallest and largest value; a ratio is the
// median of the ratios within each round, with its interval.
#include "catalogue.hpp"
#include "figures.hpp"
#include "histogram.hpp"
#include "report.hpp"
#include "text_table.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/core.h>

namespace bench {

namespace {

template <typename Result>
const Result* reference_of(const std::vector<Result>& results) {
    const auto found = std::find_if(results.begin(), results.end(), [](const Result& result) {
        return result.server == reference_server && result.failure.empty();
    });
    return found == results.end() ? nullptr : &*found;
}

bool same_cell(const EchoResult& a, const EchoResult& b) {
    return a.shape.message_bytes == b.shape.message_bytes &&
           a.shape.connections == b.shape.connections && a.shape.depth == b.shape.depth &&
           a.threads == b.threads;
}

std::string syscall_text(const EchoResult& result) {
    return result.syscalls ? fmt::format("{:.3f}", result.syscalls->total) : "-";
}

void add_echo_row(TextTable& table, const EchoResult& result, const EchoResult* reference) {
    if (!result.failure.empty()) {
        table.add_line(failure_line(result.server, result.failure));
        return;
    }
    std::vector<std::string> cells = {indented(result.server)};
    add_summary(cells, result.messages_per_second);
    add_summary(cells, result.cpu_us_per_message);
    add_ratio(cells, result.cpu_us_per_message,
              reference == nullptr ? nullptr : &reference->cpu_us_per_message);
    const auto busy = summarize(result.server_busy);
    cells.push_back(busy ? fmt::format("{:.0f} %", busy->median * 100) : "-");
    cells.push_back(syscall_text(result));
    table.add(std::move(cells));
}

std::string echo_table(const char* title, const std::vector<EchoResult>& results,
                       std::size_t rounds) {
    TextTable table({title, "msgs/s", "min-max", "CPU us/msg", "min-max", "CPU ratio",
                     interval_title(rounds), "busy", "syscalls/msg"});
    for (auto begin = results.begin(); begin != results.end();) {
        const auto end = std::find_if_not(begin, results.end(), [&](const EchoResult& other) {
            return same_cell(*begin, other);
        });
        const std::vector<EchoResult> cell(begin, end);
        const EchoShape& shape = begin->shape;
        table.add_line(fmt::format("{} B x {} connection{}, depth {}, {} loop{}",
                                   shape.message_bytes, shape.connections,
                                   shape.connections == 1 ? "" : "s", shape.depth, begin->threads,
                                   begin->threads == 1 ? "" : "s"));
        for (const EchoResult& result : cell) {
            add_echo_row(table, result, reference_of(cell));
        }
        begin = end;
    }
    return table.text();
}

struct RateTitles {
    const char* table;
    const char* rate;
    const char* cost;
};

// The shape that accept, bulk and others share: two series, the second one compared.
template <typename Result>
std::string rate_table(const std::vector<Result>& results, const RateTitles& titles,
                       std::size_t rounds, Series Result::* rate, Series Result::* cost) {
    TextTable table({titles.table, titles.rate, "min-max", titles.cost, "min-max", "CPU ratio",
                     interval_title(rounds)});
    const Result* reference = reference_of(results);
    for (const Result& result : results) {
        if (!result.failure.empty()) {
            table.add_line(failure_line(result.server, result.failure));
            continue;
        }
        std::vector<std::string> cells = {indented(result.server)};
        add_summary(cells, result.*rate);
        add_summary(cells, result.*cost);
        add_ratio(cells, result.*cost, reference == nullptr ? nullptr : &(reference->*cost));
        table.add(std::move(cells));
    }
    return table.text();
}

std::string latency_table(const std::vector<LatencyResult>& results) {
    TextTable table({"Latency, us", "p50", "min-max", "p99", "min-max", "p99.9", "min-max", "max",
                     "CPU us/msg"});
    table.add_line(fmt::format(
        "64 B x {} connections at {} messages/s by a timetable; error of a value at most {:.1f} %",
        results.front().connections, results.front().rate_per_second,
        Histogram::relative_error * 100));
    for (const LatencyResult& result : results) {
        if (!result.failure.empty()) {
            table.add_line(failure_line(result.server, result.failure));
            continue;
        }
        std::vector<std::string> cells = {indented(result.server)};
        add_summary(cells, result.p50_us);
        add_summary(cells, result.p99_us);
        add_summary(cells, result.p999_us);
        cells.push_back(figure(result.max_us));
        const auto cpu = summarize(result.cpu_us_per_message);
        cells.push_back(cpu ? figure(cpu->median) : "-");
        table.add(std::move(cells));
    }
    return table.text();
}

std::string memory_table(const char* title, const std::vector<MemoryResult>& results) {
    TextTable table({title, "KiB/connection", "min-max"});
    table.add_line(fmt::format("{} connections, resident pages of the server process",
                               results.front().connections));
    for (const MemoryResult& result : results) {
        if (!result.failure.empty()) {
            table.add_line(failure_line(result.server, result.failure));
            continue;
        }
        std::vector<std::string> cells = {indented(result.server)};
        add_summary(cells, result.kib_per_connection);
        table.add(std::move(cells));
    }
    return table.text();
}

std::string handshake_table(const std::vector<HandshakeResult>& results, bool resumed,
                            std::size_t rounds) {
    std::vector<HandshakeResult> of_kind;
    std::copy_if(results.begin(), results.end(), std::back_inserter(of_kind),
                 [&](const HandshakeResult& result) { return result.resumed == resumed; });
    return rate_table<HandshakeResult>(
        of_kind,
        {resumed ? "TLS handshakes, resumed" : "TLS handshakes, full", "per second", "CPU us each"},
        rounds, &HandshakeResult::handshakes_per_second, &HandshakeResult::cpu_us_per_handshake);
}

std::string tls_tables(const Results& results, std::size_t rounds) {
    std::string text;
    if (!results.tls_echo.empty()) {
        text += echo_table("Echo, TLS 1.3", results.tls_echo, rounds) + "\n";
    }
    if (!results.handshakes.empty()) {
        text += handshake_table(results.handshakes, false, rounds) + "\n";
        text += handshake_table(results.handshakes, true, rounds) + "\n";
    }
    if (!results.tls_memory.empty()) {
        text += memory_table("Idle memory, TLS", results.tls_memory) + "\n";
    }
    return text;
}

std::string rounds_text(const Options& options) {
    const bool differ = options.sections.any_tls() && options.tls_rounds != options.rounds;
    if (differ && options.sections.any_tcp()) {
        return fmt::format("{} rounds (TLS: {})", options.rounds, options.tls_rounds);
    }
    return fmt::format("{} rounds", differ ? options.tls_rounds : options.rounds);
}

std::string notes(const Machine& machine, const Results& results) {
    std::string text;
    for (const std::string& label : machine.labels) {
        text += "NOTE: " + label + "\n";
    }
    for (const std::string& note : results.notes) {
        text += "NOTE: " + note + "\n";
    }
    for (const Skipped& skipped : results.skipped) {
        text += fmt::format("SKIPPED: {}{}: {}\n", skipped.server,
                            skipped.what.empty() ? "" : " in " + skipped.what, skipped.reason);
    }
    return text;
}

}  // namespace

std::string tables(const Options& options, const Machine& machine, const Results& results) {
    std::string text = fmt::format(
        "{}, {} core{}, Linux {}; server on core {}, load on core {}, {}, {}\n"
        "{} of {} ms; CPU ratio: to {}, median of paired ratios\n\n",
        machine.cpu_model, machine.cores.size(), machine.cores.size() == 1 ? "" : "s",
        machine.kernel, machine.server_core, machine.load_core,
        machine.own_namespace ? "own network namespace" : "the machine's network",
        machine.congestion_control, rounds_text(options), options.slice.count(), reference_server);
    if (!results.echo.empty()) {
        text += echo_table("Echo", results.echo, options.rounds) + "\n";
    }
    if (!results.latency.empty()) {
        text += latency_table(results.latency) + "\n";
    }
    if (!results.bulk.empty()) {
        text += rate_table<BulkResult>(results.bulk, {"Bulk, one way", "MiB/s", "CPU us/MiB"},
                                       options.rounds, &BulkResult::mib_per_second,
                                       &BulkResult::cpu_us_per_mib) +
                "\n";
    }
    if (!results.writelines.empty()) {
        text += rate_table<WritelinesResult>(results.writelines,
                                             {"Writelines, 64 x 64 B", "msgs/s", "CPU us/msg"},
                                             options.rounds, &WritelinesResult::messages_per_second,
                                             &WritelinesResult::cpu_us_per_message) +
                "\n";
    }
    if (!results.accept.empty()) {
        text += rate_table<AcceptResult>(
                    results.accept, {"Accept + close", "conns/s", "CPU us/conn"}, options.rounds,
                    &AcceptResult::connections_per_second, &AcceptResult::cpu_us_per_connection) +
                "\n";
    }
    if (!results.memory.empty()) {
        text += memory_table("Idle memory", results.memory) + "\n";
    }
    text += tls_tables(results, options.tls_rounds);
    return text + notes(machine, results);
}

bool any_failure(const Results& results) {
    const auto failed = [](const auto& all) {
        return std::any_of(all.begin(), all.end(),
                           [](const auto& result) { return !result.failure.empty(); });
    };
    return failed(results.echo) || failed(results.accept) || failed(results.bulk) ||
           failed(results.writelines) || failed(results.memory) || failed(results.latency) ||
           failed(results.tls_echo) || failed(results.handshakes) || failed(results.tls_memory);
}

}  // namespace bench
