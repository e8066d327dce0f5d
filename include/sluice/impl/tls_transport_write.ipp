// TlsTransport: sealing what is written, and ending.
#pragma once

#include <sluice/detail/sys.hpp>
#include <sluice/detail/tls_transport.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

// ---- writing ----

SLUICE_INLINE void TlsTransport::flush() {
    StreamTransport::flush();
    if (stream_ != nullptr) {
        stream_->flush();  // what it holds for the loop's next wait
    }
}

SLUICE_INLINE bool TlsTransport::send_pieces(std::span<const Bytes> pieces,
                                             std::size_t& sent) noexcept {
    if (engine_.kernel_sends() && state_ != State::handshake) {
        return send_by_kernel(pieces, sent);
    }
    std::size_t bursts = 0;
    while (!write_blocked_ && !ended()) {
        if (queue_.has_file() && bursts++ == limits::file_turn_bytes / limits::tls_burst_bytes) {
            // A lower transport that takes everything would take the whole file: others' turn.
            write_blocked_ = true;
            defer(file_pending);
            break;
        }
        if (state_ != State::handshake && engine_.amid_message() && !engine_.writes_directly()) {
            // Written once the rest of the peer's message has come: see settle_input().
            pass_down();
            write_waits_for_input_ = true;
            write_blocked_ = true;
            note_blocked();
            break;
        }
        if (!seal_burst(pieces, sent)) {
            fail_with_engine();
            return false;
        }
        if (sealed_.empty()) {
            break;
        }
        pass_down();
    }
    notice_lower_failure();
    return !ended();
}

/// A lower transport that fails while it is being written to tells so from the loop, but
/// is_closing() is to say so at once.
SLUICE_INLINE void TlsTransport::notice_lower_failure() noexcept {
    if (!ended() && state_ != State::finished && lower_->is_closing()) {
        lower_failed_ = true;
        state_ = State::finished;
        core_->cancel(*this);
        drop_queue(reason_, failure());
    }
}

SLUICE_INLINE void TlsTransport::run_file() noexcept {
    // Otherwise the lower transport's resume_writing comes.
    if (lower_->get_write_buffer_size() == 0) {
        writable_again();
    }
}

/// Plaintext, for the kernel to seal; files, too.
SLUICE_INLINE bool TlsTransport::send_by_kernel(std::span<const Bytes> pieces,
                                                std::size_t& sent) noexcept {
    if (!write_blocked_ && !ended()) {
        sent += stream_->send_through(queue_, pieces);
    }
    notice_lower_failure();
    return !ended();
}

SLUICE_INLINE std::error_code TlsTransport::hand_to_kernel(bool sending, Bytes keys) noexcept {
    if (socket_ == nullptr) {
        return std::make_error_code(std::errc::not_a_socket);
    }
    if (sending) {
        // What other keys have sealed must be in the kernel before these are.
        pass_down();
        if (lower_->get_write_buffer_size() != 0) {
            return std::make_error_code(std::errc::device_or_resource_busy);
        }
    }
    const std::error_code error = socket_->use_kernel_tls(sending, keys);
    if (!error && sending) {
        sent_before_kernel_ = socket_->get_extra_info(extra::counters).bytes_sent;
    }
    return error;
}

SLUICE_INLINE bool TlsTransport::kernel_seals(std::uint8_t type, Bytes content) noexcept {
    return socket_->send_record(type, content);
}

/// Seals the queue and then `pieces`, until a burst is full, nothing is left or a file is waited for.
/// `sent` counts bytes of `pieces`. False if the engine failed.
SLUICE_INLINE bool TlsTransport::seal_burst(std::span<const Bytes> pieces,
                                            std::size_t& sent) noexcept {
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    while (!queue_.empty() && sealed_.size() < limits::tls_burst_bytes) {
        if (queue_.front_is_file()) {
            if (!read_front_file()) {
                return true;
            }
            if (state_ == State::flushing) {
                // The time is for a peer that does not read, and this one does.
                arm(shutdown_timeout_);
                if (ended()) {
                    return true;
                }
            }
        }
        const Bytes front = queue_.front();
        const std::size_t taken = seal(front, queue_.size() + total - sent == front.size());
        queue_.consume(taken, core_->gather_pool());
        if (taken == 0) {
            return false;
        }
    }
    std::size_t skip = sent;
    for (Bytes piece : pieces) {
        const std::size_t skipped = std::min(skip, piece.size());
        skip -= skipped;
        piece = piece.subspan(skipped);
        while (!piece.empty()) {
            if (sealed_.size() >= limits::tls_burst_bytes) {
                return true;
            }
            const std::size_t taken = seal(piece, total - sent == piece.size());
            if (taken == 0) {
                return false;
            }
            sent += taken;
            piece = piece.subspan(taken);
        }
    }
    return true;
}

