// Sockets and pipes that a test makes by itself, as plain descriptors: close-on-exec, by POSIX alone, since not every
// system takes flags where it makes a descriptor. In between no test forks.
#pragma once

#include "support/checked.hpp"

#include <array>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {

enum class IoMode : std::uint8_t { blocking, nonblocking };

inline int prepared(int fd, IoMode mode) {
    checked(::fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl");
    const int flags = checked(::fcntl(fd, F_GETFL), "fcntl") & ~O_NONBLOCK;
    checked(::fcntl(fd, F_SETFL, mode == IoMode::blocking ? flags : flags | O_NONBLOCK), "fcntl");
    return fd;
}

inline int make_socket(int family, int type, IoMode mode = IoMode::blocking) {
    return prepared(checked(::socket(family, type, 0), "socket"), mode);
}

/// Two connected Unix sockets.
inline std::pair<int, int> make_socket_pair(int type, IoMode mode = IoMode::blocking) {
    std::array<int, 2> ends{};
    checked(::socketpair(AF_UNIX, type, 0, ends.data()), "socketpair");
    return {prepared(ends[0], mode), prepared(ends[1], mode)};
}

/// Both ends of a pipe(2): {reading, writing}.
inline std::pair<int, int> make_pipe() {
    std::array<int, 2> ends{};
    checked(::pipe(ends.data()), "pipe");
    return {prepared(ends[0], IoMode::blocking), prepared(ends[1], IoMode::blocking)};
}

}  // namespace sluice::test
