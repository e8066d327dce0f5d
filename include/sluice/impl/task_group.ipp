// The end of a task group: who is cancelled, what is thrown.
#pragma once

#include <sluice/task_group.hpp>

#include <new>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE TaskGroup::~TaskGroup() {
    destroy_all();
}

SLUICE_INLINE void TaskGroup::refuse() const {
    throw std::logic_error(finished_ ? "TaskGroup::create_task(): the group is finished"
                                     : "TaskGroup::create_task(): the group is shutting down");
}

SLUICE_INLINE void TaskGroup::cancel() noexcept {
    ending_ = true;
    cancel_all();
}

SLUICE_INLINE void TaskGroup::on_wait_cancelled() noexcept {
    // Once is enough: tasks that are cleaning up are not to be disturbed in that.
    if (!ending_) {
        cancel();
    }
}

SLUICE_INLINE void TaskGroup::on_ended(detail::TaskRoot& child) noexcept {
    const std::exception_ptr& exception = child.root_exception();
    if (!exception || detail::is_cancelled(exception)) {
        return;
    }
    try {
        failed_.emplace_back(child);
    } catch (const std::bad_alloc&) {
        // The task itself will report it, when nobody has a handle any more.
        out_of_memory_ = true;
    }
    if (detail::is_stop_loop(exception)) {
        stop_ = exception;
    }
    if (ending_) {
        return;
    }
    cancel();
    if (body_ != nullptr) {
        body_cancelled_ = true;
        body_->cancel();
    }
}

SLUICE_INLINE Task<> TaskGroup::wait() {
    return finish(nullptr);
}

SLUICE_INLINE std::vector<std::exception_ptr> TaskGroup::take_errors(
    std::exception_ptr body_failure) {
    std::vector<std::exception_ptr> errors;
    errors.reserve(failed_.size() + 1);
    for (const detail::TaskReference& failed : failed_) {
        failed.task()->mark_retrieved();
        errors.push_back(failed.task()->root_exception());
    }
    failed_.clear();
    if (detail::is_stop_loop(body_failure)) {
        stop_ = body_failure;
    } else if (body_failure && !detail::is_cancelled(body_failure)) {
        errors.push_back(std::move(body_failure));
    }
    return errors;
}

SLUICE_INLINE Task<> TaskGroup::finish(std::exception_ptr body_failure) {
    detail::CurrentTask current;
    detail::TaskRoot& parent = co_await current;
    // From now on there is no body to cancel: waiting ends by itself.
    body_ = nullptr;
    bool cancelled = detail::is_cancelled(body_failure);
    if (body_failure) {
        cancel();
    }
    Task<bool> idle = wait_idle();
    const bool cancelled_here = co_await idle;
    cancelled = cancelled || cancelled_here;
    finished_ = true;
    if (std::exchange(body_cancelled_, false) && parent.uncancel() == 0) {
        // That was the group's own doing, and nobody else's.
        cancelled = false;
    }
    std::vector<std::exception_ptr> errors = take_errors(std::move(body_failure));
    if (stop_) {
        std::rethrow_exception(stop_);
    }
    if (out_of_memory_) {
        throw std::bad_alloc();
    }
    if (!errors.empty()) {
        if (parent.cancelling() > 0) {
            // Whoever cancelled the task must not wait in vain: it is due at the next await.
            parent.uncancel();
            parent.cancel();
        }
        throw ExceptionGroup("unhandled errors in a TaskGroup", std::move(errors));
    }
    if (cancelled) {
        throw Cancelled();
    }
}

}  // namespace sluice::inline v0_1
