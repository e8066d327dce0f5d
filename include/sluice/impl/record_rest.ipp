// How long RecordRest looks away.
#pragma once

#include <sluice/detail/record_rest.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <new>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE bool RecordRest::got_nothing() noexcept {
    const TimePoint now = core_.iteration_time();
    if (misses_ == 0) {
        since_ = now;
    }
    if (++misses_ <= limits::record_rest_after_misses) {
        return false;
    }
    misses_ = limits::record_rest_after_misses;
    const Duration pause =
        std::clamp<Duration>(now - since_, limits::record_rest_min, limits::record_rest_max);
    try {
        core_.schedule(*this, time_after(now, pause));
    } catch (const std::bad_alloc&) {
        return false;  // Busy until there is memory, but right.
    }
    return true;
}

}  // namespace sluice::inline v0_1::detail
