// The calls of a socket as coroutines: what asyncio names loop.sock_*.
//
// They are for sockets that stay the program's own: no transport, no protocol, no buffer. SocketCalls
// is a part of EventLoop and nothing by itself.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::inline v0_1 {

/// What sock_accept gives.
struct AcceptedSocket {
    Descriptor socket;   ///< Non-blocking and close-on-exec.
    SocketAddress peer;  ///< Where it comes from.
};

/// What sock_recvfrom gives.
struct ReceivedFrom {
    std::vector<std::byte> data;  ///< One datagram, or a piece of a stream.
    SocketAddress sender;         ///< No address where the system gives none.
};

/// What sock_recvfrom_into gives.
struct FilledFrom {
    std::size_t size;      ///< How much of the memory was filled, in bytes.
    SocketAddress sender;  ///< No address where the system gives none.
};

/// The part of EventLoop that waits for sockets which stay yours.
///
/// A socket is borrowed: it must be open, and any memory that is passed must be valid and, where it is
/// filled, left alone, until the awaiting has ended. Cancel before you close: a wait for a closed
/// descriptor never ends by itself. One coroutine may receive (or accept) while another one sends (or
/// connects) on the same socket; a second one in the same direction, or one where add_reader() or
/// add_writer() has put a callback, gets a std::logic_error when awaited.
///
/// All throw at once: std::logic_error on a closed loop and for a descriptor that a transport owns,
/// std::invalid_argument for a negative one and for one that is blocking (asyncio looks only in debug
/// mode), std::system_error for one that is not open. When awaited they throw std::system_error if the
/// system refuses, and Cancelled if the task is cancelled, which loses no data that has arrived.
/// https://docs.python.org/3/library/asyncio-eventloop.html#working-with-socket-objects-directly
class SLUICE_API SocketCalls {
public:
    /// Receives what is there, at most `most` bytes, in a vector of its own; empty at the end of a
    /// stream, and for an empty datagram.
    Task<std::vector<std::byte>> sock_recv(int socket, std::size_t most);
    /// The same into memory of the caller; how many bytes.
    Task<std::size_t> sock_recv_into(int socket, MutableBytes into);
    /// Receives one datagram and its sender. What is longer than `most` bytes is cut off.
    Task<ReceivedFrom> sock_recvfrom(int socket, std::size_t most);
    /// The same into memory of the caller.
    Task<FilledFrom> sock_recvfrom_into(int socket, MutableBytes into);
    /// Sends all of `data`, which is not copied, on a connected socket. After an exception nobody knows
    /// how much of it went.
    Task<void> sock_sendall(int socket, Bytes data);
    /// Sends one datagram to `to`; how many bytes of it.
    Task<std::size_t> sock_sendto(int socket, Bytes data, SocketAddress to);
    /// Connects. Names are resolved by EventLoop::getaddrinfo(). Throws AddressError if that fails.
    /// After an exception the socket is good for nothing but closing.
    Task<void> sock_connect(int socket, SocketAddress address);
    /// Accepts the next connection of a listening socket.
    Task<AcceptedSocket> sock_accept(int socket);
    /// Sends `count` bytes of `file` from byte `offset` on (no count: to its end as it is now) and gives
    /// how many. Arguments and what is thrown for them at once are those of Transport::sendfile(): a
    /// regular file, of which a duplicate is held. The kernel does it by itself where it can; else the
    /// file is read in pieces, off the loop where that would block, if `options` allow. Throws
    /// SendfileError, which says how much went, when awaited.
    Task<std::uint64_t> sock_sendfile(int socket, int file, std::int64_t offset = 0,
                                      std::optional<std::int64_t> count = {},
                                      SendfileOptions options = {});

protected:
    SocketCalls() = default;
    ~SocketCalls() = default;
};

}  // namespace sluice::inline v0_1
