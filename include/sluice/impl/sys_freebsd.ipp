// What FreeBSD has in its own form, from 13.1 on. See sys_native.ipp. No compiler for this system was at hand, so nothing here has
// been compiled.
#pragma once

#include <sluice/impl/sys_broken_pipe.ipp>
#include <sluice/impl/sys_bsd.ipp>

#include <array>
#include <cerrno>
#include <cstddef>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread_np.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/ttycom.h>
#include <sys/ucred.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

// No header declares it (environ(7)).
extern "C" char** environ;

namespace sluice::inline v0_1::detail::sys::os {

// ---- sockets ----

inline constexpr int tcp_cork = TCP_NOPUSH;

inline int open_socket(int family, int type) noexcept {
    return ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

inline int accept(int fd, sockaddr* peer, socklen_t* size) noexcept {
    return ::accept4(fd, peer, size, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

inline int peer_credentials(int fd, PeerCredentials& credentials) noexcept {
    xucred native{};
    socklen_t size = sizeof native;
    if (::getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &native, &size) == 0) {
        credentials.pid = native.cr_pid;
    }
    return peer_user(fd, credentials);
}

// ---- datagrams ----

inline constexpr int ipv6_receive_hop_limit = IPV6_RECVHOPLIMIT;
inline constexpr int received_hop_limit = IPV6_HOPLIMIT;

// ---- files ----

inline constexpr int open_path_only = O_PATH;

inline ssize_t sendfile(int socket, int file, off_t offset, std::size_t count) noexcept {
    // 0 would be all; how many were sent is told whatever the answer is.
    off_t moved = 0;
    if (count == 0 || ::sendfile(file, socket, offset, count, nullptr, &moved, 0) == 0 ||
        moved > 0) {
        return static_cast<ssize_t>(moved);
    }
    return -1;
}

// ---- pipes and terminals ----

inline int open_pipe(std::array<int, 2>& ends) noexcept {
    return ::pipe2(ends.data(), O_CLOEXEC);
}

inline int replace_descriptor(int fd, int replaced) noexcept {
    return ::dup3(fd, replaced, O_CLOEXEC);
}

inline bool is_terminal_master(int fd) noexcept {
    return ::ioctl(fd, TIOCPTMASTER) == 0;
}

// ---- programs ----

inline constexpr int spawn_flags = 0;

inline int keep_standard_streams(posix_spawn_file_actions_t& actions,
                                 const std::array<int, 3>& /*replaced*/) noexcept {
    return ::posix_spawn_file_actions_addclosefrom_np(&actions, 3);
}

inline char** environment() noexcept {
    return environ;
}

// ---- threads ----

inline bool is_main_thread() noexcept {
    return ::pthread_main_np() == 1;
}

}  // namespace sluice::inline v0_1::detail::sys::os
