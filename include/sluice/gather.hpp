// gather: runs several things at once and collects their results. The counterpart of
// asyncio.gather(), except that nothing it started runs on after it.
#pragma once

#include <sluice/detail/awaitable.hpp>
#include <sluice/detail/child_tasks.hpp>
#include <sluice/detail/outcome.hpp>
#include <sluice/event_loop.hpp>

#include <tuple>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::inline v0_1 {

/// Stands for the result of a task that gives none, in a tuple.
using NoValue = std::monostate;

/// First argument of gather(): exceptions are results like others.
struct ReturnExceptions {};
inline constexpr ReturnExceptions return_exceptions{};

/// How one of several tasks ended: with a value or an exception.
template <class T = void>
class TaskResult {
public:
    /// True if it has a value.
    explicit operator bool() const noexcept { return outcome_.exception() == nullptr; }
    /// The value, or throws what the task threw.
    decltype(auto) value() const { return outcome_.get(); }
    /// Moves the value out, or throws what the task threw.
    T take() { return outcome_.take(); }
    /// What the task threw, Cancelled included, or null.
    [[nodiscard]] const std::exception_ptr& exception() const noexcept {
        return outcome_.exception();
    }
    /// True if it was cancelled.
    [[nodiscard]] bool cancelled() const noexcept {
        return detail::is_cancelled(outcome_.exception());
    }
    /// @cond internal
    explicit TaskResult(detail::Outcome<T> outcome) noexcept : outcome_(std::move(outcome)) {}
    /// @endcond

private:
    detail::Outcome<T> outcome_;
};

namespace detail {

/// The tasks of one gather().
class SLUICE_API Siblings final : public ChildTasks {
public:
    /// With `together`, the first that fails or is cancelled cancels the others.
    explicit Siblings(bool together) noexcept : together_(together) {}

    template <Awaitable A>
    TaskHandle<AwaitResult<A>> add(EventLoop& loop, A awaitable) {
        return start(loop, as_task(std::move(awaitable)), {});
    }
    /// Waits for all. Throws what the first threw, or Cancelled if the waiting task was cancelled.
    Task<> all();

private:
    void on_ended(TaskRoot& child) noexcept override;

    // If nobody is told of its exception, it goes away unasked and reports it.
    TaskReference first_failed_;
    bool together_;
};

template <class T>
TaskResult<T> settled(const TaskHandle<T>& handle) {
    handle.promise()->mark_retrieved();
    return TaskResult<T>(std::move(handle.promise()->outcome()));
}

template <class T>
auto taken(const TaskHandle<T>& handle) {
    if constexpr (std::is_void_v<T>) {
        return NoValue();
    } else {
        return handle.promise()->outcome().take();
    }
}

template <class T>
using ValueOf = std::conditional_t<std::is_void_v<T>, NoValue, T>;

/// What gather() gives of a task that has ended: its result or, where they end on their own, how.
template <bool Together, class T>
using Gathered = std::conditional_t<Together, ValueOf<T>, TaskResult<T>>;

template <bool Together, class T>
Gathered<Together, T> gathered(const TaskHandle<T>& handle) {
    if constexpr (Together) {
        return taken(handle);
    } else {
        return settled(handle);
    }
}

template <bool Together, Awaitable... A>
Task<std::tuple<Gathered<Together, AwaitResult<A>>...>> gather_tuple(A... awaitables) {
    EventLoop& loop = running_loop_for("gather");
    Siblings siblings(Together);
    // Braces: they start in the order of the arguments.
    const std::tuple<TaskHandle<AwaitResult<A>>...> handles{
        siblings.add(loop, std::move(awaitables))...};
    Task<> ended = siblings.all();
    co_await ended;
    co_return std::apply(
        [](const auto&... handle) {
            return std::tuple<Gathered<Together, AwaitResult<A>>...>(gathered<Together>(handle)...);
        },
        handles);
}

template <Awaitable A>
std::vector<TaskHandle<AwaitResult<A>>> add_all(Siblings& siblings, std::vector<A> awaitables) {
    EventLoop& loop = running_loop_for("gather");
    std::vector<TaskHandle<AwaitResult<A>>> handles;
    handles.reserve(awaitables.size());
    for (A& awaitable : awaitables) {
        handles.push_back(siblings.add(loop, std::move(awaitable)));
    }
    return handles;
}

template <class T>
struct GatheredVector {
    using Type = std::vector<T>;
};
template <>
struct GatheredVector<void> {
    using Type = void;
};

}  // namespace detail

/// Runs `awaitables` (Tasks, TaskHandles, Futures, reads ...) at the same time and gives a tuple of
/// their results; NoValue where there is none.
///
/// When one fails, the others are cancelled, and once all have ended its exception is thrown; others
/// that failed, too, are reported to the exception handler. asyncio would let them run on behind your
/// back, where they could not refer to anything of yours. Awaiting handles and futures cancels what
/// they stand for as well: shield() them if they are to go on. Cancelling the awaiting task cancels
/// all; it throws Cancelled when all have ended.
template <detail::Awaitable... A>
Task<std::tuple<detail::ValueOf<detail::AwaitResult<A>>...>> gather(A... awaitables) {
    return detail::gather_tuple<true>(std::move(awaitables)...);
}
/// The same, but waits for all, whatever they end with: a tuple of TaskResult.
template <detail::Awaitable... A>
Task<std::tuple<TaskResult<detail::AwaitResult<A>>...>> gather(ReturnExceptions, A... awaitables) {
    return detail::gather_tuple<false>(std::move(awaitables)...);
}
/// The same for any number of one type: a vector of their results, in their order, or nothing.
template <detail::Awaitable A>
Task<typename detail::GatheredVector<detail::AwaitResult<A>>::Type> gather(
    std::vector<A> awaitables) {
    detail::Siblings siblings(true);
    const auto handles = detail::add_all(siblings, std::move(awaitables));
    Task<> ended = siblings.all();
    co_await ended;
    if constexpr (!std::is_void_v<detail::AwaitResult<A>>) {
        std::vector<detail::AwaitResult<A>> results;
        results.reserve(handles.size());
        for (const auto& handle : handles) {
            results.push_back(detail::taken(handle));
        }
        co_return results;
    }
}
/// The same, a vector of TaskResult.
template <detail::Awaitable A>
Task<std::vector<TaskResult<detail::AwaitResult<A>>>> gather(ReturnExceptions,
                                                             std::vector<A> awaitables) {
    detail::Siblings siblings(false);
    const auto handles = detail::add_all(siblings, std::move(awaitables));
    Task<> ended = siblings.all();
    co_await ended;
    std::vector<TaskResult<detail::AwaitResult<A>>> results;
    results.reserve(handles.size());
    for (const auto& handle : handles) {
        results.push_back(detail::settled(handle));
    }
    co_return results;
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/gather.ipp>
#endif
