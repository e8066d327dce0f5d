// How connections and servers are made once their sockets exist: what every create_* call of the
// event loop ends with, whatever it starts from. Defined in event_loop_network.ipp.
#pragma once

#include <sluice/callback.hpp>
#include <sluice/connection.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/detail/connector.hpp>
#include <sluice/detail/socket_file.hpp>
#include <sluice/detail/tls_transport.hpp>
#include <sluice/future.hpp>
#include <sluice/handle.hpp>
#include <sluice/options.hpp>
#include <sluice/server.hpp>
#include <sluice/task.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sluice::inline v0_1 {
class EventLoop;
}

namespace sluice::inline v0_1::detail {

/// Cancels `future` when the time is up, and tells that from other cancellations.
class ConnectDeadline {
public:
    ConnectDeadline(EventLoop& loop, std::optional<Duration> limit);
    ConnectDeadline(const ConnectDeadline&) = delete;
    ConnectDeadline& operator=(const ConnectDeadline&) = delete;
    ~ConnectDeadline() { timer_.cancel(); }

    template <class T>
    void guard(const Future<T>& future) {
        state_->cancel = [future] { future.cancel(); };
        // Between the end of what was guarded before and this call the time may have passed.
        if (state_->expired) {
            future.cancel();
        }
    }
    [[nodiscard]] bool expired() const noexcept { return state_->expired; }
    /// What it was for is done in time.
    void end() noexcept { timer_.cancel(); }

private:
    struct State {
        bool expired = false;
        Callback cancel;
    };

    std::shared_ptr<State> state_ = std::make_shared<State>();
    TimerHandle timer_;
};

/// Makes protocol and transport and waits for connection_made. If the wait is cancelled, the
/// connection is aborted.
Task<MadeConnection> make_connection(EventLoop& loop, ConnectionFactory factory, Descriptor socket,
                                     SocketAddress local, SocketAddress peer,
                                     std::optional<TlsPlan> tls, TimeLimits limits = TimeLimits());

/// Throws the one exception that stands for all attempts, as asyncio chooses it: the only or common
/// error itself, else a summary.
[[noreturn]] void throw_failures(const std::vector<AttemptFailure>& failures,
                                 const std::string& host, bool all_errors);

/// Throws std::invalid_argument, naming `method`, for what is no open stream socket.
void check_stream_socket(const Descriptor& socket, const char* method);

/// A server on bound sockets, serving unless the options say later. `file` is removed with it.
Ref<Server> make_server(EventLoop& loop, ConnectionFactory factory, std::vector<Descriptor> bound,
                        const ServerOptions& options, SocketFile file = SocketFile());

}  // namespace sluice::inline v0_1::detail