/// Seals the front of `data`, in full records as far as it goes; how much of it, 0 if the engine
/// failed. Nothing is to follow if `is_last`.
SLUICE_INLINE std::size_t TlsTransport::seal(Bytes data, bool is_last) noexcept {
    // The last record on its own, so that sealed() can tell it from the others.
    const std::size_t before_last =
        (data.size() - 1) / limits::tls_record_bytes * limits::tls_record_bytes;
    const std::size_t count =
        before_last == 0 ? data.size() : std::min(before_last, limits::tls_seal_bytes);
    sealing_last_ = is_last && count == data.size() && stream_ != nullptr;
    std::size_t taken = 0;
    static_cast<void>(engine_.write(data.first(count), taken));
    sealing_last_ = false;
    counters_.bytes_sent += taken;
    return taken;
}

SLUICE_INLINE bool TlsTransport::sealed(Bytes ciphertext) noexcept {
    if (sealing_last_) {
        // It leaves from where OpenSSL made it, behind what is sealed already: a copy of 16 KiB
        // costs as much as sealing 1 KiB.
        stream_->send_segments(sealed_, ciphertext, flushing_);
        return true;
    }
    try {
        sealed_.append_gathered(ciphertext, core_->gather_pool());
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

/// Hands the ciphertext to the lower transport, which tells by its callbacks when that is enough.
SLUICE_INLINE void TlsTransport::pass_down() noexcept {
    if (sealed_.empty()) {
        return;
    }
    if (stream_ != nullptr) {
        stream_->send_segments(sealed_, {}, flushing_);
        return;
    }
    try {
        while (!sealed_.empty()) {
            std::array<Bytes, limits::gather_segments> pieces;
            const std::size_t count = sealed_.front_pieces(pieces);
            lower_->writelines(std::span<const Bytes>(pieces.data(), count));
            std::size_t passed = 0;
            for (std::size_t index = 0; index < count; ++index) {
                passed += pieces[index].size();
            }
            sealed_.consume(std::min(passed, sealed_.size()), core_->gather_pool());
        }
    } catch (...) {
        end_with(error_of(std::current_exception()));
    }
}

/// What OpenSSL says by itself while it reads: the end of a handshake, that it does not renegotiate.
SLUICE_INLINE void TlsTransport::send_answers() noexcept {
    if (sealed_.empty() || ended() || state_ == State::finished) {
        return;
    }
    if (!write_blocked_) {
        // What the protocol has just written is sealed when this callback ends and takes it along.
        if (queue_.empty() || !core_->in_callback()) {
            pass_down();
        }
    } else if (sealed_.size() > limits::tls_burst_bytes) {
        // A peer that asks without end and does not read the answers.
        end_with(Error::tls_protocol_error);
    }
}

SLUICE_INLINE std::size_t TlsTransport::get_write_buffer_size() const noexcept {
    return lost_ ? 0 : queue_.size() + sealed_.size() + lower_->get_write_buffer_size();
}

SLUICE_INLINE void TlsTransport::write_eof() {
    throw std::logic_error("write_eof(): TLS cannot close one half of a connection; use close()");
}

// ---- ending ----

SLUICE_INLINE void TlsTransport::close() {
    if (closing_) {
        return;
    }
    core_->check_thread("Transport::close()");
    if (state_ == State::handshake) {
        end_with({});
        return;
    }
    if (!write_blocked_) {
        flush_queue();
    }
    if (closing_) {
        return;
    }
    closing_ = true;
    state_ = State::flushing;
    arm(shutdown_timeout_);
    finish_writing();
    if (!ended() && state_ != State::finished) {
        // Reading goes on, past data that nobody wants, to the peer's close_notify.
        defer(input_pending);
    }
}

SLUICE_INLINE void TlsTransport::finish_writing() noexcept {
    if (state_ != State::flushing) {
        return;
    }
    if (engine_.amid_message()) {
        write_waits_for_input_ = true;
        note_blocked();
        if (lower_ended_) {
            // The rest will not come: what is queued can never be sealed.
            end_with(Error::tls_truncated);
        }
        return;
    }
    if (!queue_.empty() || (engine_.kernel_sends() && lower_->get_write_buffer_size() != 0)) {
        return;
    }
    state_ = State::closing;
    const TlsStatus status = engine_.shutdown();
    pass_down();
    // Nobody answers from a stream that has ended.
    if (status != TlsStatus::want_input || peer_closed_ || lower_ended_) {
        finish();
    }
}

/// Both sides have said all they had to say.
SLUICE_INLINE void TlsTransport::finish() noexcept {
    if (!ended()) {
        state_ = State::finished;
        // It flushes what it still holds; the timer runs on, for a peer that does not read.
        lower_->close();
    }
}

/// The engine can do no more: its alert goes out, then the connection is closed.
SLUICE_INLINE void TlsTransport::fail_with_engine() noexcept {
    if (ended()) {
        return;
    }
    pass_down();
    if (!ended()) {
        drop_queue(engine_.failure_code());
        state_ = State::finished;
        arm(shutdown_timeout_);
        lower_->close();
    }
}

SLUICE_INLINE void TlsTransport::end_with(std::error_code reason) noexcept {
    if (ended()) {
        return;
    }
    drop_queue(reason);
    sealed_.clear(core_->gather_pool());
    state_ = State::finished;
    core_->cancel(*this);
    lower_->abort();
    if (!lower_started_) {
        defer(lost_pending);
    }
}

SLUICE_INLINE void TlsTransport::on_timer() noexcept {
    if (state_ == State::handshake) {
        end_with(Error::tls_handshake_timeout);
        return;
    }
    if (state_ == State::flushing && engine_.kernel_sends()) {
        const std::uint64_t bytes = socket_->get_extra_info(extra::counters).bytes_sent;
        if (std::exchange(flushed_bytes_, bytes) != bytes) {
            // The time is for a peer that does not read, and this one does.
            arm(shutdown_timeout_);
            return;
        }
    }
    // An engine that failed has its reason already.
    if (!ended()) {
        drop_queue(reason_ ? reason_ : Error::tls_shutdown_timeout);
    }
    state_ = State::finished;
    lower_->abort();
}

SLUICE_INLINE void TlsTransport::arm(Duration delay) noexcept {
    core_->cancel(*this);
    try {
        core_->schedule(*this, time_after(sys::now(), delay));
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
    }
}

SLUICE_INLINE void TlsTransport::lower_lost(std::error_code reason) noexcept {
    adapter_ = nullptr;
    if (!ended()) {
        if (!reason && state_ == State::handshake) {
            reason = std::make_error_code(std::errc::connection_aborted);
        } else if (!reason && state_ == State::open && stream_ == nullptr && !peer_closed_) {
            // Somebody else's transport may end without eof_received() before.
            reason = Error::tls_truncated;
        }
        const bool was_open = state_ == State::open;
        drop_queue(reason_ ? reason_ : reason);
        // What was written may have waited for the end of the turn, and failed only there.
        if (was_open &&
            (reason == std::errc::broken_pipe || reason == std::errc::connection_reset)) {
            hear_last_words();
        }
    } else if (lower_failed_ && !reason_) {
        reason_ = reason;
        hear_last_words();
    }
    state_ = State::finished;
    tell_started();
    Ready::unlink();
    deferred_ = 0;
    run_lost();
}

/// A peer that refuses us says why and closes. Whoever goes on writing may hear of the end first,
/// with the alert still waiting to be read.
SLUICE_INLINE void TlsTransport::hear_last_words() noexcept {
    if (stream_ == nullptr || !engine_.input().empty()) {
        return;
    }
    std::array<std::byte, limits::tls_record_bytes> space{};
    std::array<std::byte, limits::tls_record_bytes> nowhere{};
    TlsStatus status = TlsStatus::want_input;
    while (status == TlsStatus::want_input) {
        const Bytes words = stream_->undelivered_input(space);
        if (words.empty()) {
            return;
        }
        engine_.set_input(words);
        do {
            std::size_t count = 0;
            status = engine_.read(nowhere, count);
        } while (status == TlsStatus::done);
    }
    engine_.set_input({});
    if (!engine_.failure().alert_received.empty()) {
        reason_ = engine_.failure_code();
    }
}

SLUICE_INLINE void TlsTransport::release_lower() noexcept {
    core_->warm_list().remove(*this);
    core_->cancel(*this);
    sealed_.clear(core_->gather_pool());
    engine_.set_input({});
    unread_ = std::vector<std::byte>();  // {} would keep the memory
    own_space_.reset();
    if (adapter_ != nullptr) {
        std::exchange(adapter_, nullptr)->forget();
    }
}

SLUICE_INLINE TransportCounters TlsTransport::counters() const {
    TransportCounters counters = counters_;
    if (engine_.kernel_sends()) {
        // What went down was plaintext already.
        counters.bytes_sent +=
            socket_->get_extra_info(extra::counters).bytes_sent - sent_before_kernel_;
    }
    return counters;
}

SLUICE_INLINE void TlsTransport::extra_info(std::uint32_t key, void* value) const {
    switch (key) {
        case extra::counters.id:
            *static_cast<TransportCounters*>(value) = counters();
            break;
        case extra::tls.id:
            if (handshaken_) {
                *static_cast<TlsInfo*>(value) = engine_.info(static_cast<int>(layer_));
            }
            break;
        case extra::tls_failure.id:
            *static_cast<TlsFailure*>(value) = engine_.failure();
            break;
        default:
            extra_info_of(*lower_, key, value);
            break;
    }
}

}  // namespace sluice::inline v0_1::detail
