// The part of the system seam for pipes, FIFOs and terminals: what a descriptor is, and read(2) and
// writev(2) on it, where sys.hpp has the calls that only sockets know.
//
// The same rules as in sys.hpp: no SIGPIPE, no EINTR, nothing here knows a loop.
#pragma once

#include <sluice/detail/sys.hpp>

namespace sluice::inline v0_1::detail::sys {

enum class PipeKind : std::uint8_t {
    pipe,      // also a FIFO
    socket,    // of any type
    terminal,  // either end of one
    device,    // another character device
    file,      // a regular file
    other,     // a directory, a block device
};

struct PipeStatus {
    PipeKind kind = PipeKind::other;
    bool readable = false;  // opened for reading
    bool writable = false;  // opened for writing
    bool blocking = false;
};
/// An error if `fd` is not open.
Result<PipeStatus> pipe_status(int fd) noexcept;
/// Undoes set_nonblocking().
void set_blocking(int fd) noexcept;
/// Gives the terminal behind `fd` an open file description that nobody shares, non-blocking, under the
/// same number. False where that is not possible; then nothing has changed.
bool unshare_terminal(int fd) noexcept;

/// 0 is the end of the stream.
IoResult read(int fd, MutableBytes into) noexcept;
/// Writes the concatenation of at most limits::gather_segments pieces; may stop anywhere.
IoResult write_gathered(int fd, std::span<const Bytes> pieces) noexcept;
/// Nobody can ever read what is written to `fd` from now on (POLLERR, POLLHUP).
bool reader_is_gone(int fd) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_absent.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_pipes.ipp>
#endif
