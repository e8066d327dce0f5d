// shield: waits for something without being able to cancel it. The counterpart of asyncio.shield().
#pragma once

#include <sluice/detail/child_tasks.hpp>
#include <sluice/future.hpp>
#include <sluice/task.hpp>

#include <source_location>
#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

/// Where a task's end is told, and what it ended with.
template <class T>
class ShieldedTask {
public:
    using Value = T;
    explicit ShieldedTask(TaskHandle<T> handle) noexcept : handle_(std::move(handle)) {}
    [[nodiscard]] bool done() const noexcept { return handle_.done(); }
    [[nodiscard]] Completion& completion() const noexcept {
        return handle_.promise()->completion();
    }
    T take() const {
        if (handle_.promise() == nullptr) {
            throw Cancelled();  // The loop was closed under it.
        }
        handle_.promise()->mark_retrieved();
        return handle_.promise()->outcome().share();
    }

private:
    TaskHandle<T> handle_;
};

/// The same of a future.
template <class T>
class ShieldedFuture {
public:
    using Value = T;
    explicit ShieldedFuture(Future<T> future) noexcept : future_(std::move(future)) {}
    [[nodiscard]] bool done() const noexcept { return future_.done(); }
    [[nodiscard]] Completion& completion() const noexcept { return future_.state()->completion(); }
    T take() const {
        future_.state()->mark_retrieved();
        return future_.state()->outcome().share();
    }

private:
    Future<T> future_;
};

}  // namespace detail

/// What shield() returns: awaited, it gives what the task or future inside gives.
template <class Inner>
class [[nodiscard]] Shield {
public:
    /// @cond internal
    explicit Shield(Inner inner) noexcept : inner_(std::move(inner)) {}
    /// @endcond

    class Awaiter final : public detail::CompletionAwaiter {
    public:
        explicit Awaiter(Inner inner) noexcept : inner_(std::move(inner)) {}
        bool await_ready() const noexcept { return inner_.done(); }
        template <detail::TaskLike Promise>
        void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
            this->wait_for(inner_.completion(), coroutine);
        }
        typename Inner::Value await_resume() {
            this->resumed();
            if (cancelled_) {
                throw Cancelled();
            }
            return inner_.take();
        }

    private:
        bool cancel() noexcept override {
            if (!this->withdraw()) {
                return false;
            }
            cancelled_ = true;
            this->resume_soon();
            return true;
        }

        Inner inner_;
        bool cancelled_ = false;
    };
    /// Waits for what is inside. Cancelling the waiting task ends the waiting and nothing else.
    Awaiter operator co_await() const { return Awaiter(inner_); }

private:
    Inner inner_;
};

/// Waits for `task`, which goes on if the waiting task is cancelled; what it throws then is reported
/// to the exception handler unless somebody else asks. Throws std::logic_error for an empty handle.
template <class T>
Shield<detail::ShieldedTask<T>> shield(TaskHandle<T> task) {
    if (!task) {
        throw std::logic_error("shield(): the TaskHandle is empty");
    }
    return Shield(detail::ShieldedTask<T>(std::move(task)));
}
/// The same for a future.
template <class T>
Shield<detail::ShieldedFuture<T>> shield(Future<T> future) {
    if (!future) {
        throw std::logic_error("shield(): the Future is empty");
    }
    return Shield(detail::ShieldedFuture<T>(std::move(future)));
}
/// Starts `task` on the running loop, awaited or not, and waits for it likewise. Throws
/// std::logic_error if no loop runs.
template <class T>
Shield<detail::ShieldedTask<T>> shield(
    Task<T> task, std::source_location where = std::source_location::current()) {
    return shield(detail::running_loop_for("shield").create_task(std::move(task), where));
}

}  // namespace sluice::inline v0_1
