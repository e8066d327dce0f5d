// What every report's JSON has in common: series with their rounds, ratios, the machine and who was left out. Knows neither
// servers nor what was measured. The names stand in bench/README.md.
#pragma once

#include "json.hpp"
#include "machine.hpp"
#include "results.hpp"
#include "stats.hpp"

#include <string_view>
#include <vector>

namespace bench {

/// A series as an object that is left open, for more to be said of it. False, and nothing, if it is empty.
inline bool begin_series(JsonWriter& json, std::string_view name, const Series& series) {
    const auto summary = summarize(series);
    if (!summary) {
        return false;
    }
    json.key(name).begin_object();
    json.member("median", summary->median);
    json.member("min", summary->min);
    json.member("max", summary->max);
    json.list("rounds", series);
    return true;
}

inline void write_series(JsonWriter& json, std::string_view name, const Series& series) {
    if (begin_series(json, name, series)) {
        json.end_object();
    }
}

/// Nothing if the two have no rounds in common.
inline void write_ratio(JsonWriter& json, std::string_view name, const Series& series,
                        const Series& base) {
    if (const auto interval = median_interval(paired_ratios(series, base))) {
        json.key(name).begin_object();
        json.member("median", interval->median);
        json.member("low", interval->low);
        json.member("high", interval->high);
        json.member("coverage", interval->coverage);
        json.end_object();
    }
}

inline void write_machine(JsonWriter& json, const Machine& machine) {
    json.key("machine").begin_object();
    json.member("cpu", machine.cpu_model);
    json.member("kernel", machine.kernel);
    json.member("cores", machine.cores.size());
    json.member("server_core", machine.server_core);
    json.member("load_core", machine.load_core);
    json.member("own_namespace", machine.own_namespace);
    json.member("congestion_control", machine.congestion_control);
    json.list("labels", machine.labels);
    json.end_object();
}

inline void write_skipped(JsonWriter& json, const std::vector<Skipped>& all) {
    json.key("skipped").begin_array();
    for (const Skipped& skipped : all) {
        json.begin_object();
        json.member("server", skipped.server);
        json.member("section", skipped.what);
        json.member("reason", skipped.reason);
        json.end_object();
    }
    json.end_array();
}

}  // namespace bench
