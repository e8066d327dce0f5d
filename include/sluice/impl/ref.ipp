// The end of a counted object.
#pragma once

#include <sluice/ref.hpp>

namespace sluice::inline v0_1::detail {

#ifdef __GNUC__
[[gnu::noinline]]
#endif
SLUICE_INLINE void last_reference_gone(RefCounted& object) noexcept {
    object.unreferenced();
}

}  // namespace sluice::inline v0_1::detail
