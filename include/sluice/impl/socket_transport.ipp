// SocketTransport: construction, reading, ending. The writing half is in
// socket_transport_write.ipp.
#pragma once

#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>

#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE Ref<SocketTransport> SocketTransport::create(LoopCore& core, Descriptor socket,
                                                           SocketAddress local,
                                                           SocketAddress peer) {
    Ref<SocketTransport> transport(
        new SocketTransport(core, socket.get(), std::move(local), std::move(peer)));
    static_cast<void>(socket.release());
    transport->self_ = transport;
    return transport;
}

SLUICE_INLINE SocketTransport::SocketTransport(LoopCore& core, int fd, SocketAddress local,
                                               SocketAddress peer)
    : Transport(core.owner()),
      core_(&core),
      fd_(fd),
      local_(std::move(local)),
      peer_(std::move(peer)) {
    core.own_descriptor(fd);
    core.attach(*this);
}

SLUICE_INLINE SocketTransport::~SocketTransport() = default;

// ---- starting ----

SLUICE_INLINE void SocketTransport::start(std::unique_ptr<StreamProtocol> protocol,
                                          Callback on_started) {
    if (on_started) {
        on_started_ = std::make_unique<Callback>(std::move(on_started));
    }
    use_protocol(std::move(protocol));
    defer(start_pending);
}

SLUICE_INLINE void SocketTransport::start(ConnectionOwner& owner) {
    owner_ = &owner;
    defer(start_pending);
}

SLUICE_INLINE void SocketTransport::run_start() noexcept {
    if (protocol_ == nullptr) {
        make_protocol_of_owner();
        if (protocol_ == nullptr) {
            run_lost();
            return;
        }
    }
    started_ = true;
    ++core_->counters.connections_made;
    dispatch(*core_, site("protocol.connection_made()"),
             [this] { protocol_->connection_made(*this); });
    // Only now, so that a pause or a close inside connection_made holds.
    update_interest();
    if (on_started_ != nullptr) {
        const std::unique_ptr<Callback> on_started = std::move(on_started_);
        (*on_started)();
    }
}

SLUICE_INLINE void SocketTransport::make_protocol_of_owner() noexcept {
    std::unique_ptr<StreamProtocol> protocol;
    dispatch(*core_,
             {.name = "Error on transport creation for incoming connection: the protocol factory",
              .transport = this},
             [&] { protocol = owner_->make_protocol(); });
    if (protocol != nullptr) {
        use_protocol(std::move(protocol));
    }
}

SLUICE_INLINE void SocketTransport::use_protocol(
    std::unique_ptr<StreamProtocol> protocol) noexcept {
    protocol_ = std::move(protocol);
    buffered_ = dynamic_cast<BufferedProtocol*>(protocol_.get());
    chunked_ = buffered_ != nullptr ? nullptr : static_cast<Protocol*>(protocol_.get());
}

SLUICE_INLINE void SocketTransport::set_protocol(std::unique_ptr<StreamProtocol> protocol) {
    if (protocol == nullptr) {
        throw std::invalid_argument("set_protocol(): protocol is null");
    }
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::set_protocol()");
    retire_protocol();
    use_protocol(std::move(protocol));
}

/// The protocol may be the one that is calling: it dies between iterations.
SLUICE_INLINE void SocketTransport::retire_protocol() {
    class RetiredProtocol final : public Retired {
    public:
        std::unique_ptr<StreamProtocol> protocol;
        void destroy() noexcept override { delete this; }
    };
    auto retired = std::make_unique<RetiredProtocol>();
    retired->protocol = std::move(protocol_);
    core_->retire(*retired.release());
}

// ---- the loop's calls ----

SLUICE_INLINE void SocketTransport::on_ready(Readiness events) noexcept {
    if (has(events, Readiness::readable) && is_reading()) {
        read_ready();
    }
    if (has(events, Readiness::writable) && write_blocked_) {
        write_ready();
    }
}

SLUICE_INLINE void SocketTransport::on_ready_phase() noexcept {
    const std::uint8_t actions = std::exchange(deferred_, std::uint8_t{0});
    if ((actions & lost_pending) != 0) {
        run_lost();
        return;
    }
    if ((actions & start_pending) != 0) {
        run_start();
    }
    if ((actions & limits_pending) != 0) {
        pause_if_above();
        resume_if_below();
    }
}

SLUICE_INLINE void SocketTransport::defer(std::uint8_t action) noexcept {
    // An action that joins others waits as long as the latest of them: connection_lost keeps its
    // place in the order.
    Ready::unlink();
    deferred_ = static_cast<std::uint8_t>(deferred_ | action);
    core_->schedule(*this);
}

SLUICE_INLINE void SocketTransport::update_interest() noexcept {
    Readiness wanted = Readiness::none;
    if (is_reading()) {
        wanted = wanted | Readiness::readable;
    }
    if (write_blocked_) {
        wanted = wanted | Readiness::writable;
    }
    if (const std::error_code error = core_->watch(*this, fd_, wanted)) {
        end_with(error);
    }
}

// ---- reading ----

SLUICE_INLINE void SocketTransport::read_ready() noexcept {
    std::size_t budget_bytes = limits::read_budget_bytes;
    while (read_once(budget_bytes)) {
    }
}

