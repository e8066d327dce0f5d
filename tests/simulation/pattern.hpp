// Pattern: what the bytes of a stream are, as a function of their position.
//
// Both ends know it, so every byte received is checked without keeping a copy of what was sent. The
// period is a prime, so that bytes displaced by any size in use do not look right.
#pragma once

#include <sluice/bytes.hpp>

#include "support/sys_sim_random.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

namespace sluice::test {

class Pattern {
public:
    static constexpr std::size_t longest_view = 65537;

    explicit Pattern(std::uint64_t stream) noexcept : shift_(stream * 7919) {}

    /// At most longest_view bytes; they never go away.
    [[nodiscard]] Bytes view(std::uint64_t offset, std::size_t size) const {
        return {table().data() + (offset + shift_) % period, size};
    }

    [[nodiscard]] std::vector<std::byte> make(std::uint64_t offset, std::size_t size) const {
        std::vector<std::byte> bytes(size);
        for (std::size_t done = 0; done < size;) {
            const Bytes part = view(offset + done, std::min(longest_view, size - done));
            std::memcpy(bytes.data() + done, part.data(), part.size());
            done += part.size();
        }
        return bytes;
    }

    /// True if `bytes` are those from `offset` on.
    [[nodiscard]] bool matches(std::uint64_t offset, Bytes bytes) const {
        for (std::size_t done = 0; done < bytes.size();) {
            const Bytes part = view(offset + done, std::min(longest_view, bytes.size() - done));
            if (std::memcmp(bytes.data() + done, part.data(), part.size()) != 0) {
                return false;
            }
            done += part.size();
        }
        return true;
    }

private:
    static constexpr std::size_t period = 65521;
    using Table = std::array<std::byte, period + longest_view>;

    static const Table& table() {
        static const Table made = [] {
            Table bytes{};
            SimRandom random(1);
            for (std::size_t index = 0; index < bytes.size(); ++index) {
                bytes[index] =
                    index < period ? static_cast<std::byte>(random.next()) : bytes[index - period];
            }
            return bytes;
        }();
        return made;
    }

    std::uint64_t shift_;
};

}  // namespace sluice::test
