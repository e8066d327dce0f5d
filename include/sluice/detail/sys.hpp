// The only way to the kernel. src/sys.cpp is the real one; tests link a simulated or a failing one
// in its place.
//
// Free functions, so release code has no table to go through. Every descriptor is born non-blocking
// and close-on-exec; EINTR never comes out of a call that can simply be repeated; no call raises
// SIGPIPE. Nothing here knows a loop.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/timer_heap.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <vector>

struct epoll_event;  // <sys/epoll.h>; only the epoll backend looks inside

namespace sluice::inline v0_1 {
class Callback;
}

namespace sluice::inline v0_1::detail::sys {

// ---- time and threads ----

TimePoint now() noexcept;
/// False in a simulated system, where what threads would do is done at once.
bool has_threads() noexcept;
/// Runs `body` on a new detached thread. False if the system has none to give.
bool start_thread(Callback&& body) noexcept;
unsigned processor_count() noexcept;
/// Calls `function` in every child that is forked from now on (pthread_atfork(3)). False if there
/// is no memory for that.
bool call_in_forked_child(void (*function)()) noexcept;

// ---- sockets ----

enum class SocketType : std::uint8_t { stream, datagram };

enum class SocketOption : std::uint8_t {
    no_delay,       // TCP_NODELAY
    reuse_address,  // SO_REUSEADDR
    reuse_port,     // SO_REUSEPORT
    keep_alive,     // SO_KEEPALIVE
    v6_only,        // IPV6_V6ONLY
    cork,           // TCP_CORK: only full packets leave
};

Result<int> open_socket(Family family, SocketType type) noexcept;
std::error_code set_option(int fd, SocketOption option, bool on) noexcept;
std::error_code set_nonblocking(int fd) noexcept;
std::error_code bind(int fd, const SocketAddress& address) noexcept;
std::error_code listen(int fd, int backlog) noexcept;
/// Would-block means: in progress; the socket becomes writable and `take_error` tells how it ended.
Result<int> connect(int fd, const SocketAddress& address) noexcept;
/// The peer's address is stored in `peer`. Would-block when no connection waits.
Result<int> accept(int fd, SocketAddress& peer) noexcept;
/// SO_ERROR, which reading clears.
std::error_code take_error(int fd) noexcept;
/// The type of an open socket; an error if `fd` is none.
Result<SocketType> socket_type(int fd) noexcept;
/// SO_ACCEPTCONN.
Result<bool> is_listening(int fd) noexcept;
/// No address if the system gives none, for example when the peer is gone.
SocketAddress local_address(int fd) noexcept;
SocketAddress peer_address(int fd) noexcept;

/// 0 is the end of the stream.
IoResult recv(int fd, MutableBytes into) noexcept;
IoResult send(int fd, Bytes from) noexcept;
/// Sends the concatenation of at most limits::gather_segments pieces; may stop anywhere. With
/// `more_follows` what does not fill a packet may wait for that.
IoResult send_gathered(int fd, std::span<const Bytes> pieces, bool more_follows = false) noexcept;
std::error_code shutdown_write(int fd) noexcept;
void close(int fd) noexcept;

// ---- TLS in the kernel ----

/// Gives the kernel the keys of what is sent, or received, from here on: a struct of <linux/tls.h>.
/// ENOENT if it has no TLS.
std::error_code use_kernel_tls(int fd, bool sending, Bytes keys) noexcept;
/// Sends a record of this type, which the kernel seals; all of it or nothing.
IoResult send_record(int fd, std::uint8_t type, Bytes content) noexcept;
/// close() for such a socket: the kernel sends what is left of records then, with the flags they came
/// with.
void close_kernel_tls(int fd) noexcept;
/// Receives what the kernel has opened: bytes of records of one type, which is stored in `type`.
IoResult receive_record(int fd, MutableBytes into, std::uint8_t& type) noexcept;

// ---- files ----

struct FileStatus {
    bool readable = false;  // the descriptor was opened for reading
    bool regular = false;
    bool directory = false;
    std::int64_t size = 0;  // bytes
};
/// An error if `fd` is not open.
Result<FileStatus> file_status(int fd) noexcept;
/// Another descriptor for what `fd` is.
Result<int> duplicate(int fd) noexcept;
/// Sends at most `count` bytes of `file` from `offset` on; may stop anywhere. 0: the file ends there.
/// EINVAL, ENOSYS and EOPNOTSUPP mean that this file, or this socket, is not for it.
IoResult sendfile(int fd, int file, std::int64_t offset, std::size_t count) noexcept;
/// Reads at `offset`; 0 is the end of the file. Unless it may block, "would block" means that the
/// bytes are not in memory, or that the system cannot tell.
IoResult read_file(int file, std::int64_t offset, MutableBytes into, bool may_block) noexcept;

/// Opens a file for appending that only its owner can read, before anything is written to it. An
/// error if it is a symbolic link, no regular file or somebody else's.
Result<std::FILE*> open_private_file(const std::string& path) noexcept;

// ---- readiness: epoll(7), eventfd(2) ----

Result<int> epoll_create() noexcept;
std::error_code epoll_add(int epoll_fd, int fd, std::uint32_t events, void* user) noexcept;
std::error_code epoll_modify(int epoll_fd, int fd, std::uint32_t events, void* user) noexcept;
void epoll_remove(int epoll_fd, int fd) noexcept;
/// Interrupted and timed out both give 0. The timeout is rounded up to a millisecond, so that a
/// timer never fires early.
std::size_t epoll_wait(int epoll_fd, std::span<epoll_event> events,
                       std::optional<Duration> timeout) noexcept;

/// A descriptor that `signal_wake` makes readable until `drain_wake`.
Result<int> open_wake() noexcept;
void signal_wake(int fd) noexcept;
void drain_wake(int fd) noexcept;

// ---- signals ----

/// Calls `handler` (async-signal-safe code only) when `signal_number` arrives; null restores the
/// default action.
std::error_code set_signal_handler(int signal_number, void (*handler)(int)) noexcept;
bool is_main_thread() noexcept;

// ---- names; these may block for long ----

struct ResolveRequest {
    std::string host;     // empty: the wildcard if `passive`, else loopback
    std::string service;  // a number or a name; empty: port 0
    Family family = Family::unspecified;
    SocketType type = SocketType::stream;
    bool passive = false;
    bool numeric_host = false;
};

struct ResolveAnswer {
    std::vector<SocketAddress> addresses;
    std::error_code error;
};

ResolveAnswer resolve(const ResolveRequest& request);

struct NameAnswer {
    std::string host;
    std::string service;
    std::error_code error;
};

NameAnswer name_of(const SocketAddress& address, bool numeric_host, bool numeric_service);

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows.ipp>
#include <sluice/impl/sys_windows_file.ipp>
#include <sluice/impl/sys_windows_resolve.ipp>
#include <sluice/impl/sys_windows_signals.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#if SLUICE_HAS_EPOLL
#include <sluice/impl/sys_epoll.ipp>
#endif
#include <sluice/impl/sys_file.ipp>
#include <sluice/impl/sys_kernel_tls.ipp>
#include <sluice/impl/sys_posix.ipp>
#include <sluice/impl/sys_resolve.ipp>
#endif
