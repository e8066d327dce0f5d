// The one way to call user code: enter the callback scope, call, catch, report, flush what was
// gathered.
//
// Whoever dispatches must re-read its own state afterwards: the user may have closed, aborted or
// replaced anything.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/error.hpp>

#include <exception>
#include <utility>

namespace sluice::inline v0_1::detail {

/// Who is being called, for reports.
struct CallSite {
    const char* name;  // e.g. "protocol.data_received()"
    Transport* transport = nullptr;
    BaseProtocol* protocol = nullptr;
    std::source_location where{};
};

void report_failure(LoopCore& core, const CallSite& site, std::exception_ptr exception) noexcept;
void report_if_slow(LoopCore& core, const CallSite& site, TimePoint started) noexcept;

/// The code a failed callback ends a connection with: its own if it threw a std::system_error.
std::error_code error_of(const std::exception_ptr& exception) noexcept;

/// Between construction and destruction the loop counts as running a callback; gathered writes
/// leave at the end.
class CallbackScope {
public:
    CallbackScope(LoopCore& core, const CallSite& site) noexcept : core_(core), site_(site) {
        core_.enter_callback();
        if (core_.debug()) [[unlikely]] {
            started_ = sys_now();
        }
    }
    CallbackScope(const CallbackScope&) = delete;
    CallbackScope& operator=(const CallbackScope&) = delete;
    ~CallbackScope() {
        if (core_.debug()) [[unlikely]] {
            report_if_slow(core_, site_, started_);
        }
        core_.leave_callback();
    }

private:
    static TimePoint sys_now() noexcept;

    LoopCore& core_;
    const CallSite& site_;
    TimePoint started_{};
};

/// Calls `function`. Returns what it threw, already reported, or null. StopLoop is handed to the
/// loop and counts as success.
template <class F>
std::exception_ptr dispatch(LoopCore& core, const CallSite& site, F&& function) noexcept {
    const CallbackScope scope(core, site);
    try {
        std::forward<F>(function)();
        return nullptr;
    } catch (const StopLoop&) {
        core.exit_with(std::current_exception());
        return nullptr;
    } catch (...) {
        std::exception_ptr exception = std::current_exception();
        report_failure(core, site, exception);
        return exception;
    }
}

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/dispatch.ipp>
#include <sluice/impl/loop_core.ipp>
#endif
