// Running and cancelling scheduled closures.
#pragma once

#include <sluice/detail/dispatch.hpp>
#include <sluice/handle.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE ScheduledCallback::ScheduledCallback(LoopCore& core, Callback callback,
                                                   std::source_location where) noexcept
    : RefCounted(core.owner()), core_(&core), callback_(std::move(callback)), where_(where) {}

SLUICE_INLINE void ScheduledCallback::run_soon() noexcept {
    core_->schedule(static_cast<Ready&>(*this));
    held_by_loop_ = Ref<ScheduledCallback>(this);
}

SLUICE_INLINE void ScheduledCallback::run_at(TimePoint when) {
    when_ = when;
    core_->schedule(static_cast<Timer&>(*this), when);
    held_by_loop_ = Ref<ScheduledCallback>(this);
}

SLUICE_INLINE void ScheduledCallback::cancel() noexcept {
    if (core_ == nullptr) {
        return;
    }
    cancelled_ = true;
    unlink();
    core_->cancel(static_cast<Timer&>(*this));
    on_loop_closed();
}

SLUICE_INLINE void ScheduledCallback::on_loop_closed() noexcept {
    core_ = nullptr;
    const Ref<ScheduledCallback> self = std::move(held_by_loop_);
    disown();
    callback_.reset();
}

SLUICE_INLINE void ScheduledCallback::run() noexcept {
    LoopCore& core = *std::exchange(core_, nullptr);
    const Ref<ScheduledCallback> self = std::move(held_by_loop_);
    // From here on a handle may outlive the loop.
    disown();
    // The closure may drop the handle, and its captures may be large: both go as soon as it has
    // run.
    Callback callback = std::move(callback_);
    dispatch(core, {.name = "scheduled callback", .where = where_}, callback);
}

}  // namespace sluice::inline v0_1::detail
