// Watching several tasks at once.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/wait.hpp>

namespace sluice::inline v0_1::detail {

// A handle whose task was destroyed with its loop has no task any more: that counts as ended.

SLUICE_INLINE TasksAwaiter::TasksAwaiter(const std::vector<TaskRoot*>& tasks, ReturnWhen when,
                                         Duration timeout)
    : watches_(std::make_unique<Watch[]>(tasks.size())),
      pending_(tasks.size()),
      when_(when),
      timeout_(timeout) {
    for (std::size_t index = 0; index < tasks.size(); ++index) {
        Watch& watch = watches_[index];
        watch.owner = this;
        watch.task = tasks[index];
        if (watch.task == nullptr) {
            --pending_;
        } else if (watch.task->completion().done()) {
            on_task_done(*watch.task);
        } else {
            watch.task->completion().add(watch);
        }
    }
    satisfied_ = satisfied_ || pending_ == 0 || timeout_ <= Duration::zero();
}

SLUICE_INLINE TasksAwaiter::~TasksAwaiter() {
    disarm();
}

SLUICE_INLINE void TasksAwaiter::on_task_done(const TaskRoot& task) noexcept {
    --pending_;
    const bool failed = task.root_exception() && !is_cancelled(task.root_exception());
    if (pending_ == 0 || when_ == ReturnWhen::first_completed ||
        (when_ == ReturnWhen::first_exception && failed)) {
        satisfy();
    }
}

SLUICE_INLINE void TasksAwaiter::satisfy() noexcept {
    if (!std::exchange(satisfied_, true) && !cancelled_ && root() != nullptr) {
        resume_soon();
    }
}

SLUICE_INLINE void TasksAwaiter::arm(TaskRoot& root) {
    if (timeout_ != Duration::max() && !cancelled_) {
        core_ = &root.core();
        core_->schedule(static_cast<Timer&>(*this), time_after(sys::now(), timeout_));
    }
}

SLUICE_INLINE void TasksAwaiter::disarm() noexcept {
    if (core_ != nullptr && scheduled()) {
        core_->cancel(*this);
    }
}

SLUICE_INLINE bool TasksAwaiter::cancel() noexcept {
    if (satisfied_ || cancelled_) {
        return false;
    }
    cancelled_ = true;
    resume_soon();
    return true;
}

SLUICE_INLINE void TasksAwaiter::await_resume() {
    disarm();
    resumed();
    if (cancelled_) {
        throw Cancelled();
    }
}

SLUICE_INLINE EndingOrder::EndingOrder(const std::vector<TaskRoot*>& tasks)
    : watches_(std::make_unique<Watch[]>(tasks.size())), left_(tasks.size()) {
    for (std::size_t index = 0; index < tasks.size(); ++index) {
        Watch& watch = watches_[index];
        watch.owner = this;
        if (tasks[index] == nullptr || tasks[index]->completion().done()) {
            on_ended(watch);
        } else {
            tasks[index]->completion().add(watch);
        }
    }
}

SLUICE_INLINE Task<std::size_t> EndingOrder::next() {
    if (left_ == 0) {
        throw std::logic_error("AsCompleted::next(): every task was handed out");
    }
    Claim claim(*this);
    while (ended_.empty()) {
        NewsPlace place(line_);
        co_await place;
        place.settle();
    }
    claim.use();
    const Watch& watch = ended_.pop_front();
    co_return static_cast<std::size_t>(&watch - watches_.get());
}

SLUICE_INLINE void EndingOrder::Watch::on_completed() noexcept {
    owner->on_ended(*this);
}

SLUICE_INLINE void EndingOrder::on_ended(Watch& watch) noexcept {
    ended_.push_back(watch);
    line_.call_next();
}

}  // namespace sluice::inline v0_1::detail
