// Functions of Winsock that are no part of its library: a socket is asked for them.
#pragma once

#include <sluice/impl/windows_handles.ipp>

#include <atomic>

#include <mswsock.h>

namespace sluice::inline v0_1::detail::sys {

/// Null: there is none, and WSAGetLastError() says why.
template <class Function>
Function extension_function(int fd, GUID id) noexcept {
    // That of one socket is that of all: below the filters that somebody may have plugged in, which know
    // nothing of a completion port, every one is AFD's.
    static std::atomic<Function> known{nullptr};
    Function function = known.load(std::memory_order_relaxed);
    DWORD size = 0;
    if (function == nullptr &&
        ::WSAIoctl(native_socket(fd), SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function,
                   sizeof function, &size, nullptr, nullptr) == 0) {
        known.store(function, std::memory_order_relaxed);
    }
    return function;
}

}  // namespace sluice::inline v0_1::detail::sys
