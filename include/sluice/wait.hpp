// wait: until one, some or all of several running tasks have ended; as_completed: one after the
// other, as they end. The counterparts of asyncio.wait() and asyncio.as_completed().
#pragma once

#include <sluice/detail/completion.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/detail/waiting_line.hpp>
#include <sluice/task.hpp>

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// When wait() returns.
enum class ReturnWhen : std::uint8_t {
    all_completed,
    first_completed,  ///< As soon as one has ended.
    first_exception,  ///< As soon as one has thrown (Cancelled apart), or all have ended.
};

/// What wait() gives: every task is in one of them, in the order of the argument.
template <class T = void>
struct WaitResult {
    std::vector<TaskHandle<T>> done;     ///< Ended, in whatever way.
    std::vector<TaskHandle<T>> pending;  ///< Still running: nobody has cancelled them.
};

namespace detail {

/// Waits for some of several tasks, or for a time.
class SLUICE_API TasksAwaiter final : public LeafAwaiter, private Timer {
public:
    /// `tasks` that are done count at once. May throw std::bad_alloc.
    TasksAwaiter(const std::vector<TaskRoot*>& tasks, ReturnWhen when, Duration timeout);
    ~TasksAwaiter();

    bool await_ready() const noexcept { return satisfied_; }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) {
        suspend(coroutine);
        arm(coroutine.promise().root());
    }
    void await_resume();

private:
    class Watch final : public Waiter {
    public:
        TasksAwaiter* owner = nullptr;
        TaskRoot* task = nullptr;

    private:
        void on_completed() noexcept override { owner->on_task_done(*task); }
    };

    void on_task_done(const TaskRoot& task) noexcept;
    void satisfy() noexcept;
    void arm(TaskRoot& root);
    void disarm() noexcept;
    bool cancel() noexcept override;
    void on_timer() noexcept override { satisfy(); }
    void on_loop_closed() noexcept override { core_ = nullptr; }

    std::unique_ptr<Watch[]> watches_;
    std::size_t pending_ = 0;
    ReturnWhen when_;
    Duration timeout_;
    LoopCore* core_ = nullptr;
    bool satisfied_ = false;
    bool cancelled_ = false;
};

/// The order in which tasks end.
class SLUICE_API EndingOrder {
public:
    explicit EndingOrder(const std::vector<TaskRoot*>& tasks);
    /// How many have neither been handed out nor been promised to somebody who waits.
    [[nodiscard]] std::size_t left() const noexcept { return left_; }
    /// Waits until a task has ended that has not been taken, and takes it: its index.
    Task<std::size_t> next();

private:
    /// One task that somebody waits for; nobody else may count on it.
    class Claim {
    public:
        explicit Claim(EndingOrder& order) noexcept : order_(&order) { --order.left_; }
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() { order_->left_ += used_ ? 0 : 1; }
        void use() noexcept { used_ = true; }

    private:
        EndingOrder* order_;
        bool used_ = false;
    };

    class Watch final : public Waiter, public ListNode<Watch> {
    public:
        EndingOrder* owner = nullptr;

    private:
        void on_completed() noexcept override;
    };

    void on_ended(Watch& watch) noexcept;

    std::unique_ptr<Watch[]> watches_;
    IntrusiveList<Watch> ended_;
    WaitingLine line_;
    std::size_t left_;
};

template <class T>
std::vector<TaskRoot*> roots_of(const std::vector<TaskHandle<T>>& tasks, const char* function) {
    std::vector<TaskRoot*> roots;
    roots.reserve(tasks.size());
    for (const TaskHandle<T>& task : tasks) {
        if (!task) {
            throw std::invalid_argument(std::string(function) + "(): a TaskHandle is empty");
        }
        roots.push_back(task.promise());
    }
    return roots;
}

}  // namespace detail

/// Waits until as many of `tasks` have ended as `when` says, at most `timeout` (Duration::max(): for
/// ever). Throws nothing that they throw and cancels none, neither after the time nor when the
/// awaiting task is cancelled. Throws std::invalid_argument when awaited with no task or an empty
/// handle.
template <class T>
Task<WaitResult<T>> wait(std::vector<TaskHandle<T>> tasks,
                         ReturnWhen when = ReturnWhen::all_completed,
                         Duration timeout = Duration::max()) {
    if (tasks.empty()) {
        throw std::invalid_argument("wait(): there is no task to wait for");
    }
    {
        detail::TasksAwaiter awaiter(detail::roots_of(tasks, "wait"), when, timeout);
        co_await awaiter;
    }
    WaitResult<T> result;
    for (TaskHandle<T>& task : tasks) {
        (task.done() ? result.done : result.pending).push_back(std::move(task));
    }
    co_return result;
}

/// Hands tasks out in the order in which they end.
///
///     AsCompleted<int> results(std::move(tasks));
///     while (!results.empty()) { TaskHandle<int> task = co_await results.next(); ... }
///
/// Destroying it leaves the tasks alone. Not movable; must outlive those who wait in next().
template <class T = void>
class AsCompleted {
public:
    /// Throws std::invalid_argument for an empty handle.
    explicit AsCompleted(std::vector<TaskHandle<T>> tasks)
        : order_(detail::roots_of(tasks, "as_completed")), tasks_(std::move(tasks)) {}

    /// True when every task was handed out, or will be to those who wait for it in next().
    [[nodiscard]] bool empty() const noexcept { return order_.left() == 0; }
    /// Awaited, gives the next task that has ended; several may wait. Throws std::logic_error if there
    /// is none left, or Cancelled, and then has taken none.
    Task<TaskHandle<T>> next() {
        Task<std::size_t> ended = order_.next();
        const std::size_t index = co_await ended;
        co_return std::move(tasks_[index]);
    }

private:
    detail::EndingOrder order_;
    std::vector<TaskHandle<T>> tasks_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/wait.ipp>
#endif
