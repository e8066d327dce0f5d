// What the systems with kqueue(2) have in common and Linux has in another form. See sys_native.ipp.
#pragma once

#include <sluice/address.hpp>
#include <sluice/peer_credentials.hpp>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/event.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys::os {

/// What no option has for its number, so that whoever asks for it is told that there is none.
inline constexpr int no_option = -1;

// ---- sockets ----

inline constexpr int send_flags = MSG_NOSIGNAL;
/// There is no such flag of a call.
inline constexpr int more_follows = 0;
inline constexpr bool has_abstract_names = false;

inline int socket_family(int fd) noexcept {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    return ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 ? address.ss_family
                                                                                : -1;
}

inline int accepted_peer(int fd, Family /*family*/, sockaddr* peer, socklen_t* size) noexcept {
    return ::getpeername(fd, peer, size);
}

inline int peer_user(int fd, PeerCredentials& credentials) noexcept {
    uid_t user = 0;
    gid_t group = 0;
    if (::getpeereid(fd, &user, &group) != 0) {
        return -1;
    }
    credentials.uid = user;
    credentials.gid = group;
    return 0;
}

/// Closes what could not be made ready. -1 and the errno of before.
inline int close_failed(int fd) noexcept {
    const int error = errno;
    ::close(fd);
    errno = error;
    return -1;
}

/// bind(2) makes the file by the umask alone. Whoever wants it otherwise sets it before listen(2), until
/// when nobody can connect.
inline int set_socket_permissions(int /*fd*/, unsigned /*permissions*/) noexcept {
    return 0;
}

// ---- datagrams: there is no call for several ----

struct Message {
    msghdr msg_hdr;
    unsigned msg_len;
};

inline int receive_messages(int fd, std::span<Message> messages) noexcept {
    int received = 0;
    for (Message& message : messages) {
        const ssize_t size = ::recvmsg(fd, &message.msg_hdr, 0);
        if (size < 0) {
            // An error behind a datagram is not told: of what ICMP says to a sender one may be lost.
            return received > 0 ? received : -1;
        }
        message.msg_len = static_cast<unsigned>(size);
        ++received;
    }
    return received;
}

inline int send_messages(int fd, std::span<Message> messages) noexcept {
    int sent = 0;
    for (const Message& message : messages) {
        if (::sendmsg(fd, &message.msg_hdr, MSG_NOSIGNAL) < 0) {
            // The next call begins with this one, and tells.
            return sent > 0 ? sent : -1;
        }
        ++sent;
    }
    return sent;
}

inline constexpr int received_tos = IP_RECVTOS;
inline constexpr int received_ttl = IP_RECVTTL;
inline constexpr int udp_segment = no_option;
inline constexpr int udp_gro = no_option;

// ---- files ----

inline ssize_t read_from_memory(int /*file*/, const iovec& /*space*/, off_t /*offset*/) noexcept {
    errno = EAGAIN;
    return -1;
}

// ---- one descriptor for one event: a queue, which is readable while an event waits in it ----

inline int change_event(int queue, std::uintptr_t ident, int filter, unsigned action,
                        unsigned note) noexcept {
    struct kevent change{};
    change.ident = ident;
    change.filter = static_cast<decltype(change.filter)>(filter);
    change.flags = static_cast<decltype(change.flags)>(action);
    change.fflags = note;
    return ::kevent(queue, &change, 1, nullptr, 0, nullptr);
}

inline int open_wake() noexcept {
    const int queue = ::kqueue();
    if (queue < 0) {
        return -1;
    }
    if (::fcntl(queue, F_SETFD, FD_CLOEXEC) < 0 ||
        change_event(queue, 0, EVFILT_USER, EV_ADD | EV_CLEAR, 0) < 0) {
        return close_failed(queue);
    }
    return queue;
}

inline void signal_wake(int fd) noexcept {
    // Signal handlers come here: it is no more than the system call.
    static_cast<void>(change_event(fd, 0, EVFILT_USER, 0, NOTE_TRIGGER));
}

inline void drain_wake(int fd) noexcept {
    const timespec at_once{};
    struct kevent event{};
    static_cast<void>(::kevent(fd, nullptr, 0, &event, 1, &at_once) < 0);
}

/// The event stays in the queue, since nobody takes it out.
inline int watch_process(pid_t pid) noexcept {
    const int queue = open_wake();
    if (queue < 0 || change_event(queue, static_cast<std::uintptr_t>(pid), EVFILT_PROC, EV_ADD,
                                  NOTE_EXIT) == 0) {
        return queue;
    }
    if (errno != ESRCH) {
        return close_failed(queue);
    }
    // It has ended already. Its status may not be there yet: whoever comes too early comes again.
    signal_wake(queue);
    return queue;
}

/// A child's number is nobody else's until its status was taken.
inline int signal_process(int /*process_fd*/, pid_t pid, int signal_number) noexcept {
    return ::kill(pid, signal_number);
}

// ---- chance ----

inline bool random(std::span<std::byte> into) noexcept {
    ::arc4random_buf(into.data(), into.size());
    return true;
}

}  // namespace sluice::inline v0_1::detail::sys::os
