// Accepting at a completion port, behind the sys seam.
#pragma once

#include <sluice/impl/windows_extensions.ipp>
#include <sluice/impl/windows_operations.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_iocp.hpp>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE std::error_code start_accept(int listener, Family family,
                                           AcceptOperation& accept) noexcept {
    const auto accept_ex = extension_function<LPFN_ACCEPTEX>(listener, WSAID_ACCEPTEX);
    if (accept_ex == nullptr) {
        return system_error(::WSAGetLastError());
    }
    const Result<int> opened = open_socket(family, SocketType::stream);
    if (!opened.ok()) {
        return opened.error();
    }
    accept.socket = PendingSocket(Descriptor(opened.value()));
    accept.overlapped = {};
    DWORD received = 0;
    if (accept_ex(native_socket(listener), accept.socket.handle(), accept.addresses.data(), 0,
                  AcceptOperation::address_bytes, AcceptOperation::address_bytes, &received,
                  &accept.overlapped) != FALSE) {
        return {};
    }
    const int error = ::WSAGetLastError();
    return error == WSA_IO_PENDING ? std::error_code{} : system_error(error);
}

SLUICE_INLINE Result<int> accepted_connection(int listener, AcceptOperation& accept) noexcept {
    const IoResult result = operation_result(listener, accept);
    const Result<int> connection = result.ok() ? accept.socket.accepted(listener)
                                               : Result<int>::failure(result.error().value());
    // Whatever it is, it is wrong with this one, which was reset for example (Wine then says that it is not
    // connected). A listener that cannot accept any more refuses the next AcceptEx.
    return connection.ok() ? connection : Result<int>::failure(WSAECONNABORTED);
}

}  // namespace sluice::inline v0_1::detail::sys
