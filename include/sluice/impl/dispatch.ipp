// The rare paths of dispatch: something threw, or took long.
#pragma once

#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/sys.hpp>

#include <string>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE TimePoint CallbackScope::sys_now() noexcept {
    return sys::now();
}

SLUICE_INLINE void report_failure(LoopCore& core, const CallSite& site,
                                  std::exception_ptr exception) noexcept {
    ExceptionContext context;
    context.message = std::string(site.name) + " failed";
    context.exception = std::move(exception);
    context.transport = site.transport;
    context.protocol = site.protocol;
    context.where = site.where;
    core.report(context);
}

SLUICE_INLINE void report_if_slow(LoopCore& core, const CallSite& site,
                                  TimePoint started) noexcept {
    const Duration took = sys::now() - started;
    if (took < core.slow_callback_duration) {
        return;
    }
    ExceptionContext context;
    context.message = "Executing " + std::string(site.name) + " took " +
                      std::to_string(std::chrono::duration<double>(took).count()) + " seconds";
    context.transport = site.transport;
    context.protocol = site.protocol;
    context.where = site.where;
    core.report(context);
}

SLUICE_INLINE std::error_code error_of(const std::exception_ptr& exception) noexcept {
    try {
        std::rethrow_exception(exception);
    } catch (const std::system_error& error) {
        return error.code();
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    } catch (...) {
        return Error::callback_failed;
    }
}

}  // namespace sluice::inline v0_1::detail
