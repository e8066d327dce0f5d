// Task<T>: a lazy coroutine of one loop, and TaskHandle<T>: the same once the loop runs it.
//
// A Task does nothing until it is awaited by another Task or given to EventLoop::create_task() or
// run_until_complete(). Control passes between coroutines through a small driver loop in the
// outermost one (TaskRoot::drive), never by symmetric transfer: GCC 12 does not make that a tail call
// in sanitizer builds, and this way no coroutine is on the stack below the one that destroys it.
#pragma once

#include <sluice/detail/completion.hpp>
#include <sluice/detail/outcome.hpp>
#include <sluice/detail/ready.hpp>
#include <sluice/ref.hpp>

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <stdexcept>
#include <utility>

namespace sluice::inline v0_1 {

template <class T>
class Task;
template <class T>
class TaskHandle;
class EventLoop;

namespace detail {

class LoopCore;
class TaskRoot;

/// Who started a task: a task group. Told once, in the step that ends the task: only schedules.
class TaskOwner {
public:
    virtual void on_child_done(TaskRoot& child) noexcept = 0;
    /// The loop was closed under it.
    virtual void on_child_destroyed() noexcept = 0;

protected:
    ~TaskOwner() = default;
};

/// Destroys a coroutine that has not ended. In debug mode a running loop reports `unawaited`, if not
/// null, as the place of one that never ran; what goes with it is not reported again.
SLUICE_API void destroy_unfinished(std::coroutine_handle<> coroutine,
                                   const std::source_location* unawaited) noexcept;

/// What a suspended coroutine waits for: a future, a timer, another task.
class Suspension {
public:
    /// Asks it to end soon, resuming the coroutine with Cancelled. False if it has ended already.
    virtual bool cancel() noexcept = 0;

protected:
    ~Suspension() = default;
};

/// Tells the exception handler of an exception that nobody asked for; not for Cancelled.
SLUICE_API void report_unretrieved(LoopCore& core, const char* message,
                                   const std::exception_ptr& exception,
                                   std::source_location where = {}) noexcept;

/// Refers to a running or finished task; knows when the loop was closed under it.
class SLUICE_API TaskReference : public ListNode<TaskReference> {
public:
    TaskReference() noexcept = default;
    explicit TaskReference(TaskRoot& task) noexcept { refer_to(&task); }
    TaskReference(const TaskReference& other) noexcept : orphaned_(other.orphaned_) {
        refer_to(other.task_);
    }
    TaskReference& operator=(const TaskReference& other) noexcept;
    ~TaskReference() { drop(); }

    [[nodiscard]] TaskRoot* task() const noexcept { return task_; }
    /// True if the task was destroyed unfinished.
    [[nodiscard]] bool orphaned() const noexcept { return orphaned_; }

private:
    friend TaskRoot;
    void refer_to(TaskRoot* task) noexcept;
    void drop() noexcept;

    TaskRoot* task_ = nullptr;
    bool orphaned_ = false;
};

/// The part of a coroutine that matters while it is the outermost one: scheduling, cancellation,
/// who waits for it. The coroutine lives as long as the loop runs it or a TaskReference exists;
/// only closing the loop destroys it under its references.
class SLUICE_API TaskRoot : private Ready, public ListNode<TaskRoot>, public ListNode<TaskOwner> {
public:
    TaskRoot(const TaskRoot&) = delete;
    TaskRoot& operator=(const TaskRoot&) = delete;

    // ---- for the loop ----

    /// Schedules the first step. The loop keeps the coroutine until it is done.
    void start(LoopCore& core, std::source_location where) noexcept;
    /// Asks the coroutine to end: Cancelled is thrown at its awaiting point. False if it is done.
    bool cancel() noexcept;
    /// How often cancel() was called, less uncancel().
    [[nodiscard]] std::uint32_t cancelling() const noexcept { return cancel_requests_; }
    /// Takes one request back and gives what is left. At zero, what is not delivered yet will not be.
    std::uint32_t uncancel() noexcept;
    /// The loop is going away: destroys the coroutine if it is suspended, and forgets the loop.
    void leave_loop() noexcept;
    /// Throws std::logic_error if the loop is closed.
    void add_done_callback(Callback callback);
    [[nodiscard]] std::source_location where() const noexcept { return where_; }
    [[nodiscard]] LoopCore& core() const noexcept { return *core_; }
    [[nodiscard]] Completion& completion() noexcept { return completion_; }
    [[nodiscard]] const Completion& completion() const noexcept { return completion_; }
    void mark_retrieved() noexcept { retrieved_ = true; }
    /// What the coroutine ended with, if that is an exception.
    [[nodiscard]] virtual const std::exception_ptr& root_exception() const noexcept = 0;

