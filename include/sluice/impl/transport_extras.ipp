// How the timers of a standstill run.
#pragma once

#include <sluice/detail/transport_extras.hpp>

#include <new>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void StandstillTimer::set(std::optional<Duration> limit) {
    if (core_ == nullptr) {
        return;
    }
    core_->cancel(*this);
    limit_ = limit;
    suspected_ = false;
    moved();
    if (limit_ && watching_) {
        core_->schedule(*this, time_after(since_, *limit_));
    }
}

SLUICE_INLINE void StandstillTimer::begin() noexcept {
    if (watching_ || core_ == nullptr) {
        return;
    }
    watching_ = true;
    if (limit_) {
        moved();
        // The timer of an earlier time may still run, and will see to this one.
        if (!scheduled()) {
            arm(time_after(since_, *limit_));
        }
    }
}

SLUICE_INLINE void StandstillTimer::cancel() noexcept {
    if (core_ != nullptr) {
        core_->cancel(*this);
        core_ = nullptr;
    }
    watching_ = false;
}

SLUICE_INLINE void StandstillTimer::arm(TimePoint when) noexcept {
    try {
        core_->schedule(*this, when);
    } catch (const std::bad_alloc&) {
        user_.cannot_watch();
    }
}

SLUICE_INLINE void StandstillTimer::on_timer() noexcept {
    if (!watching_) {
        return;
    }
    if (!user_.stands_still(kind_)) {
        moved();
    }
    // The time of the iteration, not of this moment: a callback that held the loop up is not the
    // peer's fault.
    const TimePoint due = time_after(since_, *limit_);
    if (core_->iteration_time() < due) {
        suspected_ = false;
        arm(due);
        return;
    }
    if (!suspected_) {
        // What may have arrived while the loop was held up, or the process stopped, is still in the
        // kernel. One more iteration collects it.
        suspected_ = true;
        arm(core_->iteration_time());
        return;
    }
    user_.stood_still(kind_);
}

}  // namespace sluice::inline v0_1::detail
