// Bringing a dropped RemoteRef home.
#pragma once

#include <sluice/detail/loop_core.hpp>
#include <sluice/remote_ref.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE bool is_open(const RemoteQueue& remote) noexcept {
    return remote.is_open();
}

SLUICE_INLINE void release_slot(RemoteQueue& remote, RemoteSlot* slot) noexcept {
    // When the loop is closed it has deleted the slot; the callback is then dropped without being
    // run.
    Callback release([slot] { delete slot; });
    try {
        remote.post(release);
    } catch (const std::bad_alloc&) {
        // The object then stays until the loop is closed.
    }
}

}  // namespace sluice::inline v0_1::detail
