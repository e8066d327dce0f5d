// The tasks of a gather(): the first failure, and the end.
#pragma once

#include <sluice/gather.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void Siblings::on_ended(TaskRoot& child) noexcept {
    if (!together_ || !child.root_exception() || first_failed_.task() != nullptr) {
        return;
    }
    first_failed_ = TaskReference(child);
    cancel_all();
}

SLUICE_INLINE Task<> Siblings::all() {
    Task<bool> idle = wait_idle();
    const bool cancelled = co_await idle;
    if (cancelled) {
        throw Cancelled();
    }
    if (TaskRoot* const failed = first_failed_.task()) {
        failed->mark_retrieved();
        std::rethrow_exception(failed->root_exception());
    }
}

}  // namespace sluice::inline v0_1::detail
