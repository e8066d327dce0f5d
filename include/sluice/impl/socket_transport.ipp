// SocketTransport: construction, reading, ending. How bytes leave is in socket_transport_write.ipp.
#pragma once

#include <sluice/detail/positive.hpp>
#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_unix.hpp>

#include <algorithm>
#include <array>
#include <cerrno>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE Ref<SocketTransport> SocketTransport::create(LoopCore& core, Descriptor socket,
                                                           SocketAddress local,
                                                           SocketAddress peer) {
    Ref<SocketTransport> transport(
        new SocketTransport(core, socket.get(), std::move(local), std::move(peer)));
    static_cast<void>(socket.release());
    transport->hold_by_loop();
    return transport;
}

SLUICE_INLINE SocketTransport::SocketTransport(LoopCore& core, int fd, SocketAddress local,
                                               SocketAddress peer)
    : StreamTransport(core), fd_(fd), local_(std::move(local)), peer_(std::move(peer)) {
    core.own_descriptor(fd);
}

SLUICE_INLINE SocketTransport::~SocketTransport() = default;

// ---- starting ----

SLUICE_INLINE void SocketTransport::run_start() noexcept {
    if (!make_protocol_if_needed()) {
        run_lost();
        return;
    }
    ++core_->counters.connections_made;
    made();
    // Only now, so that a pause or a close inside connection_made holds.
    update_interest();
    tell_started();
}

// ---- reading ----

SLUICE_INLINE void SocketTransport::on_ready(Readiness events) noexcept {
    if (has(events, Readiness::readable | Readiness::received) && is_reading()) {
        read_ready();
    }
    if (has(events, Readiness::writable) && write_blocked_) {
        writable_again();
    }
}

SLUICE_INLINE void SocketTransport::update_interest() noexcept {
    Readiness wanted = Readiness::none;
    if (is_reading() && !(kernel_opens() && rest_->resting())) {
        wanted = wanted | reading_interest();
    } else if (receives_ || backend_sends_files_) {
        wanted = wanted | Readiness::parked;
    }
    if (write_blocked_ && !awaits_file_) {
        wanted = wanted | Readiness::writable;
    }
    if (const std::error_code error = core_->watch(*this, fd_, wanted)) {
        end_with(error);
    }
}

SLUICE_INLINE void SocketTransport::look_again() noexcept {
    if (!ended()) {
        update_interest();
    }
}

SLUICE_INLINE void SocketTransport::read_ready() noexcept {
    std::size_t budget_bytes = limits::read_budget_bytes;
    while (read_once(budget_bytes)) {
    }
}

/// One recv and one callback; true if reading at once again makes sense.
SLUICE_INLINE bool SocketTransport::read_once(std::size_t& budget_bytes) noexcept {
    if (receives_) {
        return deliver_received(budget_bytes);
    }
    const StreamProtocol* const asked = protocol_.get();
    const MutableBytes space = receive_room();
    // get_buffer() is user code: after a pause, a close or a change of protocol its buffer is not
    // to be used. Readiness is level-triggered, so nothing is lost by returning.
    if (space.empty() || !is_reading() || asked != protocol_.get()) {
        return false;
    }
    const IoResult received = receive(space);
    ++core_->counters.receive_calls;
    if (received.blocked()) {
        if (kernel_opens() && rest_->got_nothing()) {
            update_interest();
        }
        return false;
    }
    if (kernel_opens()) {
        rest_->got_something();
    }
    if (!received.ok()) {
        end_with(received.error());
        return false;
    }
    const std::size_t count = received.value();
    if (count == 0) {
        receive_eof();
        return false;
    }
    count_received(count);
    if (reads_large_) {
        note_read_size(count > limits::ring_buffer_bytes, limits::ring_small_after_reads);
    }
    deliver(space.first(count));
    // A short read has emptied the socket; asking again would only give "would block".
    const bool emptied = count < space.size() && !kernel_opens();
    // Not over a Unix socket, where a read stops behind bytes that came with descriptors.
    if (emptied && core_->completions() != nullptr && !ended() &&
        local_.family() != Family::unix_domain) {
        core_->completions()->note_emptied(fd_);
    }
    if (emptied || count >= budget_bytes) {
        return false;
    }
    budget_bytes -= count;
    return is_reading();
}

SLUICE_INLINE void SocketTransport::count_received(std::size_t byte_count) noexcept {
    core_->counters.bytes_received += byte_count;
    counters_.bytes_received += byte_count;
    note_received();
}

SLUICE_INLINE Bytes SocketTransport::undelivered_input(MutableBytes space) noexcept {
    const IoResult received = receive(space);
    return space.first(received.ok() ? received.value() : 0);
}

