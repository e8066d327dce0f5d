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
    core.report_made([&]() -> ExceptionContext {
        return {.message = std::string(site.name) + " failed",
                .exception = std::move(exception),
                .error = {},
                .transport = site.transport,
                .protocol = site.protocol,
                .where = site.where};
    });
}

SLUICE_INLINE void report_if_slow(LoopCore& core, const CallSite& site,
                                  TimePoint started) noexcept {
    const Duration took = sys::now() - started;
    if (took < core.slow_callback_duration) {
        return;
    }
    core.report_made([&]() -> ExceptionContext {
        const double seconds = std::chrono::duration<double>(took).count();
        return {.message = "Executing " + std::string(site.name) + " took " +
                           std::to_string(seconds) + " seconds",
                .exception = {},
                .error = {},
                .transport = site.transport,
                .protocol = site.protocol,
                .where = site.where};
    });
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
