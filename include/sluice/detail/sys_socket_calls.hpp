// The part of the system seam that only the socket calls of the loop need: datagrams one at a time,
// and what a borrowed descriptor is like. The same rules as in sys.hpp.
#pragma once

#include <sluice/detail/sys.hpp>

namespace sluice::inline v0_1::detail::sys {

/// O_NONBLOCK. An error if `fd` is not open.
Result<bool> is_nonblocking(int fd) noexcept;
/// recvfrom(2). Of a datagram that is longer than `into` the rest is lost. `sender` is no address where
/// there is none.
IoResult sock_receive_from(int fd, MutableBytes into, SocketAddress& sender) noexcept;
/// sendto(2).
IoResult sock_send_to(int fd, Bytes from, const SocketAddress& to) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_calls.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_socket_calls.ipp>
#endif
