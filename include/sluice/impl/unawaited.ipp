// Debug mode's eye for coroutines that never ran: a Task that was made and dropped is a forgotten
// co_await more often than not.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/task.hpp>

#include <string>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void destroy_unfinished(std::coroutine_handle<> coroutine,
                                      const std::source_location* unawaited) noexcept {
    // Tasks that the coroutine holds and has not come to await are no mistake of their own.
    static thread_local bool inside = false;
    LoopCore* const core = LoopCore::running_here();
    if (unawaited != nullptr && !inside && core != nullptr && core->debug()) [[unlikely]] {
        core->report_made([&]() -> ExceptionContext {
            return {
                .message = std::string("a Task was never awaited: ") + unawaited->function_name(),
                .exception = {},
                .error = {},
                .where = *unawaited};
        });
    }
    const bool outer = std::exchange(inside, true);
    coroutine.destroy();
    inside = outer;
}

}  // namespace sluice::inline v0_1::detail
