// The benchmark's arithmetic: medians, and the median of paired ratios with an interval that assumes no distribution.
// Pure functions over numbers; knows neither servers nor clocks. Tested by tests/unit/bench_stats_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace bench {

struct Summary {
    double median = 0;
    double min = 0;
    double max = 0;
};

/// An interval for a median. `coverage` is the probability that it contains the true median, which order statistics
/// give only in steps: at least the wanted one where enough values exist, otherwise that of the full range.
struct MedianInterval {
    double median = 0;
    double low = 0;
    double high = 0;
    double coverage = 0;
};

/// Mean of the two middle values when their number is even. `values` must not be empty.
inline double median_of_sorted(std::span<const double> values) {
    const std::size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

inline std::vector<double> sorted(std::span<const double> values) {
    std::vector<double> copy(values.begin(), values.end());
    std::sort(copy.begin(), copy.end());
    return copy;
}

/// Nothing for no values.
inline std::optional<Summary> summarize(std::span<const double> values) {
    if (values.empty()) {
        return std::nullopt;
    }
    const std::vector<double> ordered = sorted(values);
    return Summary{median_of_sorted(ordered), ordered.front(), ordered.back()};
}

/// Probability that a fair coin shows at most `most` heads in `tosses`.
inline double fair_coin_at_most(std::size_t most, std::size_t tosses) {
    // In logarithms, because 2^n leaves the range of a double where a long run is still possible.
    double sum = 0;
    double log_probability = -static_cast<double>(tosses) * std::log(2.0);  // of no heads
    for (std::size_t heads = 0; heads <= most && heads <= tosses; ++heads) {
        sum += std::exp(log_probability);
        log_probability +=
            std::log(static_cast<double>(tosses - heads) / static_cast<double>(heads + 1));
    }
    return std::min(sum, 1.0);
}

/// The interval between the k-th smallest and the k-th largest value, with the largest k that still covers the median
/// with probability `wanted`. Each value lies below the true median with probability 1/2, whatever its distribution, so
/// the coverage is 1 - 2 P(fewer than k of n fair coins show heads). For 9 values and 95 % k is 2 (96.1 %); fewer
/// than 6 values cannot reach 95 %, and the full range is returned with the coverage it has. Nothing for no values.
inline std::optional<MedianInterval> median_interval(std::span<const double> values,
                                                     double wanted = 0.95) {
    if (values.empty()) {
        return std::nullopt;
    }
    const std::vector<double> ordered = sorted(values);
    const std::size_t count = ordered.size();
    const auto coverage = [count](std::size_t k) {
        return std::max(0.0, 1 - 2 * fair_coin_at_most(k - 1, count));
    };
    std::size_t k = 1;
    while (2 * (k + 1) <= count && coverage(k + 1) >= wanted) {
        ++k;
    }
    return MedianInterval{median_of_sorted(ordered), ordered[k - 1], ordered[count - k],
                          coverage(k)};
}

/// What the intervals of that many rounds may be called, in whole percent: `wanted` where that can be reached, otherwise
/// what the full range covers, rounded down.
inline unsigned interval_percent(std::size_t rounds, double wanted = 0.95) {
    const double full_range = rounds == 0 ? 0 : 1 - 2 * fair_coin_at_most(0, rounds);
    // A little more than the rounding of 0.95 * 100, and less than any two of the possible values differ by.
    return static_cast<unsigned>(std::clamp(full_range, 0.0, wanted) * 100 + 1e-9);
}

/// values[i] / base[i] for each round that both have. The two were measured within seconds of each other, so what the host
/// does over minutes cancels. A base that is not positive gives no pair.
inline std::vector<double> paired_ratios(std::span<const double> values,
                                         std::span<const double> base) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(values.size(), base.size()); ++i) {
        if (base[i] > 0) {
            ratios.push_back(values[i] / base[i]);
        }
    }
    return ratios;
}

}  // namespace bench
