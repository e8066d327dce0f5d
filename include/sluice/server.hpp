// Server: listening sockets and the connections they accepted. Made by EventLoop::create_server().
#pragma once

#include <sluice/counters.hpp>
#include <sluice/future.hpp>
#include <sluice/options.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <chrono>
#include <memory>
#include <vector>

namespace sluice::inline v0_1 {

/// The counterpart of asyncio.Server. Every method is to be called on the loop's thread. The loop
/// keeps a server that is not closed alive without a reference of yours.
class Server : public RefCounted {
public:
    /// The listening sockets; empty once closed.
    [[nodiscard]] virtual std::vector<SocketView> sockets() const = 0;
    /// The address of the first listening socket, as the system completed it. Throws
    /// std::logic_error once closed.
    [[nodiscard]] SLUICE_API SocketAddress local_address() const;
    /// True while it accepts connections.
    [[nodiscard]] virtual bool is_serving() const noexcept = 0;
    /// What it has accepted and refused so far, and what is open now.
    [[nodiscard]] virtual ServerCounters counters() const noexcept = 0;
    /// Connections accepted and not yet lost.
    [[nodiscard]] std::size_t connection_count() const noexcept { return counters().open; }
    /// Connections closed unread because of max_connections.
    [[nodiscard]] std::size_t refused_count() const noexcept {
        return static_cast<std::size_t>(counters().refused);
    }

    /// Starts accepting; nothing if it does already. Throws std::logic_error on a closed server and
    /// std::system_error if the system refuses to listen.
    virtual void start_serving() = 0;
    /// start_serving(), then waits until the server is closed, and throws sluice::Cancelled as
    /// asyncio does then. Cancelling the awaiting task closes the server and waits for its
    /// connections. Throws std::logic_error if it is awaited already or the server is closed.
    virtual Task<void> serve_forever() = 0;

    /// Stops accepting at once and closes the listening sockets; connections live on. Idempotent.
    virtual void close() = 0;
    /// close() on every connection.
    virtual void close_clients() = 0;
    /// abort() on every connection.
    virtual void abort_clients() = 0;
    /// Waits until close() was called and the last connection is lost.
    virtual Task<void> wait_closed() = 0;
    /// close(), then tells the protocols (server_draining), gives them `deadline` to finish on
    /// their own, then aborts what is left and waits for it. True if nothing had to be aborted.
    virtual Task<bool> drain(std::chrono::nanoseconds deadline) = 0;

protected:
    using RefCounted::RefCounted;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/server_base.ipp>
#endif
