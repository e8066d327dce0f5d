// What a loop, a server or a transport has done so far: plain numbers, always counted, read when
// wanted.
//
// Counters only grow; the difference of two readings is a rate. Counting costs an addition to a
// number that is in the cache anyway.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace sluice::inline v0_1 {

/// EventLoop::counters().
struct LoopCounters {
    std::uint64_t iterations = 0;           ///< Runs of the loop's four phases.
    std::uint64_t readiness_events = 0;     ///< Descriptors found ready.
    std::uint64_t timers_fired = 0;         ///< Callbacks of call_later() and ends of sleep().
    std::uint64_t receive_calls = 0;        ///< Calls that asked for bytes, pieces of io_uring.
    std::uint64_t send_calls = 0;           ///< Calls that offered bytes, sends of io_uring.
    std::uint64_t bytes_received = 0;       ///< By all transports.
    std::uint64_t bytes_sent = 0;           ///< Taken by the kernel from all transports.
    std::uint64_t connections_made = 0;     ///< connection_made callbacks.
    std::uint64_t connections_lost = 0;     ///< connection_lost callbacks.
    std::uint64_t exceptions_reported = 0;  ///< Calls of the exception handler.
    std::size_t timers_pending = 0;         ///< Now, not since the start.
};

/// Server::counters().
struct ServerCounters {
    std::uint64_t accepted = 0;  ///< Connections accepted, refused ones not counted.
    /// Closed unread because of max_connections or max_connections_per_address.
    std::uint64_t refused = 0;
    /// Closed because of their PROXY header: malformed, too long, too late, missing, or from a source
    /// that is not trusted. Not accepted either.
    std::uint64_t proxy_rejected = 0;
    /// Now: accepted and not yet lost, and those whose PROXY header is awaited.
    std::size_t open = 0;
    /// Connections that ended before their TLS handshake was complete: for whatever reason, also by
    /// the server's own close_clients() or abort_clients().
    std::uint64_t handshakes_failed = 0;
};

/// get_extra_info(extra::counters) of a transport.
struct TransportCounters {
    std::uint64_t bytes_received = 0;  ///< Handed to the protocol.
    std::uint64_t bytes_sent = 0;  ///< Taken by the kernel; get_write_buffer_size() is what waits.
};

/// Watches the loop's rhythm. Its own time counts as the loop's. Costs nothing while none is set.
class LoopObserver {
public:
    virtual ~LoopObserver() = default;
    /// After each iteration: how long the loop slept, how long it then ran callbacks (the lag that
    /// everybody else saw), and how many descriptors were ready.
    virtual void on_iteration(std::chrono::nanoseconds slept, std::chrono::nanoseconds ran,
                              std::size_t readiness_events) noexcept = 0;
};

}  // namespace sluice::inline v0_1
