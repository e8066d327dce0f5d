// Files: what they are, reading them, and sending them without reading them.
//
// Thin like sys_posix.ipp.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<FileStatus> file_status(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    struct stat status{};
    if (flags < 0 || ::fstat(fd, &status) != 0) {
        return Result<FileStatus>::failure(errno);
    }
    FileStatus answer;
    answer.readable = (flags & O_ACCMODE) != O_WRONLY && (flags & os::open_path_only) == 0;
    answer.regular = S_ISREG(status.st_mode);
    answer.directory = S_ISDIR(status.st_mode);
    answer.size = status.st_size;
    return answer;
}

SLUICE_INLINE Result<int> duplicate(int fd) noexcept {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return copy >= 0 ? Result<int>(copy) : Result<int>::failure(errno);
}

SLUICE_INLINE IoResult sendfile(int fd, int file, std::int64_t offset, std::size_t count) noexcept {
    // The signal may be there whatever the answer is: the kernel sends in pieces, and where a later
    // one met a broken pipe the answer is what the earlier ones sent. With TLS in the kernel that can
    // be everything, since it counts what waits for the rest of its record.
    const NoBrokenPipe no_signal(fd);
    const std::size_t most = std::min(count, limits::file_call_bytes);
    return moved(retry_interrupted(
        [&] { return os::sendfile(fd, file, static_cast<off_t>(offset), most); }));
}

SLUICE_INLINE IoResult read_file(int file, std::int64_t offset, MutableBytes into,
                                 bool may_block) noexcept {
    const auto from = static_cast<off_t>(offset);
    if (may_block) {
        return moved(
            retry_interrupted([&] { return ::pread(file, into.data(), into.size(), from); }));
    }
    const iovec space{into.data(), into.size()};
    return moved(retry_interrupted([&] { return os::read_from_memory(file, space, from); }));
}

SLUICE_INLINE Result<std::FILE*> open_private_file(const std::string& path) noexcept {
    // Non-blocking, or a FIFO at that place would stop the program here.
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
               S_IRUSR | S_IWUSR);
    if (fd < 0) {
        return Result<std::FILE*>::failure(errno);
    }
    struct stat status{};
    int error = ::fstat(fd, &status) == 0 ? 0 : errno;
    if (error == 0 && !S_ISREG(status.st_mode)) {
        error = EINVAL;
    }
    if (error == 0 && status.st_uid != ::geteuid()) {
        error = EPERM;
    }
    if (error == 0 && ::fchmod(fd, S_IRUSR | S_IWUSR) != 0) {
        error = errno;
    }
    std::FILE* const file = error == 0 ? ::fdopen(fd, "a") : nullptr;
    if (file != nullptr) {
        return file;
    }
    error = error != 0 ? error : errno;
    close(fd);
    return Result<std::FILE*>::failure(error);
}

}  // namespace sluice::inline v0_1::detail::sys
