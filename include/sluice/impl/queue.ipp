// Who is called when a queue changes.
#pragma once

#include <sluice/queue.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void QueueState::call_getters() noexcept {
    while (can_get() && getters.call_next() != nullptr) {
        ++promised_values;
    }
}

SLUICE_INLINE void QueueState::call_putters() noexcept {
    while (can_put() && putters.call_next() != nullptr) {
        ++promised_room;
    }
}

SLUICE_INLINE void QueueState::shut_down() noexcept {
    is_shut_down = true;
    while (getters.call_next() != nullptr) {
        ++promised_values;
    }
    while (putters.call_next() != nullptr) {
        ++promised_room;
    }
}

SLUICE_INLINE void QueueState::finish(std::size_t count) noexcept {
    unfinished -= count;
    if (unfinished == 0) {
        joiners.call_all();
    }
}

}  // namespace sluice::inline v0_1::detail
