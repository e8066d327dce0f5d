// Watermarks: when a writer is to be paused and resumed. Plain arithmetic; calls nobody.
#pragma once

#include <sluice/limits.hpp>
#include <sluice/transport.hpp>

#include <optional>
#include <stdexcept>
#include <string>

namespace sluice::inline v0_1::detail {

class Watermarks {
public:
    /// asyncio's defaults for what is left out. Throws std::invalid_argument unless high >= low.
    void set(std::optional<std::size_t> high, std::optional<std::size_t> low) {
        if (!high) {
            high = low ? *low * 4 : limits::write_high_water_bytes;
        }
        if (!low) {
            low = *high / 4;
        }
        if (*high < *low) {
            throw std::invalid_argument("high (" + std::to_string(*high) + ") must be >= low (" +
                                        std::to_string(*low) + ")");
        }
        bounds_ = {.low = *low, .high = *high};
    }

    [[nodiscard]] WriteBufferLimits bounds() const noexcept { return bounds_; }
    [[nodiscard]] bool paused() const noexcept { return paused_; }

    /// The writer has been told to pause by somebody else.
    void set_paused() noexcept { paused_ = true; }
    /// True exactly when `size` makes the writer paused; it is from then on.
    [[nodiscard]] bool should_pause(std::size_t size) noexcept {
        return !paused_ && size > bounds_.high && (paused_ = true);
    }
    /// True exactly when `size` lets the writer go on; it does from then on.
    [[nodiscard]] bool should_resume(std::size_t size) noexcept {
        return paused_ && size <= bounds_.low && !(paused_ = false);
    }

private:
    WriteBufferLimits bounds_{.low = limits::write_low_water_bytes,
                              .high = limits::write_high_water_bytes};
    bool paused_ = false;
};

}  // namespace sluice::inline v0_1::detail
