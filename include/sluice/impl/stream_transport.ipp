// StreamTransport: construction, calls into the protocol, pausing, ending. The writing half is in
// stream_transport_write.ipp.
#pragma once

#include <sluice/detail/stream_transport.hpp>

#include <new>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE StreamTransport::StreamTransport(LoopCore& core)
    : Transport(core.owner()), core_(&core) {
    core.attach(*this);
}

SLUICE_INLINE StreamTransport::~StreamTransport() = default;

// ---- starting ----

SLUICE_INLINE void StreamTransport::start(std::unique_ptr<StreamProtocol> protocol,
                                          Callback on_started) {
    wake_when_started(std::move(on_started));
    use_protocol(std::move(protocol));
    defer(start_pending);
}

SLUICE_INLINE void StreamTransport::start(ConnectionOwner& owner) {
    owner_ = &owner;
    defer(start_pending);
}

SLUICE_INLINE void StreamTransport::wake_when_started(Callback on_started) {
    if (on_started) {
        on_started_ = std::make_unique<Callback>(std::move(on_started));
    }
}

// ---- the protocol ----

SLUICE_INLINE bool StreamTransport::make_protocol_if_needed() noexcept {
    if (protocol_ != nullptr) {
        return true;
    }
    std::unique_ptr<StreamProtocol> protocol;
    dispatch(*core_,
             {.name = "Error on transport creation for incoming connection: the protocol factory",
              .transport = this},
             [&] { protocol = owner_->make_protocol(); });
    if (protocol != nullptr) {
        use_protocol(std::move(protocol));
    }
    return protocol_ != nullptr;
}

SLUICE_INLINE void StreamTransport::use_protocol(
    std::unique_ptr<StreamProtocol> protocol) noexcept {
    protocol_ = std::move(protocol);
    buffered_ = dynamic_cast<BufferedProtocol*>(protocol_.get());
    chunked_ = buffered_ != nullptr ? nullptr : static_cast<Protocol*>(protocol_.get());
}

SLUICE_INLINE void StreamTransport::made() noexcept {
    started_ = true;
    dispatch(*core_, site("protocol.connection_made()"),
             [this] { protocol_->connection_made(*this); });
}

SLUICE_INLINE void StreamTransport::tell_started() noexcept {
    if (on_started_ != nullptr) {
        const std::unique_ptr<Callback> on_started = std::move(on_started_);
        (*on_started)();
    }
}

/// One that may be the one that is calling: it dies between iterations.
class RetiredProtocol final : public Retired {
public:
    std::unique_ptr<StreamProtocol> protocol;
    void destroy() noexcept override { delete this; }
};

SLUICE_INLINE void StreamTransport::set_protocol(std::unique_ptr<StreamProtocol> protocol) {
    // Before anything changes, since it may throw, and the old one may be the one that is calling.
    auto retired = std::make_unique<RetiredProtocol>();
    retired->protocol = exchange_protocol(std::move(protocol));
    // One that was never in use may die here and now.
    if (!lost_) {
        core_->retire(*retired.release());
    }
}

SLUICE_INLINE std::unique_ptr<StreamProtocol> StreamTransport::exchange_protocol(
    std::unique_ptr<StreamProtocol> protocol) {
    if (protocol == nullptr) {
        throw std::invalid_argument("set_protocol(): protocol is null");
    }
    if (lost_) {
        return protocol;
    }
    core_->check_thread("Transport::set_protocol()");
    std::unique_ptr<StreamProtocol> old = std::move(protocol_);
    use_protocol(std::move(protocol));
    protocol_changed();
    return old;
}

SLUICE_INLINE void StreamTransport::retire(LoopCore& core,
                                           std::unique_ptr<StreamProtocol> protocol) {
    auto retired = std::make_unique<RetiredProtocol>();
    retired->protocol = std::move(protocol);
    core.retire(*retired.release());
}

// ---- the loop's calls ----

SLUICE_INLINE void StreamTransport::on_ready_phase() noexcept {
    const std::uint8_t actions = std::exchange(deferred_, std::uint8_t{0});
    if ((actions & lost_pending) != 0) {
        run_lost();
        return;
    }
    if ((actions & start_pending) != 0) {
        run_start();
    }
    if ((actions & input_pending) != 0) {
        run_input();
    }
    if ((actions & file_pending) != 0 && write_blocked_ && !ended()) {
        run_file();
    }
    if ((actions & limits_pending) != 0) {
        pause_if_above();
        resume_if_below();
    }
}

SLUICE_INLINE void StreamTransport::defer(std::uint8_t action) noexcept {
    // An action that joins others waits as long as the latest of them: connection_lost keeps its
    // place in the order.
    Ready::unlink();
    deferred_ = static_cast<std::uint8_t>(deferred_ | action);
    core_->schedule(*this);
}

// ---- reading ----

