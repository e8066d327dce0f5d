// Connector: one connection out of several addresses (happy eyeballs, RFC 8305). The first success
// wins, the other attempts are closed. It knows no names, protocols or coroutines; destroying it
// cancels everything.
#pragma once

#include <sluice/address.hpp>
#include <sluice/callback.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/detail/loop_core.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace sluice::inline v0_1::detail {

struct ConnectPlan {
    std::vector<SocketAddress> remote;  // in the order of attempts
    std::vector<SocketAddress>
        local;  // to bind to, the first of the right family that works; empty: any
    std::optional<Duration>
        stagger;  // start the next attempt after this; none: only after a failure
};

struct AttemptFailure {
    SocketAddress address;
    std::error_code error;
    std::string what;
};

class Connector final : private Ready, private Timer {
public:
    /// `on_done` is called once, from the loop's ready phase, unless the connector is destroyed
    /// before.
    Connector(LoopCore& core, ConnectPlan plan, Callback on_done);
    ~Connector();

    void start();

    // Valid once done.
    [[nodiscard]] Descriptor take_socket() noexcept { return std::move(socket_); }
    [[nodiscard]] const SocketAddress& peer() const noexcept { return peer_; }
    [[nodiscard]] const std::vector<AttemptFailure>& failures() const noexcept { return failures_; }

private:
    class Attempt;

    void on_ready_phase() noexcept override;
    void on_timer() noexcept override;
    void start_next();
    void attempt_ended(Attempt& attempt, std::error_code error) noexcept;
    void record_failure(const SocketAddress& address, std::error_code error, std::string what);
    [[nodiscard]] Descriptor open_bound(const SocketAddress& remote);
    [[nodiscard]] bool bind_local(int fd, const SocketAddress& remote);
    void finish(Descriptor socket, const SocketAddress& peer) noexcept;
    void arm_stagger();

    LoopCore& core_;
    ConnectPlan plan_;
    Callback on_done_;
    std::size_t next_ = 0;
    bool finished_ = false;
    std::vector<std::unique_ptr<Attempt>> attempts_;
    std::vector<AttemptFailure> failures_;
    Descriptor socket_;
    SocketAddress peer_;
};

/// Reorders addresses so that the first `first_family_count` of the first family come first and the
/// families alternate from there (RFC 8305, section 4).
std::vector<SocketAddress> interleave_families(const std::vector<SocketAddress>& addresses,
                                               std::size_t first_family_count);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/connector.ipp>
#endif
