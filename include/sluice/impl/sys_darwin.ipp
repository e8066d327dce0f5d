// What macOS has in its own form. See sys_native.ipp.
#pragma once

#include <sluice/impl/sys_bsd.ipp>

#include <array>
#include <cerrno>
#include <cstddef>

#include <crt_externs.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/ttycom.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

/// Keeps SIGPIPE from a call that knows no MSG_NOSIGNAL. The system sends it to the process, so to
/// block it in a thread is not enough; here a descriptor can be told to cause none.
class NoBrokenPipe {
public:
    explicit NoBrokenPipe(int fd) noexcept { static_cast<void>(::fcntl(fd, F_SETNOSIGPIPE, 1)); }
};

}  // namespace sluice::inline v0_1::detail::sys

namespace sluice::inline v0_1::detail::sys::os {

// ---- sockets ----

/// Taking TCP_NOPUSH back sends nothing here: the end of a file would wait for what is written next.
inline constexpr int tcp_cork = no_option;

/// Neither socket(2) nor accept(2) takes flags. Between the two calls a fork in another thread lets a
/// child inherit the descriptor.
inline int prepare_socket(int fd) noexcept {
    if (fd < 0) {
        return -1;
    }
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        ::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return close_failed(fd);
    }
    // Older systems take MSG_NOSIGNAL and ignore it. A connection that is gone already refuses this,
    // and nothing is ever sent on it.
    static_cast<void>(::fcntl(fd, F_SETNOSIGPIPE, 1));
    return fd;
}

inline int open_socket(int family, int type) noexcept {
    return prepare_socket(::socket(family, type, 0));
}

inline int accept(int fd, sockaddr* peer, socklen_t* size) noexcept {
    return prepare_socket(::accept(fd, peer, size));
}

inline int peer_credentials(int fd, PeerCredentials& credentials) noexcept {
    pid_t pid = 0;
    socklen_t size = sizeof pid;
    if (::getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &size) == 0) {
        credentials.pid = pid;
    }
    return peer_user(fd, credentials);
}

// ---- datagrams ----

// What <netinet6/in6.h> calls them for those who define __APPLE_USE_RFC_3542 before its first inclusion,
// which a header cannot.
inline constexpr int ipv6_receive_hop_limit = 37;
inline constexpr int received_hop_limit = 47;

// ---- files ----

inline constexpr int open_path_only = 0;

inline ssize_t sendfile(int socket, int file, off_t offset, std::size_t count) noexcept {
    // In: how many, 0 being all; out: how many were sent, whatever the answer is.
    auto moved = static_cast<off_t>(count);
    if (count == 0 || ::sendfile(file, socket, offset, &moved, nullptr, 0) == 0 || moved > 0) {
        return static_cast<ssize_t>(moved);
    }
    if (errno == ENOTSUP) {
        errno = EOPNOTSUPP;  // Two numbers here: this is no regular file.
    }
    return -1;
}

// ---- pipes and terminals ----

inline int open_pipe(std::array<int, 2>& ends) noexcept {
    if (::pipe(ends.data()) != 0) {
        return -1;
    }
    for (const int end : ends) {
        static_cast<void>(::fcntl(end, F_SETFD, FD_CLOEXEC));
    }
    return 0;
}

inline int replace_descriptor(int fd, int replaced) noexcept {
    const int result = ::dup2(fd, replaced);
    return result < 0 ? result : ::fcntl(replaced, F_SETFD, FD_CLOEXEC);
}

inline bool is_terminal_master(int fd) noexcept {
    std::array<char, 128> name{};
    return ::ioctl(fd, TIOCPTYGNAME, name.data()) == 0;
}

// ---- programs ----

/// Nothing is inherited but what the actions name.
inline constexpr int spawn_flags = POSIX_SPAWN_CLOEXEC_DEFAULT;

inline int keep_standard_streams(posix_spawn_file_actions_t& actions,
                                 const std::array<int, 3>& replaced) noexcept {
    int error = 0;
    for (int stream = 0; error == 0 && stream < 3; ++stream) {
        const bool ours = replaced[static_cast<std::size_t>(stream)] < 0;
        if (ours && ::fcntl(stream, F_GETFD) >= 0) {
            error = ::posix_spawn_file_actions_addinherit_np(&actions, stream);
        }
    }
    return error;
}

inline char** environment() noexcept {
    return *::_NSGetEnviron();
}

// ---- threads ----

inline bool is_main_thread() noexcept {
    return ::pthread_main_np() == 1;
}

}  // namespace sluice::inline v0_1::detail::sys::os
