// The system: sockets, clock, threads, signals, names. Thin: one function, one system call.
#pragma once

#include <sluice/impl/sys_native.ipp>

#include <sluice/callback.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

/// A SocketAddress in the form the system wants.
struct NativeAddress {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;

    NativeAddress() noexcept = default;
    explicit NativeAddress(const SocketAddress& address) noexcept;
    /// No address for families unknown here, and when a long path finds no memory.
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
            ipv4->sin_port = htons(address.port());
            std::memcpy(&ipv4->sin_addr, address.ip_bytes().data(), 4);
            size = sizeof *ipv4;
            break;
        }
        case Family::ipv6: {
            auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&storage);
            ipv6->sin6_family = AF_INET6;
            ipv6->sin6_port = htons(address.port());
            ipv6->sin6_flowinfo = address.flow_info();
            ipv6->sin6_scope_id = address.scope_id();
            std::memcpy(&ipv6->sin6_addr, address.ip_bytes().data(), 16);
            size = sizeof *ipv6;
            break;
        }
        case Family::unix_domain: {
            auto* local = reinterpret_cast<sockaddr_un*>(&storage);
            const std::string_view path = address.path();
            local->sun_family = AF_UNIX;
            std::memcpy(local->sun_path, path.data(), path.size());
            // An abstract name has no terminator: every byte counts (unix(7)).
            const std::size_t terminator = !path.empty() && path.front() == '\0' ? 0 : 1;
            size =
                static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + terminator);
            break;
        }
        case Family::unspecified:
            size = 0;
            break;
    }
}

/// The path, or the abstract name; empty where there is neither.
SLUICE_INLINE std::string_view path_of(const sockaddr_un& local, socklen_t size) noexcept {
    const std::size_t header = offsetof(sockaddr_un, sun_path);
    const std::size_t length = size > header ? size - header : 0;
    const char* const path = local.sun_path;
    if (length == 0 || (os::has_abstract_names && path[0] == '\0')) {
        return {path, length};
    }
    const std::size_t end = ::strnlen(path, std::min(length, sizeof local.sun_path));
    // Bound without room for a NUL, which any peer can do: one byte more is told than there is room
    // for (unix(7)). We have no such names.
    return {path, end == sizeof local.sun_path ? 0 : end};
}

SLUICE_INLINE SocketAddress NativeAddress::value() const noexcept try {
    switch (storage.ss_family) {
        case AF_INET: {
            const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(&storage);
            std::array<std::uint8_t, 4> ip{};
            std::memcpy(ip.data(), &ipv4->sin_addr, ip.size());
            return SocketAddress::ipv4(ip, ntohs(ipv4->sin_port));
        }
        case AF_INET6: {
            const auto* ipv6 = reinterpret_cast<const sockaddr_in6*>(&storage);
            std::array<std::uint8_t, 16> ip{};
            std::memcpy(ip.data(), &ipv6->sin6_addr, ip.size());
            return SocketAddress::ipv6(ip, ntohs(ipv6->sin6_port), ipv6->sin6_scope_id,
                                       ipv6->sin6_flowinfo);
        }
        case AF_UNIX: {
            const auto* local = reinterpret_cast<const sockaddr_un*>(&storage);
            return SocketAddress::unix_path(path_of(*local, size));
        }
        default:
            return {};
    }
} catch (const std::bad_alloc&) {
    return {};
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
    return result == 0 ? std::error_code{} : std::error_code{errno, std::system_category()};
}

SLUICE_INLINE IoResult moved(ssize_t count) noexcept {
    if (count >= 0) {
        return static_cast<std::size_t>(count);
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return IoResult::would_block();
    }
    return IoResult::failure(errno);
}

