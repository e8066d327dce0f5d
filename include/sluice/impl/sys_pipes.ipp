// Pipes, FIFOs and terminals. Thin like sys_posix.ipp, with the lore of terminals.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_pipes.hpp>

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE PipeKind pipe_kind(int fd, unsigned mode) noexcept {
    switch (mode & S_IFMT) {
        case S_IFIFO:
            return PipeKind::pipe;
        case S_IFSOCK:
            return PipeKind::socket;
        case S_IFCHR:
            return ::isatty(fd) == 1 ? PipeKind::terminal : PipeKind::device;
        case S_IFREG:
            return PipeKind::file;
        default:
            return PipeKind::other;
    }
}

SLUICE_INLINE Result<PipeStatus> pipe_status(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    struct stat status{};
    if (flags < 0 || ::fstat(fd, &status) != 0) {
        return Result<PipeStatus>::failure(errno);
    }
    const int access = flags & O_ACCMODE;
    PipeStatus answer;
    answer.kind = pipe_kind(fd, status.st_mode);
    answer.readable = access != O_WRONLY && (flags & os::open_path_only) == 0;
    answer.writable = access != O_RDONLY && (flags & os::open_path_only) == 0;
    answer.blocking = (flags & O_NONBLOCK) == 0;
    return answer;
}

SLUICE_INLINE void set_blocking(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0) {
        static_cast<void>(::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));
    }
}

SLUICE_INLINE bool unshare_terminal(int fd) noexcept {
    // Opening the master's end anew would make another terminal (ptmx(4)).
    if (os::is_terminal_master(fd)) {
        return false;
    }
    std::array<char, 256> path{};
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::ttyname_r(fd, path.data(), path.size()) != 0) {
        return false;
    }
    // The path may name another device by now, /dev/pts being of another mount, for example.
    struct stat ours{};
    struct stat opened{};
    const int own = ::open(path.data(), (flags & O_ACCMODE) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool unshared = false;
    if (own >= 0) {
        unshared = ::fstat(fd, &ours) == 0 && ::fstat(own, &opened) == 0 &&
                   ours.st_rdev == opened.st_rdev &&
                   retry_interrupted([&] { return os::replace_descriptor(own, fd); }) >= 0;
        ::close(own);
    }
    return unshared;
}

SLUICE_INLINE IoResult read(int fd, MutableBytes into) noexcept {
    return moved(retry_interrupted([&] { return ::read(fd, into.data(), into.size()); }));
}

SLUICE_INLINE IoResult write_gathered(int fd, std::span<const Bytes> pieces) noexcept {
    SLUICE_ASSERT(pieces.size() <= limits::gather_segments);
    std::array<iovec, limits::gather_segments> vectors;
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        // writev does not write through the pointer; its type is shared with readv.
        vectors[index] = {const_cast<std::byte*>(pieces[index].data()), pieces[index].size()};
    }
    // With a reader that leaves in the middle what was written is the answer, and there is the signal.
    const NoBrokenPipe no_signal(fd);
    return moved(retry_interrupted(
        [&] { return ::writev(fd, vectors.data(), static_cast<int>(pieces.size())); }));
}

SLUICE_INLINE bool reader_is_gone(int fd) noexcept {
    pollfd polled{.fd = fd, .events = 0, .revents = 0};
    const int count = retry_interrupted([&] { return ::poll(&polled, 1, 0); });
    return count > 0 && (polled.revents & (POLLERR | POLLHUP)) != 0;
}

}  // namespace sluice::inline v0_1::detail::sys