/// One recv and one callback; true if reading at once again makes sense.
SLUICE_INLINE bool SocketTransport::read_once(std::size_t& budget_bytes) noexcept {
    const StreamProtocol* const asked = protocol_.get();
    const MutableBytes space = buffered_ != nullptr ? buffer_of_protocol() : core_->receive_space();
    // get_buffer() is user code: after a pause, a close or a change of protocol its buffer is not
    // to be used. Readiness is level-triggered, so nothing is lost by returning.
    if (space.empty() || !is_reading() || asked != protocol_.get()) {
        return false;
    }
    const IoResult received = sys::recv(fd_, space);
    ++core_->counters.receive_calls;
    if (received.blocked()) {
        return false;
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
    core_->counters.bytes_received += count;
    counters_.bytes_received += count;
    deliver(space.first(count));
    // A short read has emptied the socket; asking again would only give "would block".
    if (count < space.size() || count >= budget_bytes) {
        return false;
    }
    budget_bytes -= count;
    return is_reading();
}

SLUICE_INLINE MutableBytes SocketTransport::buffer_of_protocol() noexcept {
    MutableBytes space;
    const std::exception_ptr failure =
        dispatch(*core_, site("protocol.get_buffer()"), [&] { space = buffered_->get_buffer(0); });
    if (failure) {
        end_with(error_of(failure));
    } else if (space.empty() && is_reading()) {
        core_->report({.message = "protocol.get_buffer() returned an empty buffer",
                       .exception = {},
                       .error = Error::empty_buffer,
                       .transport = this,
                       .protocol = protocol_.get()});
        end_with(Error::empty_buffer);
    }
    return space;
}

SLUICE_INLINE void SocketTransport::deliver(MutableBytes filled) noexcept {
    std::exception_ptr failure;
    if (chunked_ != nullptr) {
        core_->received(filled.size());
        failure = dispatch(*core_, site("protocol.data_received()"),
                           [&] { chunked_->data_received(filled); });
    } else {
        failure = dispatch(*core_, site("protocol.buffer_updated()"),
                           [&] { buffered_->buffer_updated(filled.size()); });
    }
    if (failure) {
        end_with(error_of(failure));
    }
}

SLUICE_INLINE void SocketTransport::receive_eof() noexcept {
    eof_received_ = true;
    bool keep_open = false;
    const std::exception_ptr failure = dispatch(*core_, site("protocol.eof_received()"),
                                                [&] { keep_open = protocol_->eof_received(); });
    if (failure) {
        end_with(error_of(failure));
    } else if (closing_) {
        // The callback closed or aborted.
    } else if (keep_open) {
        update_interest();
    } else {
        close();
    }
}

SLUICE_INLINE void SocketTransport::pause_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::pause_reading()");
    reading_paused_ = true;
    if (started_) {
        update_interest();
    }
}

SLUICE_INLINE void SocketTransport::resume_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::resume_reading()");
    reading_paused_ = false;
    if (started_) {
        update_interest();
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
    if (queue_.empty()) {
        end_with({});
    }
}

SLUICE_INLINE void SocketTransport::abort() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::abort()");
    end_with({});
}

/// Ends the connection for `reason`, dropping what is queued. The first reason stands.
SLUICE_INLINE void SocketTransport::end_with(std::error_code reason) noexcept {
    if (ended()) {
        return;
    }
    closing_ = true;
    write_blocked_ = false;
    reason_ = reason;
    queue_.clear(core_->gather_pool());
    Dirty::unlink();
    core_->unwatch(*this, fd_);
    defer(lost_pending);
}

SLUICE_INLINE void SocketTransport::run_lost() noexcept {
    closing_ = true;
    // An abort() inside connection_lost must find the end already on its way.
    deferred_ = lost_pending;
    if (started_) {
        ++core_->counters.connections_lost;
        dispatch(*core_, site("protocol.connection_lost()"),
                 [this] { protocol_->connection_lost(reason_); });
    }
    lost_ = true;
    close_descriptor();
    on_started_.reset();
    leave_owner();
    self_.reset();
}

SLUICE_INLINE void SocketTransport::close_descriptor() noexcept {
    core_->unwatch(*this, fd_);
    core_->disown_descriptor(fd_);
    sys::close(std::exchange(fd_, -1));
}

SLUICE_INLINE void SocketTransport::leave_owner() noexcept {
    if (ConnectionOwner* owner = std::exchange(owner_, nullptr)) {
        owner->connection_gone(*this);
    }
}

SLUICE_INLINE void SocketTransport::on_detach() noexcept {
    const Ref<SocketTransport> self = std::move(self_);
    if (lost_) {
        core_ = nullptr;
        disown();
        return;
    }
    if (core_->debug() && !closing_) {
        core_->report({.message = "a transport was never closed: " + peer_.to_string(),
                       .exception = {},
                       .error = {},
                       .transport = this,
                       .protocol = protocol_.get()});
    }
    Ready::unlink();
    Dirty::unlink();
    queue_.clear(core_->gather_pool());
    close_descriptor();
    on_started_.reset();
    closing_ = true;
    lost_ = true;
    leave_owner();
    // No connection_lost will tell it to let go of other transports, so protocols that hold each
    // other's would live for ever. It dies once every transport is detached.
    try {
        retire_protocol();
    } catch (const std::bad_alloc&) {
        // Then it lives as long as the transport.
    }
    core_ = nullptr;
    disown();
}

SLUICE_INLINE void SocketTransport::unreferenced() noexcept {
    if (core_ == nullptr) {
        delete this;
    } else {
        core_->retire(*this);
    }
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
        default:
            break;
    }
}

}  // namespace sluice::inline v0_1::detail
