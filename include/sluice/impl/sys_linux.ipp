// What Linux has in its own form. See sys_native.ipp.
#pragma once

#include <sluice/impl/sys_broken_pipe.ipp>

#include <sluice/address.hpp>
#include <sluice/peer_credentials.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <span>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys::os {

// ---- sockets ----

inline constexpr int send_flags = MSG_NOSIGNAL;
inline constexpr int more_follows = MSG_MORE;
inline constexpr int tcp_cork = TCP_CORK;
/// Names of Unix sockets that begin with a NUL and are no files (unix(7)).
inline constexpr bool has_abstract_names = true;

/// Non-blocking and close-on-exec, like the next.
inline int open_socket(int family, int type) noexcept {
    return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

inline int accept(int fd, sockaddr* peer, socklen_t* size) noexcept {
    return ::accept4(fd, peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/// getpeername(2) does not tell it of a connection that was reset; SO_PEERNAME does, for the exact size.
inline int accepted_peer(int fd, Family family, sockaddr* peer, socklen_t* size) noexcept {
    socklen_t exact = family == Family::ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    if (family != Family::unix_domain &&
        ::getsockopt(fd, SOL_SOCKET, SO_PEERNAME, peer, &exact) == 0) {
        *size = exact;
        return 0;
    }
    return ::getpeername(fd, peer, size);
}

inline int socket_family(int fd) noexcept {
    int family = AF_UNSPEC;
    socklen_t size = sizeof family;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 ? family : -1;
}

/// The permissions that bind(2) will give the file of a Unix socket, before the umask.
inline int set_socket_permissions(int fd, unsigned permissions) noexcept {
    return ::fchmod(fd, static_cast<mode_t>(permissions));
}

inline int peer_credentials(int fd, PeerCredentials& credentials) noexcept {
    // struct ucred, which <sys/socket.h> shows to GNU sources only.
    struct Native {
        pid_t pid;
        uid_t uid;
        gid_t gid;
    } native{};
    socklen_t size = sizeof native;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &native, &size) != 0) {
        return -1;
    }
    credentials.pid = native.pid;
    credentials.uid = native.uid;
    credentials.gid = native.gid;
    return 0;
}

// ---- datagrams ----

using Message = mmsghdr;

/// As many as wait and fit, at least one; how many.
inline int receive_messages(int fd, std::span<Message> messages) noexcept {
    if (messages.size() > 1) {
        return ::recvmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()), 0, nullptr);
    }
    // One alone is cheaper this way.
    const ssize_t size = ::recvmsg(fd, &messages.front().msg_hdr, 0);
    messages.front().msg_len = static_cast<unsigned>(std::max<ssize_t>(size, 0));
    return size < 0 ? -1 : 1;
}

/// In order; how many were taken, or why the first was not.
inline int send_messages(int fd, std::span<Message> messages) noexcept {
    return ::sendmmsg(fd, messages.data(), static_cast<unsigned>(messages.size()), send_flags);
}

// udp(7); the numbers for C libraries that are older than the kernel.
inline constexpr int udp_segment = 103;
inline constexpr int udp_gro = 104;
inline constexpr int ipv6_receive_hop_limit = IPV6_RECVHOPLIMIT;
// What the kernel calls it where it comes beside a datagram.
inline constexpr int received_tos = IP_TOS;
inline constexpr int received_ttl = IP_TTL;
inline constexpr int received_hop_limit = IPV6_HOPLIMIT;

// ---- files ----

/// Of a descriptor that names a file and cannot read it.
inline constexpr int open_path_only = O_PATH;

inline ssize_t sendfile(int socket, int file, off_t offset, std::size_t count) noexcept {
    return ::sendfile(socket, file, &offset, count);
}

/// EAGAIN where the bytes are not in memory, or the system cannot tell.
inline ssize_t read_from_memory(int file, const iovec& space, off_t offset) noexcept {
    const ssize_t count = ::preadv2(file, &space, 1, offset, RWF_NOWAIT);
    // EOPNOTSUPP: not on this file system (preadv2(2)). A filter that knows no preadv2 says ENOSYS.
    if (count < 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
        errno = EAGAIN;
    }
    return count;
}

// ---- pipes and terminals ----

/// Close-on-exec and blocking.
inline int open_pipe(std::array<int, 2>& ends) noexcept {
    return ::pipe2(ends.data(), O_CLOEXEC);
}

/// dup2(2) with close-on-exec.
inline int replace_descriptor(int fd, int replaced) noexcept {
    return ::dup3(fd, replaced, O_CLOEXEC);
}

inline bool is_terminal_master(int fd) noexcept {
    // Only the master's end has a number (ptmx(4)).
    unsigned number = 0;
    return ::ioctl(fd, TIOCGPTN, &number) == 0;
}

// ---- programs; what plans them returns an errno, as posix_spawn(3) does ----

inline constexpr int spawn_flags = 0;

/// The program has the standard streams and nothing else that is open here. Ours are close-on-exec;
/// the rest of the process may have been less careful.
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
inline int keep_standard_streams(posix_spawn_file_actions_t& actions,
                                 const std::array<int, 3>& /*replaced*/) noexcept {
    return ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
}
#else
inline int keep_standard_streams(posix_spawn_file_actions_t&,
                                 const std::array<int, 3>& /*replaced*/) noexcept {
    return 0;
}
#endif

inline char** environment() noexcept {
    return environ;
}

/// A descriptor that becomes readable when the child ends.
inline int watch_process(pid_t pid) noexcept {
    // Close-on-exec by itself. glibc knows the call from 2.36 on.
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

/// By the descriptor, so that it can reach no other process.
inline int signal_process(int process_fd, pid_t /*pid*/, int signal_number) noexcept {
    return static_cast<int>(
        ::syscall(SYS_pidfd_send_signal, process_fd, signal_number, nullptr, 0));
}

// ---- threads, wake-up, chance ----

inline bool is_main_thread() noexcept {
    return ::syscall(SYS_gettid) == ::getpid();
}

/// A descriptor that `signal_wake` makes readable until `drain_wake`.
inline int open_wake() noexcept {
    return ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

inline void signal_wake(int fd) noexcept {
    const std::uint64_t one = 1;
    // A full counter is readable all the same.
    static_cast<void>(::write(fd, &one, sizeof one) < 0);
}

inline void drain_wake(int fd) noexcept {
    std::uint64_t count = 0;
    static_cast<void>(::read(fd, &count, sizeof count) < 0);
}

/// False where the system has none yet, early at boot.
inline bool random(std::span<std::byte> into) noexcept {
    return ::getrandom(into.data(), into.size(), GRND_NONBLOCK) ==
           static_cast<ssize_t>(into.size());
}

}  // namespace sluice::inline v0_1::detail::sys::os
