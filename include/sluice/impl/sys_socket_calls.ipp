// What the socket calls need besides sys_posix.ipp. One function, one system call.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_socket_calls.hpp>

#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<bool> is_nonblocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 ? Result<bool>((flags & O_NONBLOCK) != 0) : Result<bool>::failure(errno);
}

SLUICE_INLINE IoResult sock_receive_from(int fd, MutableBytes into,
                                         SocketAddress& sender) noexcept {
    NativeAddress address;
    const IoResult received = moved(retry_interrupted([&] {
        address.size = sizeof address.storage;
        return ::recvfrom(fd, into.data(), into.size(), 0, address.get(), &address.size);
    }));
    if (received.ok() && address.size != 0) {
        sender = address.value();
    }
    return received;
}

SLUICE_INLINE IoResult sock_send_to(int fd, Bytes from, const SocketAddress& to) noexcept {
    const NativeAddress address(to);
    return moved(retry_interrupted([&] {
        return ::sendto(fd, from.data(), from.size(), os::send_flags, address.get(), address.size);
    }));
}

}  // namespace sluice::inline v0_1::detail::sys
