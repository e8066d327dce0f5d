// A log-linear histogram for latencies: 128 buckets for each doubling, so a reported value differs from the recorded one by
// at most 1/256 (0.4 %), over the whole range of 64 bits, in constant memory and without allocation while recording.
// Knows no clocks. Tested by tests/unit/bench_stats_test.cpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

class Histogram {
public:
    /// The largest relative error of value_at(), except for max(), which is exact.
    static constexpr double relative_error = 1.0 / 256;

    Histogram() : counts_(buckets) {}

    void record(std::uint64_t value) {
        ++counts_[index_of(value)];
        ++count_;
        max_ = std::max(max_, value);
    }

    void merge(const Histogram& other) {
        for (std::size_t i = 0; i < buckets; ++i) {
            counts_[i] += other.counts_[i];
        }
        count_ += other.count_;
        max_ = std::max(max_, other.max_);
    }

    std::uint64_t count() const { return count_; }
    std::uint64_t max() const { return max_; }

    /// The smallest recorded value that at least `percentile` percent of all values do not exceed; 0 when empty.
    double value_at(double percentile) const {
        // 99.9 % of 10,000 is a little more than 9990 in binary; the rank must be 9990 all the same.
        constexpr double rounding = 1 - 1e-12;
        const double share = std::clamp(percentile, 0.0, 100.0) / 100;
        const auto wanted =
            static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_) * rounding));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            seen += counts_[i];
            if (counts_[i] > 0 && seen >= wanted) {
                return std::min(middle_of(i), static_cast<double>(max_));
            }
        }
        return 0;
    }

private:
    static constexpr unsigned sub_bits = 7;
    static constexpr std::size_t sub_buckets = std::size_t{1} << sub_bits;
    // Values below 2 * sub_buckets have a bucket each; every further doubling adds sub_buckets.
    static constexpr std::size_t buckets = (64 - sub_bits + 1) * sub_buckets;

    static std::size_t index_of(std::uint64_t value) {
        const auto width = static_cast<unsigned>(std::bit_width(value));
        const unsigned shift = width > sub_bits + 1 ? width - sub_bits - 1 : 0;
        return shift * sub_buckets + static_cast<std::size_t>(value >> shift);
    }

    static double middle_of(std::size_t index) {
        if (index < 2 * sub_buckets) {
            return static_cast<double>(index);
        }
        const auto shift = static_cast<unsigned>(index / sub_buckets - 1);
        const std::uint64_t low = static_cast<std::uint64_t>(index - shift * sub_buckets) << shift;
        const std::uint64_t width = std::uint64_t{1} << shift;
        return static_cast<double>(low) + static_cast<double>(width - 1) / 2;
    }

    std::vector<std::uint64_t> counts_;
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace bench
