// What may be awaited here, what awaiting it gives, and the awaiter that finds the awaiting task.
#pragma once

#include <sluice/task.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1::detail {

/// A value whose operator co_await makes the awaiter. It can be handed on, an awaiter cannot: that is
/// linked into what it waits for.
template <class A>
concept MakesAwaiter =
    requires(const A& awaitable) { awaitable.operator co_await().await_resume(); };

/// An awaiter that can be handed on before it is awaited: a read of a stream.
template <class A>
concept MovableAwaiter = std::move_constructible<A> && requires(A& awaiter) {
    awaiter.await_ready();
    awaiter.await_resume();
};

/// The library's awaitables.
template <class A>
concept Awaitable = MakesAwaiter<A> || MovableAwaiter<A>;

template <MakesAwaiter A>
auto result_of_awaiting(const A& awaitable)
    -> decltype(awaitable.operator co_await().await_resume());
template <MovableAwaiter A>
auto result_of_awaiting(A& awaiter) -> decltype(awaiter.await_resume());

template <Awaitable A>
using AwaitResult = decltype(result_of_awaiting(std::declval<A&>()));

/// Gives the task that runs the awaiting coroutine; does not suspend it.
class CurrentTask {
public:
    bool await_ready() const noexcept { return false; }
    template <TaskLike Promise>
    bool await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        task_ = &coroutine.promise().root();
        return false;
    }
    TaskRoot& await_resume() const noexcept { return *task_; }

private:
    TaskRoot* task_ = nullptr;
};

/// An awaitable as a coroutine, so that it can be started.
template <Awaitable A>
Task<AwaitResult<A>> as_task(A awaitable) {
    if constexpr (std::is_void_v<AwaitResult<A>>) {
        co_await awaitable;
    } else {
        AwaitResult<A> result = co_await awaitable;
        co_return std::move(result);
    }
}
template <class T>
Task<T> as_task(Task<T> task) noexcept {
    return task;
}

}  // namespace sluice::inline v0_1::detail