    // ---- for owners ----

    void set_owner(TaskOwner* owner) noexcept { owner_ = owner; }
    /// Destroys the coroutine where it is suspended; one that is running is cancelled instead.
    void end_now() noexcept;

    // ---- for awaiters ----

    /// `coroutine`, of this task, is suspended and waits for `suspension`.
    void suspend(std::coroutine_handle<> coroutine, Suspension& suspension) noexcept;
    /// The suspension has ended: continue in the next iteration.
    void resume_soon() noexcept;
    /// The suspension's awaiter is destroyed.
    void forget(Suspension& suspension) noexcept;
    /// Throws Cancelled if that was asked for and could not be delivered by the suspension.
    void throw_if_cancelled();
    /// The driver resumes `coroutine` next.
    void run_next(std::coroutine_handle<> coroutine) noexcept { next_ = coroutine; }

protected:
    TaskRoot(std::coroutine_handle<> self, std::source_location where) noexcept
        : self_(self), where_(where) {}
    ~TaskRoot() = default;

    virtual void set_root_exception(std::exception_ptr exception) noexcept = 0;

private:
    friend TaskReference;
    void on_ready_phase() noexcept override;
    void destroy_if_unreferenced() noexcept;
    void destroy_frame() noexcept;
    void drive(std::coroutine_handle<> coroutine) noexcept;
    void finish() noexcept;

    std::coroutine_handle<> self_;
    std::coroutine_handle<> suspended_;
    std::coroutine_handle<> next_;
    LoopCore* core_ = nullptr;
    Suspension* suspension_ = nullptr;
    Completion completion_;
    // Where the coroutine stands in the source; once it is started, where that was done.
    std::source_location where_;
    TaskOwner* owner_ = nullptr;
    std::uint32_t cancel_requests_ = 0;
    bool started_ = false;
    bool driving_ = false;
    bool cancel_pending_ = false;
    bool retrieved_ = false;
    bool held_by_loop_ = false;
    IntrusiveList<TaskReference> references_;
};

class TaskPromiseBase : public TaskRoot {
public:
    std::suspend_always initial_suspend() const noexcept { return {}; }

    /// Hands control to whoever awaits; the outermost coroutine just ends, which the driver sees.
    class FinalAwaiter {
    public:
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> ended) const noexcept {
            TaskPromiseBase& promise = ended.promise();
            if (promise.awaiting_) {
                promise.root_->run_next(promise.awaiting_);
            }
        }
        void await_resume() const noexcept {}
    };
    FinalAwaiter final_suspend() const noexcept { return {}; }

    [[nodiscard]] TaskRoot& root() const noexcept { return *root_; }
    /// False if nobody has awaited or started it yet.
    [[nodiscard]] bool has_root() const noexcept { return root_ != nullptr; }
    void set_root(TaskRoot& root) noexcept { root_ = &root; }
    void set_awaiting(std::coroutine_handle<> awaiting) noexcept { awaiting_ = awaiting; }

protected:
    using TaskRoot::TaskRoot;

private:
    TaskRoot* root_ = nullptr;
    std::coroutine_handle<> awaiting_;
};

template <class T>
class TaskPromiseOutcome : public TaskPromiseBase {
public:
    void unhandled_exception() noexcept { outcome_.set_exception(std::current_exception()); }
    [[nodiscard]] Outcome<T>& outcome() noexcept { return outcome_; }
    [[nodiscard]] const std::exception_ptr& root_exception() const noexcept override {
        return outcome_.exception();
    }

protected:
    using TaskPromiseBase::TaskPromiseBase;
    void set_root_exception(std::exception_ptr exception) noexcept override {
        outcome_.set_exception(std::move(exception));
    }