/// Repeats a call that a signal interrupted before it did anything.
template <class F>
auto retry_interrupted(F&& call) noexcept {
    for (;;) {
        const auto result = call();
        if (result >= 0 || errno != EINTR) {
            return result;
        }
    }
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

SLUICE_INLINE bool call_in_forked_child(void (*function)()) noexcept {
    return ::pthread_atfork(nullptr, nullptr, function) == 0;
}

// ---- sockets ----

SLUICE_INLINE Result<int> open_socket(Family family, SocketType type) noexcept {
    const int fd = os::open_socket(native(family), native(type));
    return fd >= 0 ? Result<int>(fd) : Result<int>::failure(errno);
}

SLUICE_INLINE std::error_code set_option(int fd, SocketOption option, bool on) noexcept {
    struct Name {
        int level;
        int option;
    };
    static constexpr Name names[] = {
        {IPPROTO_TCP, TCP_NODELAY}, {SOL_SOCKET, SO_REUSEADDR},  {SOL_SOCKET, SO_REUSEPORT},
        {SOL_SOCKET, SO_KEEPALIVE}, {IPPROTO_IPV6, IPV6_V6ONLY}, {IPPROTO_TCP, os::tcp_cork},
    };
    const Name name = names[static_cast<std::size_t>(option)];
    const int value = on ? 1 : 0;
    return outcome(::setsockopt(fd, name.level, name.option, &value, sizeof value));
}

SLUICE_INLINE std::error_code set_nonblocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags < 0 ? outcome(flags) : outcome(::fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

SLUICE_INLINE std::error_code bind(int fd, const SocketAddress& address) noexcept {
    const NativeAddress native_address(address);
    return outcome(::bind(fd, native_address.get(), native_address.size));
}

SLUICE_INLINE std::error_code listen(int fd, int backlog) noexcept {
    return outcome(::listen(fd, backlog));
}

SLUICE_INLINE Result<int> connect(int fd, const SocketAddress& address) noexcept {
    const NativeAddress native_address(address);
    if (::connect(fd, native_address.get(), native_address.size) == 0) {
        return fd;
    }
    // An interrupted connect goes on in the background, like one in progress (connect(2)).
    if (errno == EINPROGRESS || errno == EINTR) {
        return Result<int>::would_block();
    }
    return Result<int>::failure(errno);
}

SLUICE_INLINE Result<int> accept(int fd, SocketAddress& peer) noexcept {
    NativeAddress native_address;
    const int accepted = retry_interrupted([&] {
        native_address.size = sizeof native_address.storage;
        return os::accept(fd, native_address.get(), &native_address.size);
    });
    if (accepted >= 0) {
        peer = native_address.value();
        return accepted;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return Result<int>::would_block();
    }
    return Result<int>::failure(errno);
}

SLUICE_INLINE std::error_code take_error(int fd) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    return {error, std::system_category()};
}

SLUICE_INLINE Result<SocketType> socket_type(int fd) noexcept {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        return Result<SocketType>::failure(errno);
    }
    return type == SOCK_STREAM ? SocketType::stream : SocketType::datagram;
}

SLUICE_INLINE Result<bool> is_listening(int fd) noexcept {
    int listening = 0;
    socklen_t size = sizeof listening;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
        return Result<bool>::failure(errno);
    }
    return listening != 0;
}

SLUICE_INLINE SocketAddress local_address(int fd) noexcept {
    NativeAddress address;
    return ::getsockname(fd, address.get(), &address.size) == 0 ? address.value() : SocketAddress{};
}

SLUICE_INLINE SocketAddress peer_address(int fd) noexcept {
    NativeAddress address;
    return ::getpeername(fd, address.get(), &address.size) == 0 ? address.value() : SocketAddress{};
}

SLUICE_INLINE IoResult recv(int fd, MutableBytes into) noexcept {
    return moved(retry_interrupted([&] { return ::recv(fd, into.data(), into.size(), 0); }));
}

SLUICE_INLINE IoResult send(int fd, Bytes from) noexcept {
    return moved(
        retry_interrupted([&] { return ::send(fd, from.data(), from.size(), os::send_flags); }));
}

SLUICE_INLINE IoResult send_gathered(int fd, std::span<const Bytes> pieces,
                                     bool more_follows) noexcept {
    SLUICE_ASSERT(pieces.size() <= limits::gather_segments);
    std::array<iovec, limits::gather_segments> vectors;
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        // sendmsg does not write through the pointer; its type is shared with readv.
        vectors[index] = {const_cast<std::byte*>(pieces[index].data()), pieces[index].size()};
    }
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(pieces.size());
    const int flags = os::send_flags | (more_follows ? os::more_follows : 0);
    return moved(retry_interrupted([&] { return ::sendmsg(fd, &message, flags); }));
}

SLUICE_INLINE std::error_code shutdown_write(int fd) noexcept {
    return outcome(::shutdown(fd, SHUT_WR));
}

SLUICE_INLINE void close(int fd) noexcept {
    // Not repeated after EINTR: the number has been freed by then (close(2)), another thread may own
    // it.
    ::close(fd);
}

// ---- wake-up and signals ----

SLUICE_INLINE Result<int> open_wake() noexcept {
    const int fd = os::open_wake();
    return fd >= 0 ? Result<int>(fd) : Result<int>::failure(errno);
}

SLUICE_INLINE void signal_wake(int fd) noexcept {
    os::signal_wake(fd);
}

SLUICE_INLINE void drain_wake(int fd) noexcept {
    os::drain_wake(fd);
}

SLUICE_INLINE std::error_code set_signal_handler(int signal_number, void (*handler)(int)) noexcept {
    struct sigaction action{};
    action.sa_handler = handler != nullptr ? handler : SIG_DFL;
    action.sa_flags = SA_RESTART;
    sigfillset(&action.sa_mask);
    return outcome(::sigaction(signal_number, &action, nullptr));
}

SLUICE_INLINE bool is_main_thread() noexcept {
    return os::is_main_thread();
}

}  // namespace sluice::inline v0_1::detail::sys
