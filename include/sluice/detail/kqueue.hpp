// The kqueue backend (macOS, the BSDs): level-triggered, a knote for each direction of a
// descriptor, changed only when the interest changes.
#pragma once

#include <sluice/detail/poller.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

/// Throws std::system_error when the system has no descriptor to give.
std::unique_ptr<Poller> make_kqueue_poller();

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && SLUICE_HAS_KQUEUE
#include <sluice/impl/kqueue.ipp>
#endif
