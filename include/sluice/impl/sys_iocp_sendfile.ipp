// Sending files at a completion port, behind the sys seam.
#pragma once

#include <sluice/impl/windows_extensions.ipp>
#include <sluice/impl/windows_operations.ipp>

#include <sluice/config.hpp>
#include <sluice/detail/sys_iocp.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <system_error>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE bool is_client_edition() noexcept {
    OSVERSIONINFOEXW client{};
    client.dwOSVersionInfoSize = sizeof client;
    client.wProductType = VER_NT_WORKSTATION;
    return ::VerifyVersionInfoW(&client, VER_PRODUCT_TYPE,
                                ::VerSetConditionMask(0, VER_PRODUCT_TYPE, VER_EQUAL)) != FALSE;
}

/// By the status of the system: Winsock has no word for the end of a file, and calls what it cannot
/// translate WSAEINVAL.
inline bool has_met_end_of_file(const SocketOperation& sending) noexcept {
    constexpr auto end_of_file = static_cast<NTSTATUS>(0xC0000011);  // STATUS_END_OF_FILE
    return static_cast<NTSTATUS>(sending.overlapped.Internal) == end_of_file;
}

SLUICE_INLINE IoResult start_sendfile(int fd, int file, std::int64_t offset, std::size_t count,
                                      SocketOperation& sending) noexcept {
    const auto transmit_file = extension_function<LPFN_TRANSMITFILE>(fd, WSAID_TRANSMITFILE);
    if (transmit_file == nullptr) {
        return IoResult::failure(::WSAGetLastError());
    }
    // To TransmitFile 0 is the whole file, and more than this too much.
    constexpr std::size_t most = 0x7ffffffe;
    SLUICE_ASSERT(count != 0);
    sending.overlapped = {};
    sending.overlapped.Offset = static_cast<DWORD>(static_cast<std::uint64_t>(offset));
    sending.overlapped.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
    if (transmit_file(native_socket(fd), native_handle(file),
                      static_cast<DWORD>(std::min(count, most)), 0, &sending.overlapped, nullptr,
                      0) != FALSE) {
        return IoResult::would_block();
    }
    const int error = ::WSAGetLastError();
    if (error == WSA_IO_PENDING) {
        return IoResult::would_block();
    }
    return error == ERROR_HANDLE_EOF || has_met_end_of_file(sending) ? IoResult(0)
                                                                     : IoResult::failure(error);
}

SLUICE_INLINE IoResult sent_file(int fd, SocketOperation& sending) noexcept {
    const IoResult result = operation_result(fd, sending);
    if (result.ok()) {
        return result;
    }
    if (has_met_end_of_file(sending)) {
        return IoResult(0);
    }
    // Of sendfile(2) these say that nothing has been sent and that another way is to be tried. Here a part
    // may have left, nobody knows how much. For the same reason one that was cancelled ends its connection,
    // which nobody does but us: what completes at a port outlives the thread that began it.
    const std::error_code error = result.error();
    const bool like_refusal = error == std::errc::invalid_argument ||
                              error == std::errc::function_not_supported ||
                              error == std::errc::operation_not_supported;
    return like_refusal ? IoResult::failure(ERROR_READ_FAULT) : result;
}

}  // namespace sluice::inline v0_1::detail::sys
