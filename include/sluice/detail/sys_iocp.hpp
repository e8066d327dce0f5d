// The part of the sys seam that Windows has: a completion port, polls of sockets and their operations. The
// same rules as in sys.hpp.
#pragma once

#include <sluice/address.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/timer_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sluice::inline v0_1::detail {
// impl/windows_operations.ipp; only the IOCP backend looks inside.
struct AcceptOperation;
struct AfdPoll;
struct SocketOperation;

/// One of the two; neither stands for post_wake().
struct PortCompletion {
    AfdPoll* poll = nullptr;
    SocketOperation* operation = nullptr;
};
}  // namespace sluice::inline v0_1::detail

namespace sluice::inline v0_1::detail::sys {

Result<int> open_completion_port() noexcept;
/// What polls are handed to, and `port` gets their completions from.
Result<int> open_afd(int port) noexcept;
/// The socket below those of filters that are plugged in between, which are nothing to AFD.
/// WSAENOTSOCK: `fd` is something else.
Result<int> base_socket(int fd) noexcept;

/// Polls `socket`, as base_socket() gave it, once: completes as soon as one of `events` has happened,
/// also when it has by now. After an error nothing completes.
std::error_code start_poll(int afd, int socket, std::uint32_t events, AfdPoll& poll) noexcept;
/// It then completes without an event, unless it is just about to complete with one.
void cancel_poll(int afd, AfdPoll& poll) noexcept;

/// What is begun with `fd` from now on completes at the port. A socket has one port as long as it is open:
/// an error if it has one.
std::error_code use_port(int port, int fd) noexcept;
/// Receives no bytes: completes as soon as there are some, the end has come or the stream has failed.
/// After an error nothing completes.
std::error_code start_receive(int fd, SocketOperation& receive) noexcept;
/// Accepts a connection of `listener`, which is of this family, with a socket that is made for it. After an
/// error nothing completes.
std::error_code start_accept(int listener, Family family, AcceptOperation& accept) noexcept;
/// Of an accept that has completed: what accept() gives. Every error is connection_aborted.
Result<int> accepted_connection(int listener, AcceptOperation& accept) noexcept;
/// An edition of Windows for clients runs two TransmitFile at a time on the whole system and lets others wait.
bool is_client_edition() noexcept;
/// TransmitFile of `count` bytes, which is not 0, at most of 2 GiB. Would-block: it is under way. Else nothing
/// completes, and the result is that of sendfile(): 0, the file ends before `offset`, or an error.
IoResult start_sendfile(int fd, int file, std::int64_t offset, std::size_t count,
                        SocketOperation& sending) noexcept;
/// Of a TransmitFile that has completed: what sendfile() gives, but no error that says it was refused.
IoResult sent_file(int fd, SocketOperation& sending) noexcept;
/// It then completes as cancelled, unless it is just about to complete otherwise.
void cancel_operation(int fd, SocketOperation& operation) noexcept;
/// Of an operation that has completed: the bytes that it has moved.
IoResult operation_result(int fd, SocketOperation& operation) noexcept;

/// Sleeps until something completes. Timed out gives 0; the timeout is rounded up to a millisecond.
std::size_t wait_for_completions(int port, std::span<PortCompletion> completed,
                                 std::optional<Duration> timeout) noexcept;
/// False if the system has no memory for it.
bool post_wake(int port) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && SLUICE_HAS_IOCP
#include <sluice/impl/sys_iocp.ipp>
#include <sluice/impl/sys_iocp_accept.ipp>
#include <sluice/impl/sys_iocp_sendfile.ipp>
#endif
