// The benchmark's arithmetic, against values worked out by hand or by exhaustive counting. Uses only the benchmark's
// headers without a source file; the library is not involved.
#include "../../bench/driver/histogram.hpp"
#include "../../bench/driver/pattern.hpp"
#include "../../bench/driver/stats.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace {

using bench::Histogram;
using bench::paired_ratios;
using bench::Pattern;

// What an empty optional becomes fails every expectation below.
bench::Summary summary_of(const std::vector<double>& values) {
    return bench::summarize(values).value_or(bench::Summary{-1, -1, -1});
}

bench::MedianInterval interval_of(const std::vector<double>& values) {
    return bench::median_interval(values).value_or(bench::MedianInterval{-1, -1, -1, -1});
}

TEST(BenchSummary, TheMedianOfAnOddNumberIsTheMiddleValueWhateverTheOrder) {
    const std::vector<double> values = {9, 1, 5};
    const auto summary = summary_of(values);
    EXPECT_EQ(summary.median, 5);
    EXPECT_EQ(summary.min, 1);
    EXPECT_EQ(summary.max, 9);
}

TEST(BenchSummary, TheMedianOfAnEvenNumberIsTheMeanOfTheTwoInTheMiddle) {
    const std::vector<double> values = {4, 1, 3, 100};
    EXPECT_EQ(summary_of(values).median, 3.5);
}

TEST(BenchSummary, NothingMeasuredHasNoSummaryAndNoInterval) {
    EXPECT_FALSE(bench::summarize({}));
    EXPECT_FALSE(bench::median_interval({}));
}

TEST(BenchInterval, NineRoundsGiveTheSecondSmallestAndTheSecondLargest) {
    const std::vector<double> values = {7, 3, 9, 1, 5, 2, 8, 4, 6};
    const auto interval = interval_of(values);
    EXPECT_EQ(interval.median, 5);
    EXPECT_EQ(interval.low, 2);
    EXPECT_EQ(interval.high, 8);
    // 1 - 2 * (1 + 9) / 2^9.
    EXPECT_NEAR(interval.coverage, 0.9609375, 1e-12);
}

TEST(BenchInterval, FewerThanSixRoundsGiveTheFullRangeAndSayHowLittleItCovers) {
    const std::vector<double> values = {3, 1, 2};
    const auto interval = interval_of(values);
    EXPECT_EQ(interval.low, 1);
    EXPECT_EQ(interval.high, 3);
    // All three on the same side of the median: 2 / 2^3.
    EXPECT_NEAR(interval.coverage, 0.75, 1e-12);
}

TEST(BenchInterval, ASingleRoundCoversNothing) {
    const std::vector<double> values = {4};
    const auto interval = interval_of(values);
    EXPECT_EQ(interval.low, 4);
    EXPECT_EQ(interval.high, 4);
    EXPECT_NEAR(interval.coverage, 0, 1e-12);
}

TEST(BenchInterval, TheCoverageIsNeverBelowTheWantedOneFromSixRoundsOn) {
    for (std::size_t count = 6; count < 200; ++count) {
        std::vector<double> values(count);
        for (std::size_t i = 0; i < count; ++i) {
            values[i] = static_cast<double>(i);
        }
        const auto interval = interval_of(values);
        EXPECT_GE(interval.coverage, 0.95) << count;
        EXPECT_LE(interval.low, interval.median);
        EXPECT_GE(interval.high, interval.median);
        EXPECT_EQ(interval.low, static_cast<double>(count - 1) - interval.high)
            << "not symmetric for " << count;
    }
}

TEST(BenchInterval, ThousandsOfRoundsDoNotOverflow) {
    const std::vector<double> values(5000, 1.0);
    const auto interval = interval_of(values);
    EXPECT_GE(interval.coverage, 0.95);
    EXPECT_LT(interval.coverage, 0.96);
}

TEST(BenchInterval, AColumnOfFewRoundsPromisesNoMoreThanTheirFullRangeCovers) {
    EXPECT_EQ(bench::interval_percent(0), 0U);
    EXPECT_EQ(bench::interval_percent(1), 0U);
    EXPECT_EQ(bench::interval_percent(2), 50U);
    EXPECT_EQ(bench::interval_percent(3), 75U);
    EXPECT_EQ(bench::interval_percent(5), 93U);  // 1 - 2 / 2^5 = 0.9375
    EXPECT_EQ(bench::interval_percent(6), 95U);
    EXPECT_EQ(bench::interval_percent(5000), 95U);
}

TEST(BenchInterval, ItsNameNeverExceedsTheCoverageOfTheInterval) {
    for (std::size_t count = 1; count < 200; ++count) {
        const auto interval = interval_of(std::vector<double>(count, 1.0));
        EXPECT_LE(bench::interval_percent(count), interval.coverage * 100 + 1e-6) << count;
    }
}

TEST(BenchInterval, ItContainsTheTrueMedianAsOftenAsItSays) {
    // A skewed distribution with median 1: e^x with x normal.
    std::mt19937 generator(7);
    std::lognormal_distribution<double> distribution(0, 1);
    constexpr int trials = 20'000;
    int hits = 0;
    for (int trial = 0; trial < trials; ++trial) {
        std::vector<double> values(9);
        std::generate(values.begin(), values.end(), [&] { return distribution(generator); });
        const auto interval = interval_of(values);
        hits += interval.low <= 1 && 1 <= interval.high ? 1 : 0;
    }
    // Five standard deviations of a coin with p = 0.961 thrown 20,000 times.
    EXPECT_NEAR(hits / double{trials}, 0.9609375, 0.007);
}

