// The bytes that travel: an endless stream per connection in which every position has one right value, so that lost,
// repeated, swapped and foreign bytes are all noticed by comparing memory. Where messages have a size, each is a line: it
// ends in a newline and has no other, so that servers that read lines can answer it. Knows no sockets.
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

    /// A stream without lines.
    Pattern() : Pattern(period_bytes, 64) {}

    /// A stream of lines of this size, which repeats after some 64 KiB, but not before three lines.
    static Pattern of_lines(std::size_t line_bytes) {
        std::size_t lines = 3;
        for (const std::size_t prime : {1021UL, 251UL, 61UL, 13UL, 7UL}) {
            if (prime * line_bytes <= period_bytes) {
                lines = prime;
                break;
            }
        }
        Pattern pattern(lines * line_bytes, line_bytes);
        pattern.end_lines(line_bytes);
        return pattern;
    }

    /// Where the stream of a connection starts: different connections see different bytes.
    std::uint64_t origin(std::size_t connection) const { return connection * unit_bytes_ * 67; }

    /// Up to `wanted` bytes of the stream from `position` on.
    std::span<const char> at(std::uint64_t position, std::size_t wanted) const {
        return {bytes_.data() + position % period_, std::min(wanted, stretch_bytes)};
    }

    /// `received` holds at most stretch_bytes.
    bool matches(std::uint64_t position, std::span<const char> received) const {
        return std::memcmp(at(position, received.size()).data(), received.data(),
                           received.size()) == 0;
    }

private:
    Pattern(std::size_t period, std::size_t unit_bytes)
        : period_(period), unit_bytes_(unit_bytes), bytes_(period + stretch_bytes) {
        // Any generator without short cycles in its high byte will do; this is Knuth's MMIX generator.
        const std::span<char> bytes = bytes_.bytes();
        std::uint64_t state = 1;
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            bytes[i] = i < period ? static_cast<char>(state >> 56U) : bytes[i - period];
        }
    }

    void end_lines(std::size_t line_bytes) {
        const std::span<char> bytes = bytes_.bytes();
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            const bool last = (i + 1) % line_bytes == 0;
            if (last != (bytes[i] == '\n')) {
                bytes[i] = last ? '\n' : '\v';
            }
        }
    }

    std::size_t period_;
    std::size_t unit_bytes_;
    AlignedBuffer bytes_;
};

}  // namespace bench
