// TlsTransport: handshake, reading, the lower transport's callbacks. Writing and ending are in
// tls_transport_write.ipp.
#pragma once

#include <sluice/detail/sys.hpp>
#include <sluice/detail/tls_transport.hpp>

#include <array>
#include <cstdio>

namespace sluice::inline v0_1::detail {

// ---- starting ----

SLUICE_INLINE Ref<TlsTransport> TlsTransport::create(LoopCore& core, Ref<Transport> lower,
                                                     const TlsPlan& plan) {
    Ref<TlsTransport> transport(new TlsTransport(core, std::move(lower), plan));
    transport->hold_by_loop();
    return transport;
}

SLUICE_INLINE TlsTransport::TlsTransport(LoopCore& core, Ref<Transport> lower, const TlsPlan& plan)
    : StreamTransport(core),
      lower_(std::move(lower)),
      stream_(dynamic_cast<StreamTransport*>(lower_.get())),
      socket_(dynamic_cast<SocketTransport*>(lower_.get())),
      server_side_(plan.endpoint.server_side),
      handshake_timeout_(plan.handshake_timeout),
      shutdown_timeout_(plan.shutdown_timeout),
      engine_(plan.context, plan.endpoint, *this) {
    if (const auto* inner = dynamic_cast<TlsTransport*>(lower_.get())) {
        layer_ = inner->layer_ + 1;
    }
    // A record costs more than the copy of what it could have carried.
    gather_piece_bytes_ = limits::gather_span_bytes;
}

SLUICE_INLINE TlsTransport::~TlsTransport() = default;

SLUICE_INLINE void TlsTransport::start(std::unique_ptr<StreamProtocol> protocol,
                                       Callback on_started) {
    wake_when_started(std::move(on_started));
    use_protocol(std::move(protocol));
    start_lower();
}

SLUICE_INLINE void TlsTransport::start(ConnectionOwner& owner) noexcept {
    owner_ = &owner;
    start_lower();
}

SLUICE_INLINE void TlsTransport::start_lower() noexcept {
    try {
        stream_->start(adapter(), {});
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
    }
}

SLUICE_INLINE void TlsTransport::upgrade(Bytes received, Callback on_started) {
    keep_unread_input(received);
    wake_when_started(std::move(on_started));
    const WriteBufferLimits limits = lower_->get_write_buffer_limits();
    watermarks_.set(limits.high, limits.low);
    use_protocol(lower_->exchange_protocol(adapter()));
    // It has seen connection_made, so it will be told of the end, too.
    started_ = true;
    upgraded_ = true;
    lower_started_ = true;
    lower_paused_ = true;
    if (stream_ != nullptr) {
        stream_->hand_over_to(*this);
    }
    defer(start_pending);
}

/// The protocol for the lower transport, which from now on is ours.
SLUICE_INLINE std::unique_ptr<StreamProtocol> TlsTransport::adapter() {
    auto adapter = std::make_unique<LowerProtocol>(*this);
    adapter_ = adapter.get();
    if (stream_ != nullptr) {
        stream_->take_over();
    }
    // Pausing as soon as anything is unsent and resuming when all is gone makes its callbacks tell
    // whether it takes more, and turns its own gathering off: that is done up here.
    lower_->set_write_buffer_limits(0, 0);
    return adapter;
}

/// Only after upgrade(): a lower transport that starts with us calls lower_made() itself.
SLUICE_INLINE void TlsTransport::run_start() noexcept {
    lower_made();
    run_input();
}

SLUICE_INLINE void TlsTransport::lower_made() noexcept {
    lower_started_ = true;
    arm(handshake_timeout_);
    if (!server_side_) {
        step_handshake();
    }
}

// ---- handshake ----

SLUICE_INLINE void TlsTransport::step_handshake() noexcept {
    if (server_side_ && !core_->take_handshake_turn()) {
        // The flood waits its turn, unread; established connections do not.
        defer(input_pending);
        return;
    }
    const TlsStatus status = engine_.handshake();
    // A server's last flight in TLS 1.3, the session ticket, leaves with the protocol's first words if it
    // has any: a system call and a packet less. See send_answers(). Any other completes the peer's
    // handshake, whatever connection_made does to this end.
    const bool may_wait = status == TlsStatus::done && server_side_ && engine_.writes_directly();
    if (!may_wait || write_blocked_) {
        pass_down();
    }
    switch (status) {
        case TlsStatus::done:
            handshake_complete();
            break;
        case TlsStatus::want_input:
            break;
        default:
            fail_handshake(engine_.failure_code());
            break;
    }
}

SLUICE_INLINE void TlsTransport::handshake_complete() noexcept {
    // A failure of the lower transport may have arrived from inside pass_down().
    if (ended()) {
        return;
    }
    core_->cancel(*this);
    state_ = State::open;
    handshaken_ = true;
    if (!make_protocol_if_needed()) {
        end_with({});
        return;
    }
    if (!upgraded_) {
        made();
    }
    if (on_started_ != nullptr) {
        // Whoever waits for us runs in the next iteration, and is to see the transport before its
        // protocol sees data.
        caller_first_ = true;
        tell_started();
        defer(input_pending);
    }
}

SLUICE_INLINE void TlsTransport::fail_handshake(std::error_code code) noexcept {
    if (ended()) {
        return;
    }
    drop_queue(code);
    state_ = State::finished;
    core_->cancel(*this);
    // The alert that tells the peer why has been passed down. Nobody waits for a peer that does not
    // read it.
    if (lower_->get_write_buffer_size() == 0) {
        lower_->close();
    } else {
        lower_->abort();
    }
}

inline std::string shown_seconds(Duration time) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%g", std::chrono::duration<double>(time).count());
    return text.data();
}

