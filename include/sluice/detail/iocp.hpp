// The IOCP backend: an I/O completion port, at which polls of sockets and their operations complete.
#pragma once

#include <sluice/detail/poller.hpp>

#include <memory>

namespace sluice::inline v0_1::detail {

/// Throws std::system_error when the system refuses it.
std::unique_ptr<Poller> make_iocp_poller();

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && SLUICE_HAS_IOCP
#include <sluice/impl/iocp.ipp>
#include <sluice/impl/iocp_accept.ipp>
#include <sluice/impl/iocp_sendfile.ipp>
#include <sluice/impl/iocp_streams.ipp>
#endif
