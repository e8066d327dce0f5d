// Accepting connections without spinning and without giving up.
#pragma once

#include <sluice/detail/acceptor.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_accept.hpp>

#include <algorithm>

namespace sluice::inline v0_1::detail {

/// True if every connection accepted from here has this very local address.
SLUICE_INLINE bool is_exact(const SocketAddress& address) noexcept {
    return address.family() == Family::unix_domain ||
           !std::ranges::all_of(address.ip_bytes(), [](std::uint8_t byte) { return byte == 0; });
}

SLUICE_INLINE Acceptor::Acceptor(LoopCore& core, Descriptor listening, SocketAddress local,
                                 int burst, AcceptHandler& handler)
    : core_(core),
      completions_(core.poller().accept_completions()),
      listening_(std::move(listening)),
      local_(std::move(local)),
      handler_(handler),
      burst_(std::max(burst, 1)),
      local_is_exact_(is_exact(local_)) {
    // add_reader() and friends must refuse it: not every system tells when somebody watches twice.
    core_.own_descriptor(listening_.get());
}

SLUICE_INLINE std::error_code Acceptor::start() noexcept {
    // A resting acceptor starts again by itself; starting it earlier would undo the rest.
    if (!listening_ || scheduled()) {
        return {};
    }
    return core_.watch(*this, listening_.get(),
                       completions_ == nullptr ? Readiness::readable : Readiness::accepted);
}

SLUICE_INLINE void Acceptor::close() noexcept {
    core_.cancel(*this);
    if (listening_) {
        core_.unwatch(*this, listening_.get());
        core_.disown_descriptor(listening_.get());
        listening_.reset();
    }
}

SLUICE_INLINE void Acceptor::on_ready(Readiness) noexcept {
    for (int count = 0; count < burst_ && listening_; ++count) {
        if (!accept_one()) {
            return;
        }
    }
}

/// False when there is nothing more to accept for now.
SLUICE_INLINE bool Acceptor::accept_one() noexcept {
    SocketAddress peer;
    const Result<int> accepted = next_connection(peer);
    if (accepted.blocked()) {
        return false;
    }
    if (accepted.ok()) {
        shortage_reported_ = false;
        Descriptor socket(accepted.value());
        const SocketAddress local = local_of(socket.get());
        handler_.on_accepted(std::move(socket), local, peer);
        return true;
    }
    if (concerns_one_connection(accepted.error())) {
        return true;
    }
    rest(accepted.error());
    return false;
}

SLUICE_INLINE Result<int> Acceptor::next_connection(SocketAddress& peer) noexcept {
    if (completions_ == nullptr) {
        return sys::accept(listening_.get(), peer);
    }
    const Result<int> accepted = completions_->take_accepted(listening_.get());
    if (accepted.ok()) {
        peer = sys::accepted_peer(accepted.value(), local_.family());
    }
    return accepted;
}

SLUICE_INLINE SocketAddress Acceptor::local_of(int fd) const noexcept {
    return local_is_exact_ ? local_ : sys::local_address(fd);
}

/// Stops watching for a while: the pending connections keep the listener readable, which would
/// spin.
SLUICE_INLINE void Acceptor::rest(std::error_code reason) noexcept {
    if (!shortage_reported_) {
        shortage_reported_ = true;
        core_.report_made([&]() -> ExceptionContext {
            return {.message = "socket.accept() out of system resource or failing, listener " +
                               local_.to_string() + " rests",
                    .exception = {},
                    .error = reason};
        });
    }
    try {
        core_.schedule(*this, sys::now() + limits::accept_rest_time);
    } catch (const std::bad_alloc&) {
        return;
    }
    core_.unwatch(*this, listening_.get());
}

SLUICE_INLINE void Acceptor::on_timer() noexcept {
    if (const std::error_code error = start()) {
        rest(error);
    }
}

SLUICE_INLINE bool concerns_one_connection(std::error_code error) noexcept {
    for (const std::errc code :
         {std::errc::connection_aborted, std::errc::connection_reset, std::errc::protocol_error,
          std::errc::no_protocol_option, std::errc::network_down, std::errc::network_unreachable,
          std::errc::host_unreachable, std::errc::operation_not_permitted, std::errc::timed_out}) {
        if (error == code) {
            return true;
        }
    }
    return false;
}

}  // namespace sluice::inline v0_1::detail
