// Future<T>: the bridge from callbacks to coroutines. Set once, awaited by any number of tasks of
// its loop.
#pragma once

#include <sluice/remote_ref.hpp>
#include <sluice/task.hpp>

namespace sluice::inline v0_1 {

namespace detail {

template <class T>
class FutureState final : public RefCounted {
public:
    FutureState(LoopCore& core, std::shared_ptr<RemoteQueue> remote) noexcept
        : RefCounted(nullptr), core_(core), remote_(std::move(remote)) {}

    [[nodiscard]] Completion& completion() noexcept { return completion_; }
    [[nodiscard]] Outcome<T>& outcome() noexcept { return outcome_; }
    /// Throws std::logic_error if the loop is closed.
    void add_done_callback(Callback callback) {
        if (!is_open(*remote_)) {
            throw std::logic_error("Future::add_done_callback(): Event loop is closed");
        }
        completion_.add_done_callback(core_, std::move(callback));
    }
    void mark_retrieved() noexcept { retrieved_ = true; }

    bool cancel() noexcept {
        if (completion_.done()) {
            return false;
        }
        outcome_.set_exception(make_cancelled());
        completion_.complete();
        return true;
    }

private:
    void unreferenced() noexcept override {
        if (!retrieved_ && outcome_.exception() && is_open(*remote_)) {
            report_unretrieved(core_, "Future exception was never retrieved", outcome_.exception());
        }
        delete this;
    }

    LoopCore& core_;  // alive while the remote queue is open
    std::shared_ptr<RemoteQueue> remote_;
    Outcome<T> outcome_;
    Completion completion_;
    bool retrieved_ = false;
};

}  // namespace detail

/// A result that will be there later. Copies share the result. Made by EventLoop::create_future();
/// to be used on the loop's thread, where awaiting tasks continue in a later iteration than the
/// call that completes it. The counterpart of asyncio.Future.
template <class T = void>
class Future {
public:
    Future() noexcept = default;

    ///@{
    /// Completes it. Throws std::logic_error if it is done (also if it was cancelled: check done()
    /// first).
    template <class U>
        requires(!std::is_void_v<T>)
    void set_result(U&& value) const {
        require_pending("set_result");
        state_->outcome().set_value(std::forward<U>(value));
        state_->completion().complete();
    }
    void set_result() const
        requires std::is_void_v<T>
    {
        require_pending("set_result");
        state_->completion().complete();
    }
    void set_exception(std::exception_ptr exception) const {
        require_pending("set_exception");
        state_->outcome().set_exception(std::move(exception));
        state_->completion().complete();
    }
    ///@}
    ///@{
    /// The same, but false and no effect if it is done already: for callbacks that a cancellation
    /// may overtake.
    template <class U>
        requires(!std::is_void_v<T>)
    bool try_set_result(U&& value) const {
        const bool pending = state_ && !done();
        if (pending) {
            set_result(std::forward<U>(value));
        }
        return pending;
    }
    bool try_set_result() const
        requires std::is_void_v<T>
    {
        const bool pending = state_ && !done();
        if (pending) {
            set_result();
        }
        return pending;
    }
    bool try_set_exception(std::exception_ptr exception) const {
        const bool pending = state_ && !done();
        if (pending) {
            set_exception(std::move(exception));
        }
        return pending;
    }
    ///@}
    /// Completes it with sluice::Cancelled. False if it is done already.
    bool cancel() const noexcept { return state_ && state_->cancel(); }

    /// True once it is completed or cancelled.
    [[nodiscard]] bool done() const noexcept { return state_ && state_->completion().done(); }
    /// True if it was completed with sluice::Cancelled.
    [[nodiscard]] bool cancelled() const noexcept {
        return done() && detail::is_cancelled(state_->outcome().exception());
    }
    /// The result, or throws what it was completed with; std::logic_error if it is not done.
    decltype(auto) result() const {
        if (!done()) {
            throw std::logic_error("Future::result() called before the result is set");
        }
        state_->mark_retrieved();
        return std::as_const(state_->outcome()).get();
    }
    /// What it was completed with instead of a result, or null; null also while it is not done.
    [[nodiscard]] std::exception_ptr exception() const noexcept {
        if (!done()) {
            return nullptr;
        }
        state_->mark_retrieved();
        return state_->outcome().exception();
    }
    /// Runs `callback` from the loop once it is done.
    void add_done_callback(Callback callback) const {
        state_->add_done_callback(std::move(callback));
    }
    /// False for a default-constructed future.
    explicit operator bool() const noexcept { return static_cast<bool>(state_); }
    /// @cond internal
    [[nodiscard]] detail::FutureState<T>* state() const noexcept { return state_.get(); }
    /// @endcond

    class Awaiter final : public detail::CompletionAwaiter {
    public:
        explicit Awaiter(Ref<detail::FutureState<T>> state) noexcept : state_(std::move(state)) {}
        bool await_ready() const noexcept { return state_->completion().done(); }
        template <detail::TaskLike Promise>
        void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
            this->wait_for(state_->completion(), coroutine);
        }
        T await_resume() {
            this->resumed();
            state_->mark_retrieved();
            return state_->outcome().share();
        }

    private:
        bool cancel() noexcept override { return state_->cancel(); }

        Ref<detail::FutureState<T>> state_;
    };

    /// Waits for it. Cancelling the waiting task cancels the future, as in asyncio.
    Awaiter operator co_await() const {
        if (!state_) {
            throw std::logic_error("an empty Future was awaited");
        }
        return Awaiter(state_);
    }

private:
    friend EventLoop;
    explicit Future(Ref<detail::FutureState<T>> state) noexcept : state_(std::move(state)) {}

    void require_pending(const char* method) const {
        if (!state_ || done()) {
            throw std::logic_error(std::string("Future::") + method +
                                   "() called on a future that is done");
        }
    }

    Ref<detail::FutureState<T>> state_;
};

}  // namespace sluice::inline v0_1
