// What a system without TLS in its kernel says to those who ask for it.
#pragma once

#include <sluice/detail/sys.hpp>

#include <cerrno>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE std::error_code use_kernel_tls(int, bool, Bytes) noexcept {
    return std::make_error_code(std::errc::no_such_file_or_directory);
}

SLUICE_INLINE IoResult send_record(int, std::uint8_t, Bytes) noexcept {
    return IoResult::failure(EOPNOTSUPP);
}

SLUICE_INLINE void close_kernel_tls(int fd) noexcept {
    close(fd);
}

SLUICE_INLINE IoResult receive_record(int, MutableBytes, std::uint8_t&) noexcept {
    return IoResult::failure(EOPNOTSUPP);
}

}  // namespace sluice::inline v0_1::detail::sys
