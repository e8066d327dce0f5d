// What accepting, the socket calls and a process's inheritance need of Windows besides
// sys_windows.ipp.
#pragma once

#include <sluice/impl/sys_windows.ipp>

#include <sluice/detail/sys_accept.hpp>
#include <sluice/detail/sys_inherited.hpp>
#include <sluice/detail/sys_socket_calls.hpp>
#include <sluice/listen_fds.hpp>

#include <cstdlib>

#include <bcrypt.h>

namespace sluice::inline v0_1::detail::sys {

// ---- accepting ----

SLUICE_INLINE IoResult peek(int fd, MutableBytes into) noexcept {
    const IoResult peeked =
        moved(::recv(native_socket(fd), chars(into), clamped(into.size()), MSG_PEEK));
    return peeked;
}

SLUICE_INLINE SocketAddress accepted_peer(int fd, Family /*family*/) noexcept {
    NativeAddress address;
    return ::getpeername(native_socket(fd), address.get(), &address.size) == 0 ? address.value()
                                                                               : SocketAddress{};
}

SLUICE_INLINE std::uint64_t random_bits() noexcept {
    std::uint64_t bits = 0;
    if (::BCryptGenRandom(nullptr, reinterpret_cast<PUCHAR>(&bits), sizeof bits,
                          BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0) {
        // The clock and where the stack is.
        bits = static_cast<std::uint64_t>(now().time_since_epoch().count()) ^
               reinterpret_cast<std::uintptr_t>(&bits);
    }
    return bits;
}

// ---- socket calls ----

SLUICE_INLINE Result<bool> is_nonblocking(int fd) noexcept {
    // That cannot be asked; here it is what it must be.
    const std::error_code error = set_nonblocking(fd);
    return error ? Result<bool>::failure(error.value()) : Result<bool>(true);
}

SLUICE_INLINE IoResult sock_receive_from(int fd, MutableBytes into,
                                         SocketAddress& sender) noexcept {
    NativeAddress address;
    const int count = ::recvfrom(native_socket(fd), chars(into), clamped(into.size()), 0,
                                 address.get(), &address.size);
    // The rest of a datagram that was too long is lost, which POSIX does not call an error.
    const bool truncated = count < 0 && ::WSAGetLastError() == WSAEMSGSIZE;
    const IoResult received = truncated ? IoResult(into.size()) : moved(count);
    if (received.ok() && address.size != 0) {
        sender = address.value();
    }
    return received;
}

SLUICE_INLINE IoResult sock_send_to(int fd, Bytes from, const SocketAddress& to) noexcept {
    const NativeAddress address(to);
    return moved(::sendto(native_socket(fd), chars(from), clamped(from.size()), 0, address.get(),
                          address.size));
}

// ---- inheritance ----

SLUICE_INLINE int process_id() noexcept {
    return static_cast<int>(::GetCurrentProcessId());
}

SLUICE_INLINE std::optional<std::string> environment_variable(const char* name) {
    std::string value;
    // Another thread may make it longer between asking for the size and for the value.
    for (DWORD size = 128; size > value.size();) {
        value.resize(size);
        size = ::GetEnvironmentVariableA(name, value.data(), static_cast<DWORD>(value.size()));
        if (size == 0) {
            return ::GetLastError() == ERROR_ENVVAR_NOT_FOUND ? std::nullopt
                                                              : std::optional<std::string>("");
        }
        if (size < value.size()) {
            value.resize(size);
            return value;
        }
    }
    return value;
}

SLUICE_INLINE void remove_environment_variable(const char* name) noexcept {
    ::SetEnvironmentVariableA(name, nullptr);
}

SLUICE_INLINE std::error_code set_close_on_exec(int fd) noexcept {
    if (::SetHandleInformation(native_handle(fd), HANDLE_FLAG_INHERIT, 0) != 0) {
        return {};
    }
    return system_error(static_cast<int>(::GetLastError()));
}

SLUICE_INLINE DescriptorKind descriptor_kind(int fd) noexcept {
    const Result<SocketType> type = socket_type(fd);
    if (!type.ok()) {
        return ::GetFileType(native_handle(fd)) == FILE_TYPE_PIPE ? DescriptorKind::pipe
                                                                  : DescriptorKind::other;
    }
    if (type.value() == SocketType::datagram) {
        return DescriptorKind::datagram;
    }
    const Result<bool> listening = is_listening(fd);
    return listening.ok() && listening.value() ? DescriptorKind::stream_listener
                                               : DescriptorKind::stream;
}

}  // namespace sluice::inline v0_1::detail::sys
