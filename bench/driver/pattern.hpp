// The bytes that travel: an endless stream per connection in which every position has one right value, so that lost,
// repeated, swapped and foreign bytes are all noticed by comparing memory. Knows no sockets.
#pragma once

#include "../aligned_buffer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace bench {

class Pattern {
public:
    // Not a divisor of what software loses or repeats (pages, buffers, messages: multiples of large powers of two), thanks
    // to the prime 1021; and whole cache lines, so that messages start on one and copying them is not slowed down.
    static constexpr std::size_t period_bytes = 64 * 1021UL;
    /// The longest stretch that can be asked for in one piece.
    static constexpr std::size_t stretch_bytes = 1024 * 1024;

    Pattern() : bytes_(period_bytes + stretch_bytes) {
        // Any generator without short cycles in its high byte will do; this is Knuth's MMIX generator.
        const std::span<char> bytes = bytes_.bytes();
        std::uint64_t state = 1;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            bytes[i] = i < period_bytes ? static_cast<char>(state >> 56U) : bytes[i - period_bytes];
        }
    }

    /// Where the stream of a connection starts: different connections see different bytes.
    static std::uint64_t origin(std::size_t connection) { return connection * 64 * 67; }

    /// Up to `wanted` bytes of the stream from `position` on.
    std::span<const char> at(std::uint64_t position, std::size_t wanted) const {
        return {bytes_.data() + position % period_bytes, std::min(wanted, stretch_bytes)};
    }

    /// `received` holds at most stretch_bytes.
    bool matches(std::uint64_t position, std::span<const char> received) const {
        return std::memcmp(at(position, received.size()).data(), received.data(),
                           received.size()) == 0;
    }

private:
    AlignedBuffer bytes_;
};

}  // namespace bench
