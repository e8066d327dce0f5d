// Tables and JSON of the file benchmark: see report.hpp. A figure is a median over the rounds with its smallest and largest
// value; a ratio is the median of the ratios within each round, with its interval.
#include "report.hpp"

#include "../driver/figures.hpp"
#include "../driver/json_figures.hpp"
#include "../driver/text_table.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/core.h>

namespace bench::files {

namespace {

bool same_cell(const FileResult& a, const FileResult& b) {
    return a.tls == b.tls && a.bytes == b.bytes && a.connections == b.connections;
}

// The reference in the same cell, so that its rounds pair with the given result's.
const FileResult* reference_for(const std::vector<FileResult>& results, const FileResult& result) {
    const auto found = std::find_if(results.begin(), results.end(), [&](const FileResult& other) {
        return other.server == reference_server && other.failure.empty() &&
               same_cell(other, result);
    });
    return found == results.end() ? nullptr : &*found;
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::uint64_t kib = 1024;
    return bytes >= kib * kib ? fmt::format("{} MiB", bytes / (kib * kib))
                              : fmt::format("{} KiB", bytes / kib);
}

void add_row(TextTable& table, const FileResult& result, const FileResult* reference) {
    if (!result.failure.empty()) {
        table.add_line(failure_line(result.server, result.failure));
        return;
    }
    std::vector<std::string> cells = {indented(result.server)};
    add_summary(cells, result.requests_per_second);
    add_ratio(cells, result.requests_per_second,
              reference == nullptr ? nullptr : &reference->requests_per_second);
    add_summary(cells, result.cpu_us_per_mib);
    add_ratio(cells, result.cpu_us_per_mib,
              reference == nullptr ? nullptr : &reference->cpu_us_per_mib);
    const auto busy = summarize(result.server_busy);
    cells.push_back(busy ? fmt::format("{:.0f} %", busy->median * 100) : "-");
    table.add(std::move(cells));
}

std::string file_table(const char* title, const std::vector<FileResult>& all, bool tls,
                       std::size_t rounds) {
    TextTable table({title, "requests/s", "min-max", "ratio", interval_title(rounds), "CPU us/MiB",
                     "min-max", "ratio", interval_title(rounds), "busy"});
    const FileResult* previous = nullptr;
    for (const FileResult& result : all) {
        if (result.tls != tls) {
            continue;
        }
        if (previous == nullptr || !same_cell(*previous, result)) {
            table.add_line(
                fmt::format("{} x {} connections", size_text(result.bytes), result.connections));
        }
        add_row(table, result, reference_for(all, result));
        previous = &result;
    }
    return previous == nullptr ? "" : table.text() + "\n";
}

void write_beside(JsonWriter& json, std::string_view name, const Series& series,
                  const Series* base) {
    if (begin_series(json, name, series)) {
        if (base != nullptr) {
            write_ratio(json, "ratio", series, *base);
        }
        json.end_object();
    }
}

void write_result(JsonWriter& json, const FileResult& result, const FileResult* reference) {
    json.begin_object();
    json.member("server", result.server);
    if (!result.failure.empty()) {
        json.member("failure", result.failure);
    }
    json.member("tls", result.tls);
    json.member("file_bytes", result.bytes);
    json.member("connections", result.connections);
    write_beside(json, "requests_per_second", result.requests_per_second,
                 reference == nullptr ? nullptr : &reference->requests_per_second);
    write_beside(json, "cpu_us_per_mib", result.cpu_us_per_mib,
                 reference == nullptr ? nullptr : &reference->cpu_us_per_mib);
    write_series(json, "server_busy", result.server_busy);
    json.end_object();
}

}  // namespace

std::string tables(const Options& options, const Machine& machine, const Results& results) {
    std::string text = fmt::format(
        "{}, {} cores, Linux {}; server on core {}, load on core {}, {}, {}\n"
        "{} rounds of {} ms; ratios: to {}, median of paired ratios\n\n",
        machine.cpu_model, machine.cores.size(), machine.kernel, machine.server_core,
        machine.load_core,
        machine.own_namespace ? "own network namespace" : "the machine's network",
        machine.congestion_control, options.rounds, options.slice.count(), reference_server);
    text += file_table("Files, TCP", results.files, false, options.rounds);
    text += file_table("Files, TLS 1.3", results.files, true, options.rounds);
    for (const std::string& label : machine.labels) {
        text += "NOTE: " + label + "\n";
    }
    for (const Skipped& skipped : results.skipped) {
        text +=
            fmt::format("SKIPPED: {} in {}: {}\n", skipped.server, skipped.what, skipped.reason);
    }
    return text;
}

std::string json_report(const Options& options, const Machine& machine, const Results& results) {
    JsonWriter json;
    json.begin_object();
    json.member("schema", 1);
    write_machine(json, machine);
    json.key("settings").begin_object();
    json.member("rounds", options.rounds);
    json.member("slice_ms", options.slice.count());
    json.member("reference", reference_server);
    json.end_object();
    write_skipped(json, results.skipped);
    json.key("files").begin_array();
    for (const FileResult& result : results.files) {
        write_result(json, result, reference_for(results.files, result));
    }
    json.end_array();
    json.end_object();
    return json.text() + "\n";
}

bool any_failure(const Results& results) {
    return std::any_of(results.files.begin(), results.files.end(),
                       [](const FileResult& result) { return !result.failure.empty(); });
}

}  // namespace bench::files