SLUICE_INLINE IoResult SocketTransport::receive(MutableBytes space) const noexcept {
    if (!kernel_opens()) {
        return sys::recv(fd_, space);
    }
    // What OpenSSL would have read from a socket of its own (its ktls_read_record).
    constexpr std::size_t header_bytes = 5;
    if (space.size() <= header_bytes) {
        return IoResult::failure(EINVAL);
    }
    std::uint8_t type = 0;
    const MutableBytes room = space.subspan(header_bytes);
    const IoResult received =
        sys::receive_record(fd_, room.first(std::min(room.size(), limits::tls_record_bytes)), type);
    if (!received.ok() || received.value() == 0) {
        return received;
    }
    const std::size_t count = received.value();
    const std::array<unsigned, header_bytes> header = {
        type, 3, 3, static_cast<unsigned>(count >> 8), static_cast<unsigned>(count & 0xff)};
    std::ranges::transform(header, space.begin(),
                           [](unsigned byte) { return static_cast<std::byte>(byte); });
    return IoResult(header_bytes + count);
}

SLUICE_INLINE void SocketTransport::receive_eof() noexcept {
    const bool keep_open = deliver_eof();
    if (closing_) {
        return;  // The callback failed, closed or aborted.
    }
    if (keep_open) {
        update_interest();
    } else {
        close();
    }
}

// ---- ending ----

SLUICE_INLINE void SocketTransport::close() {
    if (closing_) {
        return;
    }
    core_->check_thread("Transport::close()");
    // What was gathered goes out first, so that a write after this one finds what asyncio's would:
    // nothing pending unless the kernel refused some.
    if (!write_blocked_) {
        flush_queue();
    }
    if (closing_) {
        return;
    }
    closing_ = true;
    update_interest();
    if (all_sent()) {
        end_with({});
    }
}

SLUICE_INLINE void SocketTransport::end_with(std::error_code reason) noexcept {
    if (ended()) {
        return;
    }
    drop_queue(reason);
    records_.reset();
    core_->unwatch(*this, fd_);
    defer(lost_pending);
}

SLUICE_INLINE void SocketTransport::release_lower() noexcept {
    if (started_) {
        ++core_->counters.connections_lost;
    }
    rest_.reset();
    if (holds_bytes()) {
        // As if they had been sent when they were written.
        static_cast<void>(sys::send(fd_, core_->completions()->take_back(*this)));
    }
    core_->unwatch(*this, fd_);
    core_->disown_descriptor(fd_);
    if (kernel_seals_) {
        sys::close_kernel_tls(fd_);
    } else {
        sys::close(fd_);
    }
    fd_ = -1;
}

// ---- time limits ----

SLUICE_INLINE void SocketTransport::set_idle_timeout(
    std::optional<std::chrono::nanoseconds> limit) {
    use_idle_timeout(limit ? positive(*limit, "set_idle_timeout(): limit") : limit);
}

SLUICE_INLINE std::optional<std::chrono::nanoseconds> SocketTransport::get_idle_timeout()
    const noexcept {
    return extras_ != nullptr ? extras_->idle.limit() : std::nullopt;
}

SLUICE_INLINE void SocketTransport::set_write_timeout(
    std::optional<std::chrono::nanoseconds> limit) {
    use_write_timeout(limit ? positive(*limit, "set_write_timeout(): limit") : limit);
}

SLUICE_INLINE std::optional<std::chrono::nanoseconds> SocketTransport::get_write_timeout()
    const noexcept {
    return extras_ != nullptr ? extras_->writing.limit() : std::nullopt;
}

SLUICE_INLINE void SocketTransport::extra_info(std::uint32_t key, void* value) const {
    switch (key) {
        case extra::peername.id:
            *static_cast<SocketAddress*>(value) = peer_;
            break;
        case extra::sockname.id:
            *static_cast<SocketAddress*>(value) = local_;
            break;
        case extra::socket.id:
            *static_cast<SocketView*>(value) = SocketView(fd_, local_);
            break;
        case extra::counters.id:
            *static_cast<TransportCounters*>(value) = counters_;
            break;
        case extra::peer_credentials.id:
            // A TCP socket answers, too: with nobody.
            if (local_.family() == Family::unix_domain && fd_ >= 0) {
                const Result<PeerCredentials> known = sys::peer_credentials(fd_);
                if (known.ok()) {
                    *static_cast<PeerCredentials*>(value) = known.value();
                }
            }
            break;
        case extra::proxy.id:
            if (extras_ != nullptr) {
                *static_cast<ProxyHeader*>(value) = extras_->proxy;
            }
            break;
        default:
            break;
    }
}

}  // namespace sluice::inline v0_1::detail
