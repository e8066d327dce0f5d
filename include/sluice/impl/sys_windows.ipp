// The system for Windows: sockets, clock, threads. Thin like sys_posix.ipp.
#pragma once

#include <sluice/impl/windows_handles.ipp>

#include <sluice/callback.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdint>
#include <cstring>
#include <new>
#include <thread>

namespace sluice::inline v0_1::detail::sys {

/// A SocketAddress in the form the system wants.
struct NativeAddress {
    sockaddr_storage storage{};
    int size = sizeof storage;

    NativeAddress() noexcept = default;
    explicit NativeAddress(const SocketAddress& address) noexcept;
    /// No address for families unknown here.
    [[nodiscard]] SocketAddress value() const noexcept;
    [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    [[nodiscard]] const sockaddr* get() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
};

SLUICE_INLINE NativeAddress::NativeAddress(const SocketAddress& address) noexcept {
    switch (address.family()) {
        case Family::ipv4: {
            auto* ipv4 = reinterpret_cast<sockaddr_in*>(&storage);
            ipv4->sin_family = AF_INET;
            ipv4->sin_port = ::htons(address.port());
            std::memcpy(&ipv4->sin_addr, address.ip_bytes().data(), 4);
            size = sizeof *ipv4;
            break;
        }
        case Family::ipv6: {
            auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
            ipv6->sin6_family = AF_INET6;
            ipv6->sin6_port = ::htons(address.port());
            ipv6->sin6_flowinfo = address.flow_info();
            ipv6->sin6_scope_id = address.scope_id();
            std::memcpy(&ipv6->sin6_addr, address.ip_bytes().data(), 16);
            size = sizeof *ipv6;
            break;
        }
        case Family::unix_domain:
        case Family::unspecified:
            size = 0;
            break;
    }
}

SLUICE_INLINE SocketAddress NativeAddress::value() const noexcept {
    switch (storage.ss_family) {
        case AF_INET: {
            const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage);
            std::array<std::uint8_t, 4> ip{};
            std::memcpy(ip.data(), &ipv4->sin_addr, ip.size());
            return SocketAddress::ipv4(ip, ::ntohs(ipv4->sin_port));
        }
        case AF_INET6: {
            const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(&storage);
            std::array<std::uint8_t, 16> ip{};
            std::memcpy(ip.data(), &ipv6->sin6_addr, ip.size());
            return SocketAddress::ipv6(ip, ::ntohs(ipv6->sin6_port), ipv6->sin6_scope_id,
                                       ipv6->sin6_flowinfo);
        }
        default:
            return {};
    }
}

SLUICE_INLINE int native(Family family) noexcept {
    switch (family) {
        case Family::ipv4:
            return AF_INET;
        case Family::ipv6:
            return AF_INET6;
        case Family::unix_domain:
            return AF_UNIX;
        case Family::unspecified:
            break;
    }
    return AF_UNSPEC;
}

SLUICE_INLINE int native(SocketType type) noexcept {
    return type == SocketType::stream ? SOCK_STREAM : SOCK_DGRAM;
}

SLUICE_INLINE std::error_code outcome(int result) noexcept {
    return result == 0 ? std::error_code{} : system_error(::WSAGetLastError());
}

/// Of a call that moves bytes of a socket.
SLUICE_INLINE IoResult moved(int count) noexcept {
    if (count >= 0) {
        return static_cast<std::size_t>(count);
    }
    const int error = ::WSAGetLastError();
    return error == WSAEWOULDBLOCK ? IoResult::would_block() : IoResult::failure(error);
}

/// The system counts bytes in an int.
SLUICE_INLINE int clamped(std::size_t byte_count) noexcept {
    return static_cast<int>(std::min(byte_count, static_cast<std::size_t>(INT_MAX)));
}

// Windows' socket calls take char.
SLUICE_INLINE char* chars(MutableBytes bytes) noexcept {
    return reinterpret_cast<char*>(bytes.data());
}
SLUICE_INLINE const char* chars(Bytes bytes) noexcept {
    return reinterpret_cast<const char*>(bytes.data());
}

// ---- time and threads ----

SLUICE_INLINE TimePoint now() noexcept {
    return Clock::now();
}

SLUICE_INLINE bool start_thread(Callback&& body) noexcept {
    try {
        std::thread([body = std::move(body)]() mutable { body(); }).detach();
        return true;
    } catch (const std::system_error&) {
        return false;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

SLUICE_INLINE bool has_threads() noexcept {
    return true;
}

SLUICE_INLINE unsigned processor_count() noexcept {
    const unsigned count = std::thread::hardware_concurrency();
    return count == 0 ? 1 : count;
}

SLUICE_INLINE bool call_in_forked_child(void (*)()) noexcept {
    return true;  // There is no fork(2).
}

// ---- sockets ----

SLUICE_INLINE std::error_code set_int_option(int fd, int level, int option, int value) noexcept {
    return outcome(::setsockopt(native_socket(fd), level, option,
                                reinterpret_cast<const char*>(&value), sizeof value));
}

SLUICE_INLINE Result<int> int_option(int fd, int level, int option) noexcept {
    int value = 0;
    int size = sizeof value;
    if (::getsockopt(native_socket(fd), level, option, reinterpret_cast<char*>(&value), &size) !=
        0) {
        return Result<int>::failure(::WSAGetLastError());
    }
    return value;
}

/// Whether what ICMP says of a datagram comes out of the next receive call.
SLUICE_INLINE void report_unreachable(int fd, bool on) noexcept {
    constexpr DWORD udp_connection_reset = IOC_IN | IOC_VENDOR | 12;  // SIO_UDP_CONNRESET
    BOOL value = on ? TRUE : FALSE;
    DWORD size = 0;
    static_cast<void>(::WSAIoctl(native_socket(fd), udp_connection_reset, &value, sizeof value,
                                 nullptr, 0, &size, nullptr, nullptr));
}

SLUICE_INLINE Result<int> open_socket(Family family, SocketType type) noexcept {
    if (family == Family::unix_domain) {
        return Result<int>::failure(WSAEOPNOTSUPP);
    }
    start_sockets();
    const SOCKET opened = ::WSASocketW(native(family), native(type), 0, nullptr, 0,
                                       WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (opened == INVALID_SOCKET) {
        return Result<int>::failure(::WSAGetLastError());
    }
    const int fd = descriptor_of(opened);
    if (const std::error_code error = set_nonblocking(fd)) {
        ::closesocket(opened);
        return Result<int>::failure(error.value());
    }
    if (family == Family::ipv6) {
        // As elsewhere, such a socket takes IPv4, too, unless it is told otherwise. One that cannot
        // stays as it is.
        static_cast<void>(set_option(fd, SocketOption::v6_only, false));
    }
    if (type == SocketType::datagram) {
        // Else every peer that is gone makes receiving fail, of a socket without one peer, too.
        report_unreachable(fd, false);
    }
    return fd;
}

SLUICE_INLINE std::error_code set_option(int fd, SocketOption option, bool on) noexcept {
    const int value = on ? 1 : 0;
    switch (option) {
        case SocketOption::no_delay:
            return set_int_option(fd, IPPROTO_TCP, TCP_NODELAY, value);
        case SocketOption::reuse_address:
            return {};  // See bind().
        case SocketOption::keep_alive:
            return set_int_option(fd, SOL_SOCKET, SO_KEEPALIVE, value);
        case SocketOption::v6_only:
            return set_int_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, value);
        case SocketOption::reuse_port:
        case SocketOption::cork:
            break;
    }
    return system_error(WSAEOPNOTSUPP);
}

SLUICE_INLINE std::error_code set_nonblocking(int fd) noexcept {
    u_long on = 1;
    return outcome(::ioctlsocket(native_socket(fd), static_cast<long>(FIONBIO), &on));
}

SLUICE_INLINE std::error_code bind(int fd, const SocketAddress& address) noexcept {
    // Else anybody could bind the same port and take its connections and datagrams, by SO_REUSEADDR,
    // which says just that here. Its price: a port cannot be bound anew while a connection lives that
    // has been accepted on it. There is no option for what SO_REUSEADDR means elsewhere.
    if (const std::error_code error = set_int_option(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1)) {
        return error;
    }
    const NativeAddress native_address(address);
    return outcome(::bind(native_socket(fd), native_address.get(), native_address.size));
}

SLUICE_INLINE std::error_code listen(int fd, int backlog) noexcept {
    return outcome(::listen(native_socket(fd), backlog));
}

SLUICE_INLINE Result<int> connect(int fd, const SocketAddress& address) noexcept {
    const NativeAddress native_address(address);
    const Result<SocketType> type = socket_type(fd);
    if (type.ok() && type.value() == SocketType::datagram) {
        report_unreachable(fd, true);
    }
    if (::connect(native_socket(fd), native_address.get(), native_address.size) == 0) {
        return fd;
    }
    const int error = ::WSAGetLastError();
    return error == WSAEWOULDBLOCK ? Result<int>::would_block() : Result<int>::failure(error);
}

SLUICE_INLINE Result<int> accept(int fd, SocketAddress& peer) noexcept {
    NativeAddress native_address;
    const SOCKET accepted = ::accept(native_socket(fd), native_address.get(), &native_address.size);
    if (accepted == INVALID_SOCKET) {
        const int error = ::WSAGetLastError();
        if (error == WSAENOTCONN) {
            // Wine says that of a connection that was reset while it waited.
            return Result<int>::failure(WSAECONNRESET);
        }
        return error == WSAEWOULDBLOCK ? Result<int>::would_block() : Result<int>::failure(error);
    }
    const int connection = descriptor_of(accepted);
    // It is like its listener, which may be somebody else's and block.
    if (const std::error_code error = set_nonblocking(connection)) {
        ::closesocket(accepted);
        return Result<int>::failure(error.value());
    }
    static_cast<void>(::SetHandleInformation(native_handle(connection), HANDLE_FLAG_INHERIT, 0));
    peer = native_address.value();
    return connection;
}

SLUICE_INLINE std::error_code take_error(int fd) noexcept {
    const Result<int> error = int_option(fd, SOL_SOCKET, SO_ERROR);
    if (!error.ok()) {
        return error.error();
    }
    return error.value() == 0 ? std::error_code{} : system_error(error.value());
}

SLUICE_INLINE Result<SocketType> socket_type(int fd) noexcept {
    const Result<int> type = int_option(fd, SOL_SOCKET, SO_TYPE);
    if (!type.ok()) {
        return Result<SocketType>::failure(type.error().value());
    }
    return type.value() == SOCK_STREAM ? SocketType::stream : SocketType::datagram;
}

SLUICE_INLINE Result<bool> is_listening(int fd) noexcept {
    const Result<int> listening = int_option(fd, SOL_SOCKET, SO_ACCEPTCONN);
    if (!listening.ok()) {
        return Result<bool>::failure(listening.error().value());
    }
    return listening.value() != 0;
}

SLUICE_INLINE SocketAddress local_address(int fd) noexcept {
    NativeAddress address;
    return ::getsockname(native_socket(fd), address.get(), &address.size) == 0 ? address.value()
                                                                               : SocketAddress{};
}

SLUICE_INLINE SocketAddress peer_address(int fd) noexcept {
    NativeAddress address;
    return ::getpeername(native_socket(fd), address.get(), &address.size) == 0 ? address.value()
                                                                               : SocketAddress{};
}

SLUICE_INLINE IoResult recv(int fd, MutableBytes into) noexcept {
    return moved(::recv(native_socket(fd), chars(into), clamped(into.size()), 0));
}

// A send that does not block is copied as a whole, however long it is: this bounds what a peer that does
// not read costs, and keeps the sum of the pieces within a DWORD.
inline constexpr std::size_t largest_send = std::size_t{256} * 1024;
// What does not even have memory for this has failed.
inline constexpr std::size_t smallest_send = std::size_t{4} * 1024;

/// The pieces up to `most` bytes in all; the count of buffers filled.
SLUICE_INLINE DWORD fill_buffers(std::span<const Bytes> pieces, std::size_t most,
                                 std::span<WSABUF> buffers) noexcept {
    DWORD count = 0;
    // The first one even if it is empty: the system wants a buffer.
    for (std::size_t index = 0; index < pieces.size() && (most != 0 || index == 0); ++index) {
        const Bytes piece = pieces[index].first(std::min(pieces[index].size(), most));
        // WSASend does not write through the pointer; its type is shared with WSARecv.
        buffers[count++] = {static_cast<ULONG>(piece.size()), const_cast<char*>(chars(piece))};
        most -= piece.size();
    }
    return count;
}

SLUICE_INLINE IoResult send_gathered(int fd, std::span<const Bytes> pieces, bool) noexcept {
    SLUICE_ASSERT(pieces.size() <= limits::gather_segments);
    std::array<WSABUF, limits::gather_segments> buffers;
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    for (std::size_t most = std::min(total, largest_send);; most /= 2) {
        const DWORD count = fill_buffers(pieces, most, buffers);
        DWORD sent = 0;
        if (::WSASend(native_socket(fd), buffers.data(), count, &sent, 0, nullptr, nullptr) == 0) {
            return std::size_t{sent};
        }
        const int error = ::WSAGetLastError();
        if (error == WSAEWOULDBLOCK) {
            return IoResult::would_block();
        }
        if (error != WSAENOBUFS || most <= smallest_send) {
            return IoResult::failure(error);
        }
    }
}

SLUICE_INLINE IoResult send(int fd, Bytes from) noexcept {
    return send_gathered(fd, std::span(&from, 1), false);
}

SLUICE_INLINE std::error_code shutdown_write(int fd) noexcept {
    return outcome(::shutdown(native_socket(fd), SD_SEND));
}

SLUICE_INLINE void close(int fd) noexcept {
    if (::closesocket(native_socket(fd)) == 0) {
        return;
    }
    // Files are descriptors, too.
    const int error = ::WSAGetLastError();
    if (error == WSAENOTSOCK || error == WSANOTINITIALISED) {
        ::CloseHandle(native_handle(fd));
    }
}

}  // namespace sluice::inline v0_1::detail::sys