SLUICE_INLINE MutableBytes StreamTransport::buffer_of_protocol() noexcept {
    // In scalars: GCC 12 drops the initialisation of a span that is assigned the result of a call,
    // although the call may throw, and then hands out what the registers held.
    std::byte* begin = nullptr;
    std::size_t size = 0;
    // StopLoop out of get_buffer() is no failure, but no answer either.
    bool answered = false;
    const std::exception_ptr failure = dispatch(*core_, site("protocol.get_buffer()"), [&] {
        const MutableBytes space = buffered_->get_buffer(0);
        begin = space.data();
        size = space.size();
        answered = true;
    });
    if (failure) {
        end_with(error_of(failure));
    } else if (answered && size == 0 && is_reading()) {
        core_->report_made([&]() -> ExceptionContext {
            return {.message = "protocol.get_buffer() returned an empty buffer",
                    .exception = {},
                    .error = Error::empty_buffer,
                    .transport = this,
                    .protocol = protocol_.get()};
        });
        end_with(Error::empty_buffer);
    }
    return {begin, size};
}

SLUICE_INLINE MutableBytes StreamTransport::receive_room() noexcept {
    if (buffered_ != nullptr) {
        return buffer_of_protocol();
    }
    try {
        return core_->receive_space();
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
        return {};
    }
}

SLUICE_INLINE void StreamTransport::deliver(MutableBytes filled) noexcept {
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

SLUICE_INLINE bool StreamTransport::deliver_eof() noexcept {
    eof_received_ = true;
    bool keep_open = false;
    const std::exception_ptr failure = dispatch(*core_, site("protocol.eof_received()"),
                                                [&] { keep_open = protocol_->eof_received(); });
    if (failure) {
        end_with(error_of(failure));
    }
    return keep_open;
}

SLUICE_INLINE void StreamTransport::pause_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::pause_reading()");
    reading_paused_ = true;
    if (started_) {
        update_interest();
    }
}

SLUICE_INLINE void StreamTransport::resume_reading() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::resume_reading()");
    reading_paused_ = false;
    if (started_) {
        reading_resumed();
    }
}

// ---- ending ----

SLUICE_INLINE void StreamTransport::abort() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::abort()");
    end_with({});
}

SLUICE_INLINE void StreamTransport::drop_queue(std::error_code reason,
                                               std::error_code files_reason) noexcept {
    closing_ = true;
    ending_ = true;
    write_blocked_ = false;
    reason_ = reason;
    queue_.clear(core_->gather_pool(), files_reason);
    Dirty::unlink();
    if (extras_ != nullptr) {
        extras_->cancel();
    }
}

SLUICE_INLINE void StreamTransport::run_lost() noexcept {
    closing_ = true;
    // An abort() inside connection_lost must find the end already on its way.
    ending_ = true;
    if (extras_ != nullptr) {
        extras_->cancel();
    }
    if (files_open_ != 0) {
        // Their callbacks are scheduled, and may use what dies with the connection.
        defer(lost_pending);
        return;
    }
    if (started_) {
        dispatch(*core_, site("protocol.connection_lost()"),
                 [this] { protocol_->connection_lost(reason_); });
    }
    lost_ = true;
    release_lower();
    // Whoever waits for the start hears that there is none any more.
    tell_started();
    leave_owner();
    self_.reset();
}

SLUICE_INLINE void StreamTransport::hand_over_to(StreamTransport& upper) noexcept {
    if (owner_ != nullptr) {
        owner_->connection_replaced(*this, upper);
        upper.owner_ = std::exchange(owner_, nullptr);
    }
    if (watermarks_.paused()) {
        upper.watermarks_.set_paused();
        upper.write_blocked_ = true;
    }
    if (extras_ != nullptr && extras_->writing.limit()) {
        upper.use_write_timeout(extras_->writing.limit());
    }
    upper.cap_set_ = cap_set_;
    upper.cap_policy_ = cap_policy_;
    upper.write_cap_bytes_ = write_cap_bytes_;
}

SLUICE_INLINE void StreamTransport::leave_owner() noexcept {
    if (ConnectionOwner* owner = std::exchange(owner_, nullptr)) {
        owner->connection_gone(*this);
    }
}

SLUICE_INLINE void StreamTransport::on_detach() noexcept {
    const Ref<StreamTransport> self = std::move(self_);
    if (lost_) {
        core_ = nullptr;
        disown();
        return;
    }
    if (core_->debug() && !closing_ && !taken_over_) {
        core_->report_made([&]() -> ExceptionContext {
            return {.message = "a transport was never closed: " +
                               get_extra_info(extra::peername).to_string(),
                    .exception = {},
                    .error = {},
                    .transport = this,
                    .protocol = protocol_.get(),
                    .where = extras_ ? extras_->made_at : std::source_location()};
        });
    }
    Ready::unlink();
    Dirty::unlink();
    if (extras_ != nullptr) {
        extras_->cancel();
    }
    queue_.clear(core_->gather_pool());
    release_lower();
    on_started_.reset();
    closing_ = true;
    ending_ = true;
    lost_ = true;
    leave_owner();
    // No connection_lost will tell it to let go of other transports, so protocols that hold each
    // other's would live for ever. It dies once every transport is detached.
    try {
        retire(*core_, std::move(protocol_));
    } catch (const std::bad_alloc&) {
        // Then it dies here.
    }
    core_ = nullptr;
    disown();
}

SLUICE_INLINE void StreamTransport::unreferenced() noexcept {
    if (core_ == nullptr) {
        delete this;
    } else {
        core_->retire(*this);
    }
}

}  // namespace sluice::inline v0_1::detail
