// The version the library was compiled as.
#pragma once

#include <sluice/config.hpp>

namespace sluice::inline v0_1 {

SLUICE_INLINE const char* version() noexcept {
    return SLUICE_VERSION_STRING;
}

}  // namespace sluice::inline v0_1
