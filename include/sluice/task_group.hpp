// TaskGroup: tasks that end together. No task outlives its group, no exception is lost, and when one
// task fails the others are cancelled.
//
// The counterpart of asyncio.TaskGroup: https://docs.python.org/3/library/asyncio-task.html.
// task_group() is its `async with`, a TaskGroup object the form for tasks that belong to an object
// rather than to a function.
#pragma once

#include <sluice/detail/awaitable.hpp>
#include <sluice/detail/child_tasks.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/exception_group.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

namespace detail {
class GroupBody;
}

/// Tasks with a common end. Not movable, since its tasks know it; to be used on its loop's thread.
///
/// Destroying a group destroys the coroutines of its tasks that have not ended, where they stand:
/// their destructors run, before anything that was declared ahead of the group goes away. Exceptions
/// that wait() has not thrown go to the exception handler then. It must outlive those who wait().
class SLUICE_API TaskGroup final : private detail::ChildTasks {
public:
    TaskGroup() noexcept = default;
    ~TaskGroup();

    /// Starts `task` in the next iteration of the running loop. Throws std::logic_error if no loop
    /// runs, once the group is ending (a task has failed, cancel() was called) and after wait().
    template <class T>
    TaskHandle<T> create_task(Task<T> task,
                              std::source_location where = std::source_location::current()) {
        if (ending_ || finished_) {
            task.discard();
            refuse();
        }
        return start(detail::running_loop_for("TaskGroup::create_task"), std::move(task), where);
    }
    /// Waits until every task has ended, those that are created meanwhile included. Then throws
    /// ExceptionGroup with everything they threw. If the waiting task is cancelled, they are, too,
    /// and it throws Cancelled after their end; if some failed nevertheless, ExceptionGroup, and
    /// Cancelled comes at the next awaiting point. Once.
    Task<> wait();
    /// Cancels every task and accepts no new ones. That is no error: wait() returns once they have
    /// ended.
    void cancel() noexcept;
    /// How many tasks have not ended.
    [[nodiscard]] std::size_t size() const noexcept { return ChildTasks::size(); }

private:
    friend detail::GroupBody;

    [[noreturn]] void refuse() const;
    void on_ended(detail::TaskRoot& child) noexcept override;
    void on_wait_cancelled() noexcept override;
    /// `body_failure` is what the body of task_group() threw, or null.
    Task<> finish(std::exception_ptr body_failure);

    [[nodiscard]] std::vector<std::exception_ptr> take_errors(std::exception_ptr body_failure);

    // The task that runs the body; null while there is none that should be cancelled.
    detail::TaskRoot* body_ = nullptr;
    // Those that failed, in that order. A task that goes away unasked reports its exception.
    std::vector<detail::TaskReference> failed_;
    std::exception_ptr stop_;
    bool out_of_memory_ = false;
    bool ending_ = false;
    bool finished_ = false;
    bool body_cancelled_ = false;
};

namespace detail {

/// What task_group() may do with its group and others may not.
class GroupBody {
public:
    static void enter(TaskGroup& group, TaskRoot& task) noexcept { group.body_ = &task; }
    static Task<> leave(TaskGroup& group, std::exception_ptr failure) {
        return group.finish(std::move(failure));
    }
};

template <class R>
struct BodyResult {
    static_assert(std::is_void_v<R>, "the body of a task group returns a Task or nothing");
    using Value = void;
    static constexpr bool is_coroutine = false;
};
template <class T>
struct BodyResult<Task<T>> {
    using Value = T;
    static constexpr bool is_coroutine = true;
};
template <class F>
using BodyOf = BodyResult<std::invoke_result_t<F&, TaskGroup&>>;

}  // namespace detail

/// Runs `body(group)` and then waits until every task of the group has ended; gives what the body
/// gives. When a task fails, or the body throws, or the awaiting task is cancelled, everything else
/// in the group is cancelled, the body included; after the end of all, ExceptionGroup is thrown with
/// what they threw, or Cancelled if it was only that.
///
/// `body` is a coroutine function, whose exceptions belong to the group, or a plain one that only
/// starts tasks. It is copied and lives as long as the group. What tasks refer to must be declared
/// outside: variables of the body end with it, before the tasks do. GCC 12: a lambda with captures
/// needs a name first.
template <class F>
    requires std::invocable<F&, TaskGroup&>
Task<typename detail::BodyOf<F>::Value> task_group(F body) {
    using Value = typename detail::BodyOf<F>::Value;
    detail::CurrentTask current;
    detail::TaskRoot& parent = co_await current;
    // Ahead of the group, so that it is destroyed after the tasks, which may refer to its variables.
    Task<Value> running;
    TaskGroup group;
    detail::GroupBody::enter(group, parent);
    detail::Outcome<Value> outcome;
    try {
        if constexpr (!detail::BodyOf<F>::is_coroutine) {
            body(group);
        } else if constexpr (std::is_void_v<Value>) {
            running = body(group);
            co_await running;
        } else {
            running = body(group);
            Value value = co_await running;
            outcome.set_value(std::move(value));
        }
    } catch (...) {
        outcome.set_exception(std::current_exception());
    }
    Task<> ended = detail::GroupBody::leave(group, outcome.exception());
    co_await ended;
    if constexpr (!std::is_void_v<Value>) {
        co_return outcome.take();
    }
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/task_group.ipp>
#endif