SLUICE_INLINE std::exception_ptr TlsTransport::handshake_error() const {
    if (handshaken_) {
        return nullptr;
    }
    TlsFailure failure = engine_.failure();
    std::error_code code = reason_;
    if (!failure) {
        failure.phase = "handshake";
        if (code == Error::tls_handshake_timeout) {
            failure.text = "SSL handshake is taking longer than " +
                           shown_seconds(handshake_timeout_) + " seconds: aborting the connection";
        } else if (code) {
            failure.text = "connection lost during the TLS handshake";
        } else {
            code = std::make_error_code(std::errc::connection_aborted);
            failure.text = "aborted during the TLS handshake";
        }
    }
    return std::make_exception_ptr(
        TlsError(code, std::move(failure), get_extra_info(extra::peername).to_string()));
}

// ---- input ----

/// Where the lower transport shall put ciphertext.
SLUICE_INLINE MutableBytes TlsTransport::lower_space() {
    // Our own transports fill the space and tell at once, so one for each layer serves all
    // connections of the loop. Others may take their time.
    if (stream_ != nullptr && layer_ < limits::tls_shared_layers) {
        const MutableBytes space = core_->tls_receive_area(layer_).space();
        if (state_ == State::handshake && socket_ != nullptr && engine_.reads_exactly()) {
            return space.first(std::min(space.size(), engine_.wanted_input()));
        }
        const bool unknown_client = server_side_ && state_ == State::handshake;
        return unknown_client ? space.first(limits::tls_handshake_space_bytes) : space;
    }
    if (own_space_ == nullptr) {
        own_space_ = std::make_unique<std::byte[]>(limits::tls_own_space_bytes);
    }
    return {own_space_.get(), limits::tls_own_space_bytes};
}

SLUICE_INLINE void TlsTransport::lower_received(std::size_t count) noexcept {
    if (own_space_ != nullptr) {
        const std::unique_ptr<std::byte[]> space = std::move(own_space_);
        process({space.get(), count});
        return;
    }
    ReceiveArea& area = core_->tls_receive_area(layer_);
    const Bytes ciphertext = area.space().first(count);
    area.received(count);
    process(ciphertext);
}

/// Consumes what has just arrived in lent storage.
SLUICE_INLINE void TlsTransport::process(Bytes ciphertext) noexcept {
    if (ended() || state_ == State::finished) {
        return;
    }
    if (engine_.input().empty()) {
        engine_.set_input(ciphertext);
    } else {
        keep_unread_input(ciphertext);
    }
    process_input();
    warm_or_cool(ciphertext.size());
    if (unread_.empty() && !engine_.input().empty()) {
        // Stopped early: the storage is needed for others.
        keep_unread_input({});
    }
    settle_input();
}

/// A connection with small messages keeps its buffers as long as it is among the busy ones.
SLUICE_INLINE void TlsTransport::warm_or_cool(std::size_t received) noexcept {
    if (state_ != State::open || received > limits::tls_warm_message_bytes) {
        core_->warm_list().remove(*this);
    } else if (core_->warm_list().touch(*this)) {
        engine_.keep_buffers(true);
    }
}

/// What was left over, from the loop.
SLUICE_INLINE void TlsTransport::run_input() noexcept {
    caller_first_ = false;
    if (!ended()) {
        process_input();
        settle_input();
    }
}

/// Copies what the engine has not consumed, and `more`, to memory of our own.
SLUICE_INLINE void TlsTransport::keep_unread_input(Bytes more) noexcept {
    try {
        std::vector<std::byte> kept;
        kept.reserve(engine_.input().size() + more.size());
        kept.insert(kept.end(), engine_.input().begin(), engine_.input().end());
        kept.insert(kept.end(), more.begin(), more.end());
        unread_ = std::move(kept);
        engine_.set_input(unread_);
    } catch (const std::bad_alloc&) {
        engine_.set_input({});
        end_with(std::make_error_code(std::errc::not_enough_memory));
    }
}

