// Files and peers of Unix sockets.
#pragma once

#include <sluice/impl/sys_native.ipp>

#include <sluice/detail/sys_unix.hpp>

#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE std::error_code path_outcome(int result) noexcept {
    return result == 0 ? std::error_code{} : std::error_code{errno, std::system_category()};
}

SLUICE_INLINE Result<PathStatus> path_status(const std::string& path) noexcept {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        return Result<PathStatus>::failure(errno);
    }
    PathStatus found;
    found.is_socket = S_ISSOCK(status.st_mode);
    found.permissions = status.st_mode & 0777U;
    found.device = static_cast<std::uint64_t>(status.st_dev);
    found.inode = status.st_ino;
    return found;
}

SLUICE_INLINE std::error_code remove_path(const std::string& path) noexcept {
    return path_outcome(::unlink(path.c_str()));
}

SLUICE_INLINE std::error_code set_path_permissions(const std::string& path,
                                                   unsigned permissions) noexcept {
    // Not through a link that somebody has put in its place meanwhile.
    return path_outcome(
        ::fchmodat(AT_FDCWD, path.c_str(), static_cast<mode_t>(permissions), AT_SYMLINK_NOFOLLOW));
}

SLUICE_INLINE std::error_code set_socket_permissions(int fd, unsigned permissions) noexcept {
    return path_outcome(os::set_socket_permissions(fd, permissions));
}

SLUICE_INLINE Result<PeerCredentials> peer_credentials(int fd) noexcept {
    PeerCredentials credentials;
    if (os::peer_credentials(fd, credentials) != 0) {
        return Result<PeerCredentials>::failure(errno);
    }
    return credentials;
}

}  // namespace sluice::inline v0_1::detail::sys
