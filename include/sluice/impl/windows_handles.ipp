// Handles of Windows as descriptors.
//
// A descriptor is a handle of the kernel, of a socket or a file. Those have 32 significant bits, the
// lowest two of them zero, so an int holds one (Windows documents both).
#pragma once

#include <sluice/impl/windows_headers.ipp>

#include <sluice/config.hpp>

#include <cstdint>

namespace sluice::inline v0_1::detail::sys {

inline SOCKET native_socket(int fd) noexcept {
    // Sign extension gives INVALID_SOCKET for Descriptor::none.
    return static_cast<SOCKET>(static_cast<std::intptr_t>(fd));
}

inline HANDLE native_handle(int fd) noexcept {
    return reinterpret_cast<HANDLE>(static_cast<std::intptr_t>(fd));
}

inline int descriptor_of(SOCKET socket) noexcept {
    return static_cast<int>(socket);
}

inline int descriptor_of(HANDLE handle) noexcept {
    return static_cast<int>(reinterpret_cast<std::intptr_t>(handle));
}

/// Lets this process use sockets, once and until it ends. Which calls need it first: those that make
/// a socket or ask for a name.
inline void start_sockets() noexcept {
    static const int started = [] {
        WSADATA data;
        return ::WSAStartup(MAKEWORD(2, 2), &data);
    }();
    static_cast<void>(started);
}

}  // namespace sluice::inline v0_1::detail::sys
