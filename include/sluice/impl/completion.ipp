// Telling waiters.
#pragma once

#include <sluice/detail/completion.hpp>
#include <sluice/detail/dispatch.hpp>

namespace sluice::inline v0_1::detail {

/// A done callback; owns itself until it has run.
class Completion::DoneCallback final : public Waiter, private Ready {
public:
    DoneCallback(LoopCore& core, Callback callback) noexcept
        : core_(core), callback_(std::move(callback)) {}

    void on_completed() noexcept override { core_.schedule(*this); }
    void on_abandoned() noexcept override { delete this; }

private:
    void on_ready_phase() noexcept override {
        dispatch(core_, {.name = "done callback"}, callback_);
        delete this;
    }
    void on_loop_closed() noexcept override { delete this; }

    LoopCore& core_;
    Callback callback_;
};

SLUICE_INLINE Completion::~Completion() {
    while (!waiters_.empty()) {
        waiters_.pop_front().on_abandoned();
    }
}

SLUICE_INLINE void Completion::add_done_callback(LoopCore& core, Callback callback) {
    Waiter& waiter = *new DoneCallback(core, std::move(callback));
    if (done_) {
        waiter.on_completed();
    } else {
        waiters_.push_back(waiter);
    }
}

SLUICE_INLINE void Completion::complete() noexcept {
    done_ = true;
    while (!waiters_.empty()) {
        waiters_.pop_front().on_completed();
    }
}

}  // namespace sluice::inline v0_1::detail
