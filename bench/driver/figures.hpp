// Numbers as the tables of a report show them: cells with a median and its range, a ratio and its interval. Knows neither
// servers nor what was measured.
#pragma once

#include "results.hpp"
#include "stats.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <fmt/core.h>

namespace bench {

/// Three or four significant digits, thousands apart, so that columns can be compared at a glance.
inline std::string figure(double value) {
    if (value < 9.995) {
        return fmt::format("{:.2f}", value);
    }
    if (value < 999.5) {
        return fmt::format("{:.1f}", value);
    }
    const auto whole = static_cast<std::uint64_t>(std::llround(value));
    return whole < 1'000'000 ? fmt::format("{},{:03}", whole / 1000, whole % 1000)
                             : fmt::format("{},{:03},{:03}", whole / 1'000'000, whole / 1000 % 1000,
                                           whole % 1000);
}

inline std::string range(const Summary& summary) {
    return fmt::format("{}-{}", figure(summary.min), figure(summary.max));
}

/// Median and range as two cells.
inline void add_summary(std::vector<std::string>& cells, const Series& series) {
    const auto summary = summarize(series);
    cells.push_back(summary ? figure(summary->median) : "-");
    cells.push_back(summary ? range(*summary) : "-");
}

/// Ratio to the reference and its interval as two cells.
inline void add_ratio(std::vector<std::string>& cells, const Series& series, const Series* base) {
    const auto interval =
        base == nullptr ? std::nullopt : median_interval(paired_ratios(series, *base));
    cells.push_back(interval ? fmt::format("{:.3f}", interval->median) : "-");
    cells.push_back(interval ? fmt::format("{:.3f}-{:.3f}", interval->low, interval->high) : "-");
}

/// Few rounds cover less, and the column must not promise more.
inline std::string interval_title(std::size_t rounds) {
    return fmt::format("{} % interval", interval_percent(rounds));
}

inline std::string indented(const std::string& server) {
    return fmt::format("  {}", server);
}

inline std::string failure_line(const std::string& server, const std::string& failure) {
    return fmt::format("  {}  FAILED: {}", server, failure);
}

}  // namespace bench
