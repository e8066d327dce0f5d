// sleep: a pause of the awaiting task, not of the loop.
#pragma once

#include <sluice/detail/timer_heap.hpp>
#include <sluice/handle.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <coroutine>

namespace sluice::inline v0_1 {
namespace detail {

class SLUICE_API SleepAwaiter final : public LeafAwaiter, private Timer {
public:
    explicit SleepAwaiter(Duration delay) noexcept : delay_(delay) {}
    ~SleepAwaiter();
    bool await_ready() const noexcept { return false; }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) {
        suspend(coroutine);
        arm(coroutine.promise().root());
    }
    void await_resume();

private:
    void arm(TaskRoot& root);
    bool cancel() noexcept override;
    void on_timer() noexcept override { resume_soon(); }

    Duration delay_;
    LoopCore* core_ = nullptr;
    bool cancelled_ = false;
};

}  // namespace detail

/// What sleep() returns: a pause that begins when it is awaited.
class [[nodiscard]] Sleep {
public:
    /// @cond internal
    explicit Sleep(Duration delay) noexcept : delay_(delay) {}
    detail::SleepAwaiter operator co_await() const noexcept { return detail::SleepAwaiter(delay_); }
    /// @endcond

private:
    Duration delay_;
};

/// Suspends the awaiting task for at least `delay`; zero or less lets everything else that is ready
/// run once. asyncio.sleep.
template <class Rep, class Period>
Sleep sleep(std::chrono::duration<Rep, Period> delay) noexcept {
    return Sleep(detail::to_duration(delay));
}

}  // namespace sluice::inline v0_1
