// ConnectionOwner: what a transport knows of the server that accepted it, and no more.
#pragma once

#include <sluice/detail/intrusive_list.hpp>
#include <sluice/protocol.hpp>

#include <functional>
#include <memory>

namespace sluice::inline v0_1 {

class Transport;

namespace detail {

/// Makes the protocol of a connection.
using ConnectionFactory = std::function<std::unique_ptr<StreamProtocol>()>;

/// A connection in its owner's list. With TLS it is the outer transport that is tracked.
class TrackedConnection : public ListNode<TrackedConnection> {
public:
    virtual Transport& tracked_transport() noexcept = 0;

protected:
    ~TrackedConnection() = default;
};

/// Outlives its connections.
class ConnectionOwner {
public:
    /// The protocol for a connection that is about to start; null if the owner closed meanwhile.
    /// May throw what the user's factory throws.
    virtual std::unique_ptr<StreamProtocol> make_protocol() = 0;
    /// The connection is over: connection_lost has returned, or it never started. Called exactly
    /// once.
    virtual void connection_gone(TrackedConnection& connection) noexcept = 0;

    /// `now` stands for the connection from here on (start_tls).
    virtual void connection_replaced(TrackedConnection& before,
                                     TrackedConnection& now) noexcept = 0;

protected:
    ~ConnectionOwner() = default;
};

}  // namespace detail
}  // namespace sluice::inline v0_1
