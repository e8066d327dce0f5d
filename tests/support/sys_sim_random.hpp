// SimRandom: the pseudo-random numbers of the simulated kernel and of the programs run on it.
//
// Its own generator, because the distributions of the standard library differ between
// implementations and a seed must mean the same run everywhere. It knows nothing of what the
// numbers are for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice::test {

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, and every seed is a good one.
class SimRandom {
public:
    explicit SimRandom(std::uint64_t seed = 0) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15U;
        return mix(state_);
    }
    /// 0 to `end` - 1; 0 when `end` is 0.
    std::uint64_t below(std::uint64_t end) noexcept { return end == 0 ? 0 : next() % end; }
    /// Both ends included.
    std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept {
        return least + below(most - least + 1);
    }
    bool chance(unsigned per_mille) noexcept { return below(1000) < per_mille; }

    static constexpr std::uint64_t mix(std::uint64_t value) noexcept {
        value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
        value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
        return value ^ (value >> 31U);
    }

private:
    std::uint64_t state_;
};

}  // namespace sluice::test
