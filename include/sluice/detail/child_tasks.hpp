// ChildTasks: tasks with an owner that waits for them, cancels them, and takes them along when it is
// destroyed. What task groups, gather() and JobScheduler are made of.
//
// The children stand in an intrusive list: owning one allocates nothing.
#pragma once

#include <sluice/detail/running_loop.hpp>
#include <sluice/detail/waiting_line.hpp>
#include <sluice/event_loop.hpp>

#include <source_location>

namespace sluice::inline v0_1::detail {

class SLUICE_API ChildTasks : private TaskOwner {
public:
    ChildTasks(const ChildTasks&) = delete;
    ChildTasks& operator=(const ChildTasks&) = delete;

    [[nodiscard]] bool idle() const noexcept { return children_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    void cancel_all() noexcept;
    /// Awaited, waits until there is none.
    class UntilIdle {
    public:
        explicit UntilIdle(ChildTasks& tasks) noexcept : tasks_(&tasks) {}
        PlainPlace operator co_await() const noexcept { return {tasks_->idle_, tasks_->idle()}; }

    private:
        ChildTasks* tasks_;
    };
    /// Waits until there is none. If the waiting task is cancelled, calls on_wait_cancelled() and
    /// goes on waiting; true if that happened.
    Task<bool> wait_idle();

protected:
    ChildTasks() noexcept = default;
    /// Destroys the children that have not ended, before anything they refer to goes away.
    ~ChildTasks() { destroy_all(); }

    template <class T>
    TaskHandle<T> start(EventLoop& loop, Task<T> task, std::source_location where) {
        TaskHandle<T> handle = loop.create_task(std::move(task), where);
        adopt(*handle.promise());
        return handle;
    }
    void destroy_all() noexcept;
    /// A child has ended by itself, idle() already knows. Only schedules.
    virtual void on_ended(TaskRoot& child) noexcept = 0;
    virtual void on_wait_cancelled() noexcept { cancel_all(); }

private:
    void adopt(TaskRoot& task) noexcept;
    void on_child_done(TaskRoot& child) noexcept override;
    void on_child_destroyed() noexcept override { --size_; }

    IntrusiveList<TaskRoot, TaskOwner> children_;
    WaitingLine idle_;
    std::size_t size_ = 0;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/child_tasks.ipp>
#endif
