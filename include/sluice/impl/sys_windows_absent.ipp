// What Windows has no counterpart of, or none that these calls could use: kernel TLS, Unix sockets,
// pipes as POSIX has them, programs started with them. Each refuses with operation_not_supported.
#pragma once

#include <sluice/impl/windows_headers.ipp>

#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_pipes.hpp>
#include <sluice/detail/sys_process.hpp>
#include <sluice/detail/sys_unix.hpp>

namespace sluice::inline v0_1::detail::sys {

inline constexpr int not_supported = WSAEOPNOTSUPP;

// ---- TLS in the kernel ----

SLUICE_INLINE std::error_code use_kernel_tls(int, bool, Bytes) noexcept {
    // What a kernel says that has no TLS.
    return std::make_error_code(std::errc::no_such_file_or_directory);
}

SLUICE_INLINE IoResult send_record(int, std::uint8_t, Bytes) noexcept {
    return IoResult::failure(not_supported);
}

SLUICE_INLINE void close_kernel_tls(int fd) noexcept {
    close(fd);
}

SLUICE_INLINE IoResult receive_record(int, MutableBytes, std::uint8_t&) noexcept {
    return IoResult::failure(not_supported);
}

// ---- Unix sockets ----

SLUICE_INLINE Result<PathStatus> path_status(const std::string&) noexcept {
    return Result<PathStatus>::failure(not_supported);
}

SLUICE_INLINE std::error_code remove_path(const std::string&) noexcept {
    return system_error(not_supported);
}

SLUICE_INLINE std::error_code set_path_permissions(const std::string&, unsigned) noexcept {
    return system_error(not_supported);
}

SLUICE_INLINE std::error_code set_socket_permissions(int, unsigned) noexcept {
    return system_error(not_supported);
}

SLUICE_INLINE Result<PeerCredentials> peer_credentials(int) noexcept {
    return Result<PeerCredentials>::failure(not_supported);
}

// ---- pipes ----

SLUICE_INLINE Result<PipeStatus> pipe_status(int) noexcept {
    return Result<PipeStatus>::failure(not_supported);
}

SLUICE_INLINE void set_blocking(int) noexcept {}

SLUICE_INLINE bool unshare_terminal(int) noexcept {
    return false;
}

SLUICE_INLINE IoResult read(int, MutableBytes) noexcept {
    return IoResult::failure(not_supported);
}

SLUICE_INLINE IoResult write_gathered(int, std::span<const Bytes>) noexcept {
    return IoResult::failure(not_supported);
}

SLUICE_INLINE bool reader_is_gone(int) noexcept {
    return true;
}

// ---- programs ----

SLUICE_INLINE Result<PipeEnds> open_pipe() noexcept {
    return Result<PipeEnds>::failure(not_supported);
}

SLUICE_INLINE Result<int> open_null() noexcept {
    return Result<int>::failure(not_supported);
}

SLUICE_INLINE Result<int> duplicate_above_standard(int) noexcept {
    return Result<int>::failure(not_supported);
}

SLUICE_INLINE Result<int> start_program(const ProgramStart&) {
    return Result<int>::failure(not_supported);
}

SLUICE_INLINE Result<int> watch_process(int) noexcept {
    return Result<int>::failure(not_supported);
}

SLUICE_INLINE Result<int> take_exit_status(int, bool) noexcept {
    return Result<int>::failure(not_supported);
}

SLUICE_INLINE void abandon_program(int) noexcept {}

SLUICE_INLINE std::error_code signal_process(int, int, int) noexcept {
    return system_error(not_supported);
}

}  // namespace sluice::inline v0_1::detail::sys
