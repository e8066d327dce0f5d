// copy_bytes: memcpy in pieces; and how to tell that somebody else's memcpy will be slow.
//
// glibc copies 4 KiB and more with `rep movsb`, and on AMD's Zen 3 that is some thirty times slower
// when the target lies 1 to 31 bytes behind the source modulo 4096 (glibc bug 30994): 5.3 us instead
// of 0.2 for one TLS record. Where two buffers lie is luck, so a process is fast or slow as a whole.
// Pieces below the threshold take the vector loop, which is as fast everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::inline v0_1::detail {

/// Half of glibc's threshold with 32-byte vectors.
inline constexpr std::size_t copy_piece_bytes = 2048;

/// Whether one memcpy of a TLS record from about `from` may fall into the slow case. Twice the range,
/// since where a record's plaintext begins behind its header depends on the version.
inline bool copies_slowly(const void* to, const void* from) noexcept {
    const auto distance =
        (reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from)) % 4096;
    return distance - 1 < 63;
}

inline void copy_bytes(void* to, const void* from, std::size_t count) noexcept {
    constexpr std::size_t piece = copy_piece_bytes;
    auto* target = static_cast<std::byte*>(to);
    const auto* source = static_cast<const std::byte*>(from);
    for (; count > piece; count -= piece) {
        std::memcpy(target, source, piece);
        target += piece;
        source += piece;
    }
    if (count != 0) {
        std::memcpy(target, source, count);
    }
}

}  // namespace sluice::inline v0_1::detail