    Outcome<T> outcome_;
};

template <class T>
class TaskPromise final : public TaskPromiseOutcome<T> {
public:
    // The default argument is the place of the coroutine, not of its caller: compilers agree on that.
    TaskPromise(std::source_location where = std::source_location::current()) noexcept
        : TaskPromiseOutcome<T>(std::coroutine_handle<TaskPromise>::from_promise(*this), where) {}
    Task<T> get_return_object() noexcept;
    template <class U>
        requires std::is_constructible_v<T, U&&>
    void return_value(U&& value) {
        this->outcome_.set_value(std::forward<U>(value));
    }
};

template <>
class TaskPromise<void> final : public TaskPromiseOutcome<void> {
public:
    TaskPromise(std::source_location where = std::source_location::current()) noexcept
        : TaskPromiseOutcome<void>(std::coroutine_handle<TaskPromise>::from_promise(*this), where) {
    }
    Task<void> get_return_object() noexcept;
    void return_void() noexcept {}
};

/// A promise that belongs to a Task: the only kind of coroutine the library's awaitables can be
/// awaited in, since cancellation needs to find them.
template <class Promise>
concept TaskLike = std::is_base_of_v<TaskPromiseBase, Promise>;

/// Base of awaiters that wait for something outside the coroutine.
class LeafAwaiter : public Suspension {
public:
    LeafAwaiter() noexcept = default;
    LeafAwaiter(const LeafAwaiter&) = delete;
    LeafAwaiter& operator=(const LeafAwaiter&) = delete;

protected:
    ~LeafAwaiter() {
        if (root_ != nullptr) {
            root_->forget(*this);
        }
    }
    template <TaskLike Promise>
    void suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        root_ = &coroutine.promise().root();
        root_->suspend(coroutine, *this);
    }
    void resume_soon() noexcept { root_->resume_soon(); }
    /// To be called first in await_resume().
    void resumed() {
        if (TaskRoot* root = std::exchange(root_, nullptr)) {
            root->forget(*this);
            root->throw_if_cancelled();
        }
    }
    [[nodiscard]] TaskRoot* root() const noexcept { return root_; }

private:
    TaskRoot* root_ = nullptr;
};

/// Waits for a Completion.
class CompletionAwaiter : public LeafAwaiter, private Waiter {
protected:
    template <TaskLike Promise>
    void wait_for(Completion& completion, std::coroutine_handle<Promise> coroutine) noexcept {
        completion.add(*this);
        suspend(coroutine);
    }
    /// Waits no more. False if it is completed already.
    bool withdraw() noexcept {
        const bool waiting = ListNode<Waiter>::linked();
        ListNode<Waiter>::unlink();
        return waiting;
    }

private:
    void on_completed() noexcept override { resume_soon(); }
};

}  // namespace detail

/// A coroutine that has not started. Move-only; destroying it destroys the coroutine. Its
/// parameters are copied into the coroutine as they are declared: take what must outlive the caller
/// by value.
template <class T = void>
class [[nodiscard]] Task {
public:
    /// For the compiler.
    using promise_type = detail::TaskPromise<T>;

    Task() noexcept = default;
    ///@{
    /// Takes the coroutine over.
    Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
    Task& operator=(Task&& other) noexcept {
        if (this != &other) {
            destroy();
            coroutine_ = std::exchange(other.coroutine_, nullptr);
        }
        return *this;
    }
    ///@}
    ~Task() { destroy(); }

    /// False after the task was moved from.
    explicit operator bool() const noexcept { return coroutine_ != nullptr; }
    /// @cond internal
    /// Destroys a coroutine that never ran, without a word in debug mode.
    void discard() noexcept { detail::destroy_unfinished(std::exchange(coroutine_, {}), nullptr); }
    /// @endcond

    class Awaiter {
    public:
        explicit Awaiter(std::coroutine_handle<promise_type> coroutine) noexcept
            : coroutine_(coroutine) {}
        bool await_ready() const noexcept { return false; }
        template <detail::TaskLike Promise>
        void await_suspend(std::coroutine_handle<Promise> awaiting) const noexcept {
            promise_type& promise = coroutine_.promise();
            promise.set_root(awaiting.promise().root());
            promise.set_awaiting(awaiting);
            promise.root().run_next(coroutine_);
        }
        T await_resume() const { return coroutine_.promise().outcome().take(); }

    private:
        std::coroutine_handle<promise_type> coroutine_;
    };

    /// Runs the coroutine to its end, as part of the awaiting task, and gives its result or throws
    /// its exception. Once only.
    Awaiter operator co_await() const& {
        if (coroutine_ == nullptr || coroutine_.done()) {
            throw std::logic_error("a Task can be awaited once, and not after it was moved from");
        }
        return Awaiter(coroutine_);
    }

private:
    friend promise_type;
    friend EventLoop;

    explicit Task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

    void destroy() noexcept {
        if (!coroutine_) {
            return;
        }
        if (detail::TaskRoot& task = coroutine_.promise(); coroutine_.promise().has_root()) {
            coroutine_.destroy();
        } else {
            const std::source_location where = task.where();
            detail::destroy_unfinished(coroutine_, &where);
        }
    }

