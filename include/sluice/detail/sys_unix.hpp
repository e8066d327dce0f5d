// The calls to the kernel that only Unix sockets need: their files and their peers. A part of
// sys.hpp, with its rules.
#pragma once

#include <sluice/detail/result.hpp>
#include <sluice/peer_credentials.hpp>

#include <cstdint>
#include <string>

namespace sluice::inline v0_1::detail::sys {

/// What is at a path; a symbolic link is itself.
struct PathStatus {
    bool is_socket = false;
    unsigned permissions = 0;  // the lower nine bits of st_mode
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
};
Result<PathStatus> path_status(const std::string& path) noexcept;
std::error_code remove_path(const std::string& path) noexcept;
std::error_code set_path_permissions(const std::string& path, unsigned permissions) noexcept;
/// What bind(2) will give the file of this socket, as far as the umask allows it.
std::error_code set_socket_permissions(int fd, unsigned permissions) noexcept;

/// SO_PEERCRED.
Result<PeerCredentials> peer_credentials(int fd) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_absent.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_unix.ipp>
#endif
