// The epoll backend (Linux): level-triggered, one registration per descriptor, changed only when
// the interest changes.
#pragma once

#include <sluice/detail/poller.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

/// Throws std::system_error when the system has no descriptor to give.
std::unique_ptr<Poller> make_epoll_poller();

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && SLUICE_HAS_EPOLL
#include <sluice/impl/epoll.ipp>
#endif
