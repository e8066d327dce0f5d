// Acceptor: one listening descriptor. Accepts in bounded bursts and rests when the system runs out
// of something.
//
// What becomes of a connection is its handler's business; it knows neither protocols nor servers.
#pragma once

#include <sluice/address.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/detail/accept_completions.hpp>
#include <sluice/detail/loop_core.hpp>

namespace sluice::inline v0_1::detail {

class AcceptHandler {
public:
    /// Called from the loop. Closing the acceptor here is allowed.
    virtual void on_accepted(Descriptor socket, const SocketAddress& local,
                             const SocketAddress& peer) noexcept = 0;

protected:
    ~AcceptHandler() = default;
};

class Acceptor final : private Watcher, private Timer {
public:
    /// `burst` connections at most are handed over per readiness event.
    Acceptor(LoopCore& core, Descriptor listening, SocketAddress local, int burst,
             AcceptHandler& handler);
    ~Acceptor() { close(); }

    /// Starts accepting; the descriptor listens already.
    std::error_code start() noexcept;
    /// Stops accepting and closes the descriptor.
    void close() noexcept;

    [[nodiscard]] int fd() const noexcept { return listening_.get(); }
    [[nodiscard]] const SocketAddress& local_address() const noexcept { return local_; }

private:
    void on_ready(Readiness events) noexcept override;
    void on_timer() noexcept override;
    [[nodiscard]] bool accept_one() noexcept;
    [[nodiscard]] Result<int> next_connection(SocketAddress& peer) noexcept;
    void rest(std::error_code reason) noexcept;
    [[nodiscard]] SocketAddress local_of(int fd) const noexcept;

    LoopCore& core_;
    AcceptCompletions* completions_;  // null: accept(2)
    Descriptor listening_;
    SocketAddress local_;
    AcceptHandler& handler_;
    int burst_;
    bool local_is_exact_;
    bool shortage_reported_ = false;
};

/// True for errors of one pending connection rather than of the listener: accept(2) says to go on
/// with the next.
bool concerns_one_connection(std::error_code error) noexcept;

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/acceptor.ipp>
#endif
