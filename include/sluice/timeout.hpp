// timeout: ends what is awaited when it takes too long.
//
// The counterpart of asyncio.timeout(), timeout_at() and wait_for(). What is awaited runs as a part
// of the awaiting task; the deadline cancels that task and takes the cancellation back on the way
// out, so that one from elsewhere is never mistaken for its own.
#pragma once

#include <sluice/detail/awaitable.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

/// What timeout() throws: a std::system_error of std::errc::timed_out.
class SLUICE_API TimeoutError : public std::system_error {
public:
    /// `what` is the message in front of the code's text.
    explicit TimeoutError(const std::string& what);
    ~TimeoutError() override;
};

namespace detail {

/// Cancels a task at a time, unless it goes out of scope before.
class SLUICE_API TaskDeadline final : private Timer {
public:
    /// May throw std::bad_alloc.
    TaskDeadline(TaskRoot& task, TimePoint when);
    ~TaskDeadline() { settle(); }

    /// No more from now on. True if it has cancelled the task and nobody else did: the Cancelled that
    /// was caught is its own.
    bool settle() noexcept;

private:
    void on_timer() noexcept override;
    void on_loop_closed() noexcept override { core_ = nullptr; }

    TaskRoot& task_;
    LoopCore* core_;
    std::uint32_t cancelling_before_;
    bool expired_ = false;
};

/// When a deadline is: a time, or how long after the beginning.
struct Limit {
    TimePoint when = TimePoint::max();
    std::optional<Duration> delay;
};
SLUICE_API TimePoint beginning_now(const Limit& limit) noexcept;
[[noreturn]] SLUICE_API void throw_timeout(const Limit& limit);

template <Awaitable A>
Task<AwaitResult<A>> limited(Limit limit, A awaitable) {
    CurrentTask current;
    TaskRoot& task = co_await current;
    TaskDeadline deadline(task, beginning_now(limit));
    try {
        if constexpr (std::is_void_v<AwaitResult<A>>) {
            co_await awaitable;
            co_return;
        } else {
            AwaitResult<A> result = co_await awaitable;
            co_return std::move(result);
        }
    } catch (const Cancelled&) {
        if (!deadline.settle()) {
            throw;
        }
    }
    throw_timeout(limit);
}

}  // namespace detail

/// Awaits `awaitable` (a Task, Future, TaskHandle, sleep(), Queue::get(), readline() ...) for at most
/// `delay` from when this is awaited, and gives its result or throws its exception. When the time is
/// over it is cancelled, and once it has ended by that, TimeoutError is thrown; if it ends in another
/// way nevertheless, that counts. A cancellation by somebody else stays Cancelled. With no time at
/// all it still runs to where it first waits; Duration::max() is for ever.
template <class Rep, class Period, detail::Awaitable A>
Task<detail::AwaitResult<A>> timeout(std::chrono::duration<Rep, Period> delay, A awaitable) {
    return detail::limited({.delay = detail::to_duration(delay)}, std::move(awaitable));
}

/// The same until `when` on the loop's clock.
template <detail::Awaitable A>
Task<detail::AwaitResult<A>> timeout_at(TimePoint when, A awaitable) {
    return detail::limited({.when = when, .delay = {}}, std::move(awaitable));
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/timeout.ipp>
#endif
