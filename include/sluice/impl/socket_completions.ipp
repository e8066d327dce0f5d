// SocketTransport: receiving and sending through a backend that does the work itself.
#pragma once

#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <new>

namespace sluice::inline v0_1::detail {

// ---- receiving ----

/// How input is to be had. A protocol with a buffer of its own gets it there without a copy only by
/// recv(2), as large data do.
SLUICE_INLINE Readiness SocketTransport::reading_interest() noexcept {
    if (core_->completions() == nullptr || chunked_ == nullptr || reads_large_ || kernel_opens()) {
        return Readiness::readable;
    }
    receives_ = true;
    return Readiness::received;
}

SLUICE_INLINE void SocketTransport::protocol_changed() noexcept {
    if (started_ && !ended() && core_->completions() != nullptr) {
        update_interest();
    }
}

/// What the backend has received, one piece of it; true if looking again at once makes sense.
SLUICE_INLINE bool SocketTransport::deliver_received(std::size_t& budget_bytes) noexcept {
    const StreamCompletions::Taken taken = core_->completions()->take(fd_);
    if (taken.piece != nullptr || taken.error || taken.ended) {
        ++core_->counters.receive_calls;
    }
    if (taken.piece != nullptr) {
        const std::size_t count = taken.piece->rest().size();
        const bool is_full = taken.piece->end == limits::ring_buffer_bytes;
        deliver_piece(*taken.piece);
        if (!reads_large_ && !ended()) {
            note_read_size(is_full, limits::ring_large_after_pieces);
        }
        if (count >= budget_bytes) {
            return false;
        }
        budget_bytes -= count;
        return is_reading();
    }
    if (taken.error) {
        end_with(taken.error);
    } else if (taken.ended) {
        receive_eof();
    } else if (!taken.running && !has(interest(), Readiness::received)) {
        receives_ = false;
        return true;
    }
    return false;
}

SLUICE_INLINE void SocketTransport::deliver_piece(ReceivedPiece& piece) noexcept {
    StreamCompletions& completions = *core_->completions();
    if (chunked_ != nullptr) {
        count_received(piece.rest().size());
        deliver(piece.rest());
        completions.give_back(piece);
        return;
    }
    const StreamProtocol* const asked = protocol_.get();
    const MutableBytes space = receive_room();
    if (space.empty() || !is_reading() || asked != protocol_.get()) {
        ended() ? completions.give_back(piece) : completions.put_back(fd_, piece);
        return;
    }
    const MutableBytes rest = piece.rest();
    const std::size_t count = std::min(space.size(), rest.size());
    std::copy_n(rest.begin(), count, space.begin());
    piece.begin += static_cast<std::uint32_t>(count);
    count < rest.size() ? completions.put_back(fd_, piece) : completions.give_back(piece);
    count_received(count);
    deliver(space.first(count));
}

/// Changes between the two ways of receiving when the size of what arrives has spoken for the other one
/// often enough.
SLUICE_INLINE void SocketTransport::note_read_size(bool large, unsigned times_in_a_row) noexcept {
    if (large == reads_large_) {
        contrary_reads_ = 0;
    } else if (++contrary_reads_ == times_in_a_row) {
        contrary_reads_ = 0;
        reads_large_ = large;
        update_interest();
    }
}

// ---- sending ----

/// True if the bytes, which are copied, leave with the loop's next wait.
SLUICE_INLINE bool SocketTransport::send_later(Bytes bytes) noexcept {
    const bool held = core_->completions() != nullptr && core_->running() &&
                      bytes.size() <= limits::batched_send_bytes && !kernel_seals_ &&
                      core_->completions()->send_later(*this, fd_, bytes);
    // Once, whoever sends them in the end.
    core_->counters.send_calls += held ? 1 : 0;
    return held;
}

SLUICE_INLINE void SocketTransport::send_held() noexcept {
    if (!holds_bytes()) {
        return;
    }
    const Bytes bytes = core_->completions()->take_back(*this);
    const IoResult result = sys::send(fd_, bytes);
    if (!result.ok() && !result.blocked()) {
        not_sent(bytes, result.error());
    } else if (const std::size_t taken = result.ok() ? result.value() : 0; taken < bytes.size()) {
        not_sent(bytes.subspan(taken), {});
    }
}

/// What has been counted as sent was not: it goes back to the front of the queue.
SLUICE_INLINE void SocketTransport::not_sent(Bytes unsent, std::error_code error) noexcept {
    if (ended()) {
        return;
    }
    core_->counters.bytes_sent -= unsent.size();
    counters_.bytes_sent -= unsent.size();
    if (error) {
        end_with(error);
        return;
    }
    try {
        queue_.prepend_copy(unsent);
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
        return;
    }
    wait_until_writable();
    defer_limits();
}

}  // namespace sluice::inline v0_1::detail
