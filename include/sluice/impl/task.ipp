// Driving, cancelling and ending tasks.
#pragma once

#include <sluice/detail/dispatch.hpp>
#include <sluice/task.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void TaskRoot::start(LoopCore& core, std::source_location where) noexcept {
    core_ = &core;
    if (where.line() != 0) {
        where_ = where;
    }
    held_by_loop_ = true;
    core.schedule(*this);
}

SLUICE_INLINE void TaskRoot::on_ready_phase() noexcept {
    const CallSite site{.name = "task", .where = where_};
    const CallbackScope scope(*core_, site);
    if (started_) {
        drive(suspended_);
    } else if (cancel_pending_) {
        // Cancelled before its first step: none of it runs, as in asyncio.
        set_root_exception(make_cancelled());
        finish();
    } else {
        started_ = true;
        drive(self_);
    }
}

SLUICE_INLINE void TaskRoot::drive(std::coroutine_handle<> coroutine) noexcept {
    next_ = coroutine;
    driving_ = true;
    while (next_) {
        std::exchange(next_, nullptr).resume();
    }
    driving_ = false;
    if (self_.done()) {
        finish();
    }
}

SLUICE_INLINE void TaskRoot::finish() noexcept {
    if (cancel_pending_ && !root_exception()) {
        // Cancelled after its last await: asyncio calls that cancelled too.
        set_root_exception(make_cancelled());
    }
    if (const std::exception_ptr& exception = root_exception()) {
        try {
            std::rethrow_exception(exception);
        } catch (const StopLoop&) {
            retrieved_ = true;
            core_->exit_with(exception);
        } catch (const Cancelled&) {
            retrieved_ = true;
        } catch (...) {
            // Kept for whoever asks; reported when nobody has.
        }
    }
    completion_.complete();
    if (TaskOwner* const owner = std::exchange(owner_, nullptr)) {
        ListNode<TaskOwner>::unlink();
        owner->on_child_done(*this);
    }
    held_by_loop_ = false;
    // May destroy this: nothing after it, here and in the callers, touches a member.
    destroy_if_unreferenced();
}

SLUICE_INLINE bool TaskRoot::cancel() noexcept {
    if (completion_.done()) {
        return false;
    }
    ++cancel_requests_;
    if (suspension_ == nullptr || !suspension_->cancel()) {
        cancel_pending_ = true;
    }
    return true;
}

SLUICE_INLINE std::uint32_t TaskRoot::uncancel() noexcept {
    if (cancel_requests_ > 0) {
        --cancel_requests_;
    }
    if (cancel_requests_ == 0) {
        cancel_pending_ = false;
    }
    return cancel_requests_;
}

SLUICE_INLINE void TaskRoot::suspend(std::coroutine_handle<> coroutine,
                                     Suspension& suspension) noexcept {
    suspended_ = coroutine;
    suspension_ = &suspension;
    if (cancel_pending_ && suspension.cancel()) {
        cancel_pending_ = false;
    }
}

SLUICE_INLINE void TaskRoot::resume_soon() noexcept {
    if (!Ready::linked()) {
        core_->schedule(*this);
    }
}

SLUICE_INLINE void TaskRoot::forget(Suspension& suspension) noexcept {
    if (suspension_ == &suspension) {
        suspension_ = nullptr;
    }
}

SLUICE_INLINE void TaskRoot::throw_if_cancelled() {
    if (std::exchange(cancel_pending_, false)) {
        throw Cancelled();
    }
}

SLUICE_INLINE void TaskRoot::add_done_callback(Callback callback) {
    if (core_ == nullptr) {
        throw std::logic_error("TaskHandle::add_done_callback(): Event loop is closed");
    }
    completion_.add_done_callback(*core_, std::move(callback));
}

SLUICE_INLINE void TaskRoot::leave_loop() noexcept {
    if (completion_.done()) {
        core_ = nullptr;
        return;
    }
    Ready::unlink();
    if (TaskOwner* const owner = std::exchange(owner_, nullptr)) {
        ListNode<TaskOwner>::unlink();
        owner->on_child_destroyed();
    }
    held_by_loop_ = false;
    retrieved_ = true;
    completion_.complete();
    destroy_frame();
}

SLUICE_INLINE void TaskRoot::end_now() noexcept {
    owner_ = nullptr;
    ListNode<TaskOwner>::unlink();
    if (driving_) {
        cancel();
    } else {
        leave_loop();
    }
}

SLUICE_INLINE void TaskRoot::destroy_if_unreferenced() noexcept {
    if (references_.empty() && !held_by_loop_) {
        if (core_ != nullptr && !retrieved_ && root_exception()) {
            report_unretrieved(*core_, "Task exception was never retrieved", root_exception(),
                               where_);
        }
        destroy_frame();
    }
}

SLUICE_INLINE void TaskRoot::destroy_frame() noexcept {
    while (!references_.empty()) {
        TaskReference& reference = references_.pop_front();
        reference.task_ = nullptr;
        reference.orphaned_ = true;
    }
    if (started_ && self_.done()) {
        self_.destroy();
    } else {
        destroy_unfinished(self_, nullptr);
    }
}

// ---- references ----

SLUICE_INLINE TaskReference& TaskReference::operator=(const TaskReference& other) noexcept {
    if (this == &other) {
        return *this;
    }
    if (task_ != other.task_) {
        TaskRoot* const task = other.task_;
        drop();
        refer_to(task);
    }
    orphaned_ = other.orphaned_;
    return *this;
}

SLUICE_INLINE void TaskReference::refer_to(TaskRoot* task) noexcept {
    task_ = task;
    if (task != nullptr) {
        task->references_.push_back(*this);
    }
}

SLUICE_INLINE void TaskReference::drop() noexcept {
    if (TaskRoot* const task = std::exchange(task_, nullptr)) {
        unlink();
        task->destroy_if_unreferenced();
    }
}

SLUICE_INLINE void report_unretrieved(LoopCore& core, const char* message,
                                      const std::exception_ptr& exception,
                                      std::source_location where) noexcept {
    if (!is_cancelled(exception)) {
        core.report_made([&]() -> ExceptionContext {
            return {.message = message, .exception = exception, .error = {}, .where = where};
        });
    }
}

}  // namespace sluice::inline v0_1::detail
