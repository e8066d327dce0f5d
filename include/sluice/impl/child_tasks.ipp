// Owning tasks: the list, waiting for its end, destroying it.
#pragma once

#include <sluice/detail/child_tasks.hpp>

#include <string>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void ChildTasks::adopt(TaskRoot& task) noexcept {
    task.set_owner(this);
    children_.push_back(task);
    ++size_;
}

SLUICE_INLINE void ChildTasks::cancel_all() noexcept {
    children_.for_each([](TaskRoot& child) { child.cancel(); });
}

SLUICE_INLINE void ChildTasks::destroy_all() noexcept {
    while (!children_.empty()) {
        // The youngest first: it may refer to what older ones hold, as everywhere in the language.
        children_.pop_back().end_now();
    }
    size_ = 0;
}

SLUICE_INLINE void ChildTasks::on_child_done(TaskRoot& child) noexcept {
    --size_;
    on_ended(child);
    if (idle()) {
        idle_.call_all();
    }
}

SLUICE_INLINE Task<bool> ChildTasks::wait_idle() {
    bool cancelled = false;
    while (!idle()) {
        try {
            const UntilIdle until_idle(*this);
            co_await until_idle;
        } catch (const Cancelled&) {
            cancelled = true;
            on_wait_cancelled();
        }
    }
    co_return cancelled;
}

}  // namespace sluice::inline v0_1::detail
