// System calls of what stands between accepting a connection and serving it.
#pragma once

#include <sluice/detail/sys.hpp>

namespace sluice::inline v0_1::detail::sys {

/// recv() that leaves the bytes where they are (MSG_PEEK). 0 is the end of the stream.
IoResult peek(int fd, MutableBytes into) noexcept;
/// Whom a socket that somebody else has accepted is connected to, what accept() would have said: also when
/// that peer has reset the connection meanwhile. `family` is the listener's.
SocketAddress accepted_peer(int fd, Family family) noexcept;
/// Bits that a peer cannot guess; should the system have none, some that it probably cannot.
std::uint64_t random_bits() noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_calls.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_accept.ipp>
#endif
