// What a completion port completes: operations of sockets, and polls by AFD, the driver behind them. No
// header of Windows has the interface of AFD, but it is what select() and WSAPoll() of Windows use, and
// libuv, mio and wepoll with them.
#pragma once

#include <sluice/impl/windows_headers.ipp>
#include <sluice/impl/windows_pending_socket.ipp>

#include <array>
#include <cstddef>
#include <cstdint>

#include <winternl.h>

namespace sluice::inline v0_1::detail {

inline constexpr ULONG afd_poll_code = 0x00012024;  // IOCTL_AFD_POLL

inline constexpr std::uint32_t afd_receive = 0x0001;
inline constexpr std::uint32_t afd_send = 0x0004;
inline constexpr std::uint32_t afd_disconnect = 0x0008;   // the peer has said all
inline constexpr std::uint32_t afd_abort = 0x0010;        // it has reset the connection
inline constexpr std::uint32_t afd_local_close = 0x0020;  // comes unasked
inline constexpr std::uint32_t afd_accept = 0x0080;
inline constexpr std::uint32_t afd_connect_fail = 0x0100;

struct AfdPollHandle {
    HANDLE handle;
    ULONG events;
    NTSTATUS status;
};

struct AfdPollInfo {
    LARGE_INTEGER timeout;
    ULONG handle_count;
    ULONG exclusive;
    AfdPollHandle handles[1];
};

/// One poll: it is the system's until it has completed.
struct AfdPoll {
    IO_STATUS_BLOCK outcome{};
    AfdPollInfo info{};

    /// What happened, of what was asked for; nothing if the poll was cancelled or failed.
    [[nodiscard]] std::uint32_t events() const noexcept {
        return outcome.Status >= 0 && info.handle_count != 0 ? info.handles[0].events : 0;
    }
};

enum class SocketAction : std::uint8_t { receive, send_file, accept };

/// One operation of a socket: it is the system's until it has completed.
struct SocketOperation {
    explicit SocketOperation(SocketAction what) noexcept : action(what) {}

    OVERLAPPED overlapped{};
    SocketAction action;
};

/// An accept, with a socket made ahead for the connection.
struct AcceptOperation : SocketOperation {
    AcceptOperation() noexcept : SocketOperation(SocketAction::accept) {}

    // AcceptEx writes both addresses, with 16 bytes of its own behind each.
    static constexpr DWORD address_bytes = sizeof(sockaddr_in6) + 16;

    PendingSocket socket;
    std::array<std::byte, std::size_t{2} * address_bytes> addresses{};
};

}  // namespace sluice::inline v0_1::detail