TEST(BenchRatios, ARoundIsComparedWithTheSameRoundOfTheReference) {
    // The machine became twice as slow in the middle; the ratio does not notice.
    const std::vector<double> base = {10, 20, 10};
    const std::vector<double> values = {11, 22, 11};
    for (const double ratio : paired_ratios(values, base)) {
        EXPECT_DOUBLE_EQ(ratio, 1.1);
    }
}

TEST(BenchRatios, RoundsWithoutAPartnerOrWithAnEmptyReferenceGiveNoRatio) {
    const std::vector<double> base = {10, 0};
    const std::vector<double> values = {20, 20, 20};
    EXPECT_EQ(paired_ratios(values, base), std::vector<double>{2});
}

TEST(BenchHistogram, AnEmptyOneHasNoValues) {
    const Histogram histogram;
    EXPECT_EQ(histogram.count(), 0U);
    EXPECT_EQ(histogram.max(), 0U);
    EXPECT_EQ(histogram.value_at(50), 0);
}

TEST(BenchHistogram, SmallValuesAreExact) {
    for (std::uint64_t value = 0; value < 256; ++value) {
        Histogram histogram;
        histogram.record(value);
        histogram.record(1'000'000);
        EXPECT_EQ(histogram.value_at(50), static_cast<double>(value));
    }
}

TEST(BenchHistogram, EveryValueOfEveryMagnitudeIsReportedWithinTheStatedError) {
    std::mt19937_64 generator(3);
    for (unsigned bit = 0; bit < 64; ++bit) {
        const std::uint64_t power = std::uint64_t{1} << bit;
        const std::uint64_t random = power + (generator() & (power - 1));
        for (const std::uint64_t value : {power - 1, power, power + (power - 1), random}) {
            Histogram histogram;
            histogram.record(value);
            histogram.record(~std::uint64_t{0});
            const auto exact = static_cast<double>(value);
            EXPECT_NEAR(histogram.value_at(50), exact, exact * Histogram::relative_error) << value;
        }
    }
}

TEST(BenchHistogram, PercentilesAgreeWithSortedValues) {
    std::mt19937_64 generator(11);
    std::lognormal_distribution<double> microseconds(10, 1.5);
    Histogram histogram;
    std::vector<std::uint64_t> values(10'000);
    for (std::uint64_t& value : values) {
        value = static_cast<std::uint64_t>(microseconds(generator));
        histogram.record(value);
    }
    std::sort(values.begin(), values.end());
    for (const double percentile : {1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
        // The nearest rank: 10,000 values make each of these a whole number.
        const auto rank = static_cast<std::size_t>(std::lround(percentile * 100));
        const auto exact = static_cast<double>(values[rank - 1]);
        EXPECT_NEAR(histogram.value_at(percentile), exact, exact * Histogram::relative_error)
            << percentile;
    }
    EXPECT_EQ(histogram.max(), values.back());
}

TEST(BenchHistogram, MergedOnesAnswerForAllValues) {
    Histogram low;
    Histogram high;
    for (int i = 0; i < 90; ++i) {
        low.record(10);
    }
    for (int i = 0; i < 10; ++i) {
        high.record(200);
    }
    low.merge(high);
    EXPECT_EQ(low.count(), 100U);
    EXPECT_EQ(low.max(), 200U);
    EXPECT_EQ(low.value_at(90), 10);
    EXPECT_EQ(low.value_at(91), 200);
}

TEST(BenchPattern, ItContinuesAcrossItsPeriod) {
    const Pattern pattern;
    const std::uint64_t start = Pattern::period_bytes - 3;
    const auto piece = pattern.at(start, 6);
    for (std::uint64_t i = 0; i < piece.size(); ++i) {
        EXPECT_EQ(piece[i], pattern.at(start + i, 1).front());
    }
}

TEST(BenchPattern, AShiftByAnyPowerOfTwoIsNoticed) {
    const Pattern pattern;
    for (std::uint64_t shift = 1; shift <= (std::uint64_t{1} << 40U); shift *= 2) {
        EXPECT_FALSE(pattern.matches(1000, pattern.at(1000 + shift, 64))) << shift;
    }
}

TEST(BenchPattern, ASingleWrongByteIsNoticedWhereverItStands) {
    const Pattern pattern;
    const auto right = pattern.at(77, 200);
    std::vector<char> received(right.begin(), right.end());
    EXPECT_TRUE(pattern.matches(77, received));
    for (char& byte : received) {
        byte = static_cast<char>(byte ^ 1);
        EXPECT_FALSE(pattern.matches(77, received));
        byte = static_cast<char>(byte ^ 1);
    }
}

TEST(BenchPattern, ConnectionsSeeDifferentBytes) {
    const Pattern pattern;
    for (std::size_t connection = 1; connection < 900; ++connection) {
        EXPECT_FALSE(pattern.matches(pattern.origin(0), pattern.at(pattern.origin(connection), 64)))
            << connection;
    }
}

}  // namespace
