// Peeking, peers and random bits.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_accept.hpp>

#include <sys/socket.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE IoResult peek(int fd, MutableBytes into) noexcept {
    return moved(retry_interrupted([&] { return ::recv(fd, into.data(), into.size(), MSG_PEEK); }));
}

SLUICE_INLINE SocketAddress accepted_peer(int fd, Family family) noexcept {
    NativeAddress address;
    return os::accepted_peer(fd, family, address.get(), &address.size) == 0 ? address.value()
                                                                            : SocketAddress{};
}

SLUICE_INLINE std::uint64_t random_bits() noexcept {
    std::uint64_t bits = 0;
    if (!os::random(std::as_writable_bytes(std::span(&bits, 1)))) {
        // The clock and where the stack is.
        bits = static_cast<std::uint64_t>(now().time_since_epoch().count()) ^
               reinterpret_cast<std::uintptr_t>(&bits);
    }
    return bits;
}

}  // namespace sluice::inline v0_1::detail::sys
