// Sending files at a completion port, behind the sys seam.
#pragma once

#include <sluice/impl/windows_extensions.ipp>
#include <sluice/impl/windows_operations.ipp>

#include <sluice/detail/sys_iocp.hpp>

#include <cstdint>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE IoResult start_sendfile(int fd, int file, std::int64_t offset, std::size_t count,
                                      SocketOperation& sending) noexcept {
    const auto transmit_file = extension_function<LPFN_TRANSMITFILE>(fd, WSAID_TRANSMITFILE);
    if (transmit_file == nullptr) {
        return IoResult::failure(::WSAGetLastError());
    }
    sending.overlapped = {};
    sending.overlapped.Offset = static_cast<DWORD>(static_cast<std::uint64_t>(offset));
    sending.overlapped.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
    if (transmit_file(native_socket(fd), native_handle(file), static_cast<DWORD>(count), 0,
                      &sending.overlapped, nullptr, 0) != FALSE) {
        return IoResult::would_block();
    }
    const int error = ::WSAGetLastError();
    if (error == WSA_IO_PENDING) {
        return IoResult::would_block();
    }
    return error == ERROR_HANDLE_EOF ? IoResult(0) : IoResult::failure(error);
}

}  // namespace sluice::inline v0_1::detail::sys
