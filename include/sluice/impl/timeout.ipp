// The deadline of a timeout.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/timeout.hpp>

#include <sstream>

namespace sluice::inline v0_1 {

SLUICE_INLINE TimeoutError::TimeoutError(const std::string& what)
    : std::system_error(std::make_error_code(std::errc::timed_out), what) {}

SLUICE_INLINE TimeoutError::~TimeoutError() = default;

namespace detail {

SLUICE_INLINE TaskDeadline::TaskDeadline(TaskRoot& task, TimePoint when)
    : task_(task), core_(&task.core()), cancelling_before_(task.cancelling()) {
    if (when != TimePoint::max()) {
        core_->schedule(*this, when);
    }
}

SLUICE_INLINE bool TaskDeadline::settle() noexcept {
    if (scheduled()) {
        core_->cancel(*this);
    }
    return std::exchange(expired_, false) && task_.uncancel() <= cancelling_before_;
}

SLUICE_INLINE void TaskDeadline::on_timer() noexcept {
    expired_ = true;
    task_.cancel();
}

SLUICE_INLINE TimePoint beginning_now(const Limit& limit) noexcept {
    return limit.delay ? time_after(sys::now(), *limit.delay) : limit.when;
}

SLUICE_INLINE void throw_timeout(const Limit& limit) {
    if (!limit.delay) {
        throw TimeoutError("the deadline has passed");
    }
    const std::chrono::duration<double> seconds = *limit.delay;
    std::ostringstream text;
    text << "not done within " << seconds.count() << " s";
    throw TimeoutError(text.str());
}

}  // namespace detail
}  // namespace sluice::inline v0_1