SLUICE_INLINE void TlsTransport::settle_input() noexcept {
    send_answers();
    if (write_waits_for_input_ && !ended() && !engine_.amid_message()) {
        write_waits_for_input_ = false;
        note_unblocked();
        // Otherwise the lower transport's resume_writing comes.
        if (lower_->get_write_buffer_size() == 0) {
            writable_again();
        }
    }
    if (ended()) {
        engine_.set_input({});
    }
    if (engine_.input().empty()) {
        unread_ = std::vector<std::byte>();  // {} would keep the memory
    }
    update_interest();
}

SLUICE_INLINE void TlsTransport::process_input() noexcept {
    if (state_ == State::handshake) {
        step_handshake();
        if (engine_.input().empty()) {
            // Asking the protocol for a buffer would be for nothing.
            return;
        }
    }
    if (caller_first_) {
        return;
    }
    if (state_ == State::open) {
        read_records();
    }
    if (state_ == State::flushing || state_ == State::closing) {
        discard_records();
    }
    if (lower_ended_ && is_reading() && (deferred_ & input_pending) == 0) {
        // It was held back while reading was paused.
        truncated();
    }
}

SLUICE_INLINE void TlsTransport::read_records() noexcept {
    while (is_reading()) {
        const StreamProtocol* const asked = protocol_.get();
        const MutableBytes space = receive_room();
        // get_buffer() is user code: it may have paused, closed or replaced the protocol.
        if (space.empty() || !is_reading()) {
            if (is_reading()) {
                // StopLoop came instead of an answer: the loop asks again when it runs again.
                defer(input_pending);
            }
            return;
        }
        if (asked != protocol_.get()) {
            continue;
        }
        std::size_t count = 0;
        const TlsStatus status = engine_.read(space, count);
        if (count != 0) {
            counters_.bytes_received += count;
            deliver(space.first(count));
        }
        // After a pause the engine will say the same again.
        if (status == TlsStatus::want_input || !is_reading()) {
            return;
        }
        if (status == TlsStatus::peer_closed) {
            peer_closed();
            return;
        }
        if (status == TlsStatus::failed) {
            fail_with_engine();
            return;
        }
    }
}

/// After close(): nobody is interested in the data, only in the close_notify behind it.
SLUICE_INLINE void TlsTransport::discard_records() noexcept {
    std::array<std::byte, limits::tls_record_bytes> nowhere{};
    TlsStatus status = TlsStatus::done;
    while (status == TlsStatus::done) {
        std::size_t count = 0;
        status = engine_.read(nowhere, count);
    }
    if (status != TlsStatus::want_input) {
        peer_closed_ = true;
        if (state_ == State::closing) {
            finish();
        }
    }
}

SLUICE_INLINE void TlsTransport::peer_closed() noexcept {
    peer_closed_ = true;
    const bool keep_open = deliver_eof();
    const bool is_ours = dynamic_cast<LowerProtocol*>(protocol_.get()) != nullptr;
    if (keep_open && !is_ours && core_->debug()) {
        core_->report_made([this]() -> ExceptionContext {
            return {.message = "returning true from eof_received() has no effect with TLS",
                    .exception = {},
                    .error = {},
                    .transport = this,
                    .protocol = protocol_.get()};
        });
    }
    close();
}

/// The lower transport's stream has ended.
SLUICE_INLINE void TlsTransport::lower_ended() noexcept {
    lower_ended_ = true;
    switch (state_) {
        case State::handshake:
            fail_handshake(std::make_error_code(std::errc::connection_reset));
            break;
        case State::open:
            // What waits for its turn is delivered first.
            if (is_reading() && !caller_first_ && (deferred_ & input_pending) == 0) {
                truncated();
            }
            break;
        case State::flushing:
        case State::closing:
            // Many peers answer close_notify just by closing: nothing is lost by that.
            peer_closed_ = true;
            if (state_ == State::closing) {
                finish();
            } else {
                finish_writing();
            }
            break;
        case State::finished:
            break;
    }
}

/// The end without close_notify: everything that came is delivered, then the protocol learns how it
/// ended.
SLUICE_INLINE void TlsTransport::truncated() noexcept {
    peer_closed_ = true;
    reason_ = Error::tls_truncated;
    static_cast<void>(deliver_eof());
    close();
}

SLUICE_INLINE bool TlsTransport::wants_input() const noexcept {
    if (!engine_.input().empty()) {
        return false;
    }
    switch (state_) {
        case State::handshake:
            return true;
        case State::open:
            return is_reading();
        case State::flushing:
        case State::closing:
            return !peer_closed_;
        default:
            return false;
    }
}

SLUICE_INLINE void TlsTransport::update_interest() noexcept {
    if (ended() || state_ == State::finished || wants_input() != lower_paused_) {
        return;
    }
    lower_paused_ = !lower_paused_;
    if (lower_paused_) {
        lower_->pause_reading();
    } else {
        lower_->resume_reading();
    }
}

SLUICE_INLINE void TlsTransport::reading_resumed() noexcept {
    // Whatever waits in the engine or before it is delivered from the loop.
    if (!ended()) {
        defer(input_pending);
    }
}

}  // namespace sluice::inline v0_1::detail
