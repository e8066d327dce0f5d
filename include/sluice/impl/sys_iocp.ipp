// The completion port, AFD and operations of sockets behind the sys seam.
#pragma once

#include <sluice/impl/windows_handles.ipp>
#include <sluice/impl/windows_operations.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_iocp.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <limits>

namespace sluice::inline v0_1::detail::sys {

// What a handle's completions come with.
inline constexpr ULONG_PTR afd_key = 0;
inline constexpr ULONG_PTR socket_key = 1;

SLUICE_INLINE int windows_error(NTSTATUS status) noexcept {
    return static_cast<int>(::RtlNtStatusToDosError(status));
}

SLUICE_INLINE Result<int> open_completion_port() noexcept {
    start_sockets();
    const HANDLE port = ::CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1);
    return port != nullptr ? Result<int>(descriptor_of(port))
                           : Result<int>::failure(static_cast<int>(::GetLastError()));
}

SLUICE_INLINE Result<int> open_afd(int port) noexcept {
    // What comes after the name of the device is ours to choose.
    wchar_t path[] = L"\\Device\\Afd\\Sluice";
    UNICODE_STRING name{};
    name.Buffer = path;
    name.Length = sizeof path - sizeof *path;
    name.MaximumLength = sizeof path;
    OBJECT_ATTRIBUTES attributes{};
    attributes.Length = sizeof attributes;
    attributes.ObjectName = &name;
    IO_STATUS_BLOCK outcome{};
    HANDLE afd = nullptr;
    const NTSTATUS status =
        ::NtCreateFile(&afd, SYNCHRONIZE, &attributes, &outcome, nullptr, 0,
                       FILE_SHARE_READ | FILE_SHARE_WRITE, FILE_OPEN, 0, nullptr, 0);
    if (status < 0) {
        return Result<int>::failure(windows_error(status));
    }
    // Nobody waits for the handle itself.
    if (::CreateIoCompletionPort(afd, native_handle(port), afd_key, 0) == nullptr ||
        ::SetFileCompletionNotificationModes(afd, FILE_SKIP_SET_EVENT_ON_HANDLE) == 0) {
        const auto error = static_cast<int>(::GetLastError());
        ::CloseHandle(afd);
        return Result<int>::failure(error);
    }
    return descriptor_of(afd);
}

SLUICE_INLINE Result<int> base_socket(int fd) noexcept {
    // Asked first, since Wine answers the call below for any handle.
    if (!socket_type(fd).ok()) {
        ::SetLastError(NO_ERROR);
        const bool is_open =
            ::GetFileType(native_handle(fd)) != FILE_TYPE_UNKNOWN || ::GetLastError() == NO_ERROR;
        return Result<int>::failure(is_open ? WSAENOTSOCK : ERROR_INVALID_HANDLE);
    }
    SOCKET base = INVALID_SOCKET;
    DWORD size = 0;
    constexpr DWORD base_handle = IOC_OUT | IOC_WS2 | 34;  // SIO_BASE_HANDLE
    if (::WSAIoctl(native_socket(fd), base_handle, nullptr, 0, &base, sizeof base, &size, nullptr,
                   nullptr) != 0) {
        return Result<int>::failure(::WSAGetLastError());
    }
    return descriptor_of(base);
}

SLUICE_INLINE std::error_code start_poll(int afd, int socket, std::uint32_t events,
                                         AfdPoll& poll) noexcept {
    poll.outcome = {};
    poll.info.timeout.QuadPart = std::numeric_limits<LONGLONG>::max();
    poll.info.handle_count = 1;
    poll.info.exclusive = FALSE;
    poll.info.handles[0] = {native_handle(socket), events, 0};
    const NTSTATUS status = ::NtDeviceIoControlFile(native_handle(afd), nullptr, nullptr, &poll,
                                                    &poll.outcome, afd_poll_code, &poll.info,
                                                    sizeof poll.info, &poll.info, sizeof poll.info);
    return status >= 0 ? std::error_code{} : system_error(windows_error(status));
}

SLUICE_INLINE void cancel_poll(int afd, AfdPoll& poll) noexcept {
    // It takes the status block for what it is a part of with other calls.
    static_cast<void>(
        ::CancelIoEx(native_handle(afd), reinterpret_cast<OVERLAPPED*>(&poll.outcome)));
}

SLUICE_INLINE std::error_code use_port(int port, int fd) noexcept {
    return ::CreateIoCompletionPort(native_handle(fd), native_handle(port), socket_key, 0) !=
                   nullptr
               ? std::error_code{}
               : system_error(static_cast<int>(::GetLastError()));
}

SLUICE_INLINE std::error_code start_receive(int fd, SocketOperation& receive) noexcept {
    receive.overlapped = {};
    WSABUF nothing{};
    DWORD flags = 0;
    if (::WSARecv(native_socket(fd), &nothing, 1, nullptr, &flags, &receive.overlapped, nullptr) ==
        0) {
        return {};
    }
    const int error = ::WSAGetLastError();
    return error == WSA_IO_PENDING ? std::error_code{} : system_error(error);
}

SLUICE_INLINE void cancel_operation(int fd, SocketOperation& operation) noexcept {
    static_cast<void>(::CancelIoEx(native_handle(fd), &operation.overlapped));
}

SLUICE_INLINE IoResult operation_result(int fd, SocketOperation& operation) noexcept {
    DWORD count = 0;
    DWORD flags = 0;
    const BOOL done =
        ::WSAGetOverlappedResult(native_socket(fd), &operation.overlapped, &count, FALSE, &flags);
    return done != FALSE ? IoResult(count) : IoResult::failure(::WSAGetLastError());
}

/// Whoever began it gave its address; a wake has none.
SLUICE_INLINE PortCompletion operation_of(const OVERLAPPED_ENTRY& entry) noexcept {
    if (entry.lpCompletionKey == afd_key) {
        return {.poll = reinterpret_cast<AfdPoll*>(entry.lpOverlapped)};
    }
    static_assert(offsetof(SocketOperation, overlapped) == 0);
    return {.operation = reinterpret_cast<SocketOperation*>(entry.lpOverlapped)};
}

SLUICE_INLINE std::size_t wait_for_completions(int port, std::span<PortCompletion> completed,
                                               std::optional<Duration> timeout) noexcept {
    DWORD timeout_ms = INFINITE;
    if (timeout) {
        const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
        timeout_ms = static_cast<DWORD>(std::clamp<std::int64_t>(rounded, 0, INFINITE - 1));
    }
    std::array<OVERLAPPED_ENTRY, limits::poll_batch_events> entries;
    const auto room = static_cast<ULONG>(std::min(completed.size(), entries.size()));
    ULONG count = 0;
    if (::GetQueuedCompletionStatusEx(native_handle(port), entries.data(), room, &count, timeout_ms,
                                      FALSE) == 0) {
        return 0;
    }
    std::transform(entries.begin(), entries.begin() + count, completed.begin(), operation_of);
    return count;
}

SLUICE_INLINE bool post_wake(int port) noexcept {
    return ::PostQueuedCompletionStatus(native_handle(port), 0, afd_key, nullptr) != 0;
}

}  // namespace sluice::inline v0_1::detail::sys