    std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
Task<T> detail::TaskPromise<T>::get_return_object() noexcept {
    return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

inline Task<void> detail::TaskPromise<void>::get_return_object() noexcept {
    return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

/// A task the loop is running or has run. Dropping every handle does not stop it. Copies refer to
/// the same task; to be used on the loop's thread. The counterpart of asyncio.Task.
template <class T = void>
class TaskHandle {
public:
    TaskHandle() noexcept = default;

    /// Asks the task to end: sluice::Cancelled is thrown at the point it awaits, in a later
    /// iteration, and what it awaits is cancelled. The task may catch it and go on. False if it is
    /// done already.
    bool cancel() noexcept { return promise() != nullptr && promise()->cancel(); }
    /// How many calls of cancel() have not been taken back. A timeout or a task group that caught
    /// its own Cancelled learns here whether somebody else cancels the task as well.
    [[nodiscard]] std::uint32_t cancelling() const noexcept {
        return promise() != nullptr ? promise()->cancelling() : 0;
    }
    /// Takes one call of cancel() back, for whoever made it and has caught its Cancelled; gives how
    /// many are left. At zero a Cancelled that has not been thrown yet is called off.
    std::uint32_t uncancel() noexcept { return promise() != nullptr ? promise()->uncancel() : 0; }
    /// True once it has ended, also by the loop being closed.
    [[nodiscard]] bool done() const noexcept {
        return reference_.orphaned() || (promise() != nullptr && promise()->completion().done());
    }
    /// True if it ended by Cancelled, or was destroyed because the loop was closed.
    [[nodiscard]] bool cancelled() const noexcept {
        return reference_.orphaned() ||
               (done() && detail::is_cancelled(promise()->outcome().exception()));
    }
    /// The result, or throws what the task threw; std::logic_error if it is not done.
    decltype(auto) result() const {
        if (!done()) {
            throw std::logic_error("TaskHandle::result() called before the task is done");
        }
        return std::as_const(finished().outcome()).get();
    }
    /// What the task threw, or null.
    [[nodiscard]] std::exception_ptr exception() const noexcept {
        if (reference_.orphaned()) {
            return detail::make_cancelled();
        }
        return done() ? finished().outcome().exception() : nullptr;
    }
    /// Runs `callback` from the loop once the task is done.
    void add_done_callback(Callback callback) {
        if (!*this || reference_.orphaned()) {
            throw std::logic_error("TaskHandle::add_done_callback() called on an empty handle");
        }
        promise()->add_done_callback(std::move(callback));
    }
    /// False for a default-constructed handle.
    explicit operator bool() const noexcept {
        return promise() != nullptr || reference_.orphaned();
    }
    /// @cond internal
    [[nodiscard]] detail::TaskPromise<T>* promise() const noexcept {
        return static_cast<detail::TaskPromise<T>*>(reference_.task());
    }
    /// @endcond

    class Awaiter final : public detail::CompletionAwaiter {
    public:
        explicit Awaiter(const TaskHandle& handle) noexcept : handle_(handle) {}
        bool await_ready() const noexcept { return handle_.done(); }
        template <detail::TaskLike Promise>
        void await_suspend(std::coroutine_handle<Promise> coroutine) {
            if (&coroutine.promise().root() == handle_.promise()) {
                throw std::logic_error("a task cannot await itself");
            }
            this->wait_for(handle_.promise()->completion(), coroutine);
        }
        T await_resume() {
            this->resumed();
            return handle_.finished().outcome().share();
        }

    private:
        bool cancel() noexcept override { return handle_.cancel(); }

        TaskHandle handle_;
    };

    /// Waits for the task's end; cancelling the waiter cancels the task. A task's own: logic_error.
    Awaiter operator co_await() const {
        if (!*this) {
            throw std::logic_error("an empty TaskHandle was awaited");
        }
        return Awaiter(*this);
    }

private:
    friend EventLoop;
    explicit TaskHandle(detail::TaskPromise<T>& promise) noexcept : reference_(promise) {}

    /// The promise of a task that is done; throws Cancelled if the loop was closed under it.
    [[nodiscard]] detail::TaskPromise<T>& finished() const {
        if (reference_.orphaned()) {
            throw Cancelled();
        }
        promise()->mark_retrieved();
        return *promise();
    }

    detail::TaskReference reference_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/task.ipp>
#include <sluice/impl/unawaited.ipp>
#endif
