// Accepting, starting, reporting and ending jobs.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/job_scheduler.hpp>
#include <sluice/timeout.hpp>

#include <limits>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE JobScheduler::JobScheduler(JobLimits limits)
    : limits_(limits),
      // The greatest number stands for "any number".
      places_(limits.pending < std::numeric_limits<std::size_t>::max() - limits.running
                  ? limits.running + limits.pending
                  : std::numeric_limits<std::size_t>::max()) {
    if (limits.running == 0) {
        throw std::invalid_argument("JobScheduler: running is 0, no job could ever run");
    }
}

SLUICE_INLINE JobScheduler::~JobScheduler() {
    // What jobs start while they are destroyed would never run.
    closed_ = true;
    drop_pending();
    destroy_all();
}

SLUICE_INLINE Task<> JobScheduler::spawn(Task<> job, std::source_location where) {
    if (!closed_) {
        Acquire place = places_.acquire();
        Permit permit = co_await place;
        if (!closed_) {
            accept(std::move(job), where);
            permit.detach();
            co_return;
        }
    }
    job.discard();
    throw std::logic_error("JobScheduler::spawn(): the scheduler is closed");
}

SLUICE_INLINE bool JobScheduler::try_spawn(Task<> job, std::source_location where) {
    Permit permit = closed_ ? Permit() : places_.try_acquire();
    if (!permit) {
        job.discard();
        return false;
    }
    accept(std::move(job), where);
    permit.detach();
    return true;
}

SLUICE_INLINE void JobScheduler::accept(Task<> job, std::source_location where) {
    loop_ = &detail::running_loop_for("JobScheduler::spawn");
    if (size() < limits_.running) {
        begin(std::move(job), where);
    } else {
        pending_.push_back({std::move(job), where});
    }
}

SLUICE_INLINE void JobScheduler::begin(Task<> job, std::source_location where) {
    if (limits_.job_timeout != Duration::max()) {
        job = timeout(limits_.job_timeout, std::move(job));
    }
    start(*loop_, std::move(job), where);
}

SLUICE_INLINE void JobScheduler::begin_pending() noexcept {
    while (!pending_.empty() && size() < limits_.running) {
        Pending next = std::move(pending_.front());
        pending_.pop_front();
        try {
            begin(std::move(next.job), next.where);
        } catch (...) {
            places_.release();
            detail::report_unretrieved(loop_->core(), "a job could not be started",
                                       std::current_exception(), next.where);
        }
    }
}

SLUICE_INLINE void JobScheduler::on_ended(detail::TaskRoot& child) noexcept {
    child.mark_retrieved();
    const std::exception_ptr& exception = child.root_exception();
    if (exception && !detail::is_stop_loop(exception)) {
        detail::report_unretrieved(child.core(), "a job failed", exception, child.where());
    }
    places_.release();
    begin_pending();
}

SLUICE_INLINE void JobScheduler::drop_pending() noexcept {
    while (!pending_.empty()) {
        pending_.front().job.discard();
        pending_.pop_front();
        places_.release();
    }
}

SLUICE_INLINE Task<bool> JobScheduler::close(Duration grace) {
    closed_ = true;
    bool in_time = true;
    bool cancelled = false;
    try {
        Task<> ended = timeout(grace, UntilIdle(*this));
        co_await ended;
    } catch (const TimeoutError&) {
        in_time = false;
    } catch (const Cancelled&) {
        cancelled = true;
    }
    drop_pending();
    cancel_all();
    Task<bool> idle = wait_idle();
    const bool cancelled_here = co_await idle;
    if (cancelled || cancelled_here) {
        throw Cancelled();
    }
    co_return in_time;
}

}  // namespace sluice::inline v0_1
