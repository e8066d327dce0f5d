// What the micro-benchmarks share: batch sizes and the deadlines of timers, so that every library is given the same work
// in the same order. Knows no library.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

namespace bench {

/// Callbacks scheduled before the loop runs once: enough to make its own price disappear, few enough to stay in the
/// second-level cache.
inline constexpr std::size_t scheduled_at_once = 256;

/// As many as the largest servers have: one for each connection.
inline constexpr std::int64_t a_million = 1'000'000;

/// Delays between 100 s and 1,000 s, as idle limits have: none comes due while it is measured.
inline std::vector<std::chrono::milliseconds> far_delays(std::size_t count) {
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> milliseconds(100'000, 1'000'000);
    std::vector<std::chrono::milliseconds> delays(count);
    for (auto& delay : delays) {
        delay = std::chrono::milliseconds(milliseconds(random));
    }
    return delays;
}

/// Delays of 1 to 16 ms: all are due long before a million of them has been scheduled.
inline std::vector<std::chrono::milliseconds> near_delays(std::size_t count) {
    std::mt19937_64 random(2);
    std::uniform_int_distribution<std::int64_t> milliseconds(1, 16);
    std::vector<std::chrono::milliseconds> delays(count);
    for (auto& delay : delays) {
        delay = std::chrono::milliseconds(milliseconds(random));
    }
    return delays;
}

/// The numbers below `count` in random order: timers are not cancelled in the order they were set in.
inline std::vector<std::size_t> shuffled(std::size_t count) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(3));
    return order;
}

}  // namespace bench
