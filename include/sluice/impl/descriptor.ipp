// Closing a descriptor.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/sys.hpp>

namespace sluice::inline v0_1 {

SLUICE_INLINE void Descriptor::reset() noexcept {
    if (const int fd = release(); fd != none) {
        detail::sys::close(fd);
    }
}

}  // namespace sluice::inline v0_1
