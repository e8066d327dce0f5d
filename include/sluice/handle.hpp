// Handle and TimerHandle: what call_soon and call_later return, to cancel with.
#pragma once

#include <sluice/callback.hpp>
#include <sluice/config.hpp>
#include <sluice/detail/ready.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/ref.hpp>

#include <source_location>

namespace sluice::inline v0_1 {

namespace detail {

class LoopCore;

/// A user's closure waiting to run, soon or at a time. The loop holds one reference while it waits.
class SLUICE_API ScheduledCallback final : public RefCounted, public Ready, public Timer {
public:
    ScheduledCallback(LoopCore& core, Callback callback, std::source_location where) noexcept;
    ~ScheduledCallback() override = default;

    void run_soon() noexcept;
    void run_at(TimePoint when);
    void cancel() noexcept;

    [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }
    [[nodiscard]] TimePoint when() const noexcept { return when_; }

private:
    void on_ready_phase() noexcept override { run(); }
    void on_timer() noexcept override { run(); }
    void on_loop_closed() noexcept override;
    void unreferenced() noexcept override { delete this; }
    void run() noexcept;

    LoopCore* core_;  // null once it ran, was cancelled or the loop is closed
    Callback callback_;
    std::source_location where_;
    TimePoint when_{};
    bool cancelled_ = false;
    Ref<ScheduledCallback> held_by_loop_;
};

}  // namespace detail

/// A callback scheduled with call_soon(). Dropping the handle does not cancel it. Copies refer to
/// the same callback; to be used on the loop's thread.
class Handle {
public:
    Handle() noexcept = default;

    /// The callback will not run, its closure is destroyed now. No effect once it has run.
    void cancel() noexcept {
        if (scheduled_) {
            scheduled_->cancel();
        }
    }
    /// True if cancel() came before it ran.
    [[nodiscard]] bool cancelled() const noexcept { return scheduled_ && scheduled_->cancelled(); }

protected:
    friend class EventLoop;
    /// @cond internal
    explicit Handle(Ref<detail::ScheduledCallback> scheduled) noexcept
        : scheduled_(std::move(scheduled)) {}

    Ref<detail::ScheduledCallback> scheduled_;
    /// @endcond
};

/// The same for call_later() and call_at().
class TimerHandle : public Handle {
public:
    TimerHandle() noexcept = default;

    /// The time it was scheduled for, on the loop's clock.
    [[nodiscard]] TimePoint when() const noexcept {
        return scheduled_ ? scheduled_->when() : TimePoint{};
    }

private:
    friend class EventLoop;
    using Handle::Handle;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/handle.ipp>
#endif
