// StreamTransport: the writing half. Gather small writes, send large ones at once, queue what is
// refused.
#pragma once

#include <sluice/detail/stream_transport.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

// ---- the user's calls ----

SLUICE_INLINE void StreamTransport::write(Bytes data) {
    if (!may_write(data.size(), "Transport::write()")) {
        return;
    }
    guard_memory([&] {
        if (should_gather(data.size())) {
            gather(data);
        } else {
            write_now({&data, 1}, Ownership::copied);
        }
    });
    pause_if_above();
}

SLUICE_INLINE void StreamTransport::write(Buffer data) {
    if (!may_write(data.size(), "Transport::write()")) {
        return;
    }
    guard_memory([&] {
        const Bytes bytes = data.bytes();
        if (should_gather(bytes.size())) {
            gather(bytes);
        } else {
            write_now({&bytes, 1}, Ownership::shared, &data);
        }
    });
    pause_if_above();
}

SLUICE_INLINE void StreamTransport::write_static(Bytes data) {
    if (!may_write(data.size(), "Transport::write_static()")) {
        return;
    }
    guard_memory([&] {
        if (should_gather(data.size())) {
            gather(data);
        } else {
            write_now({&data, 1}, Ownership::permanent);
        }
    });
    pause_if_above();
}

SLUICE_INLINE void StreamTransport::writelines(std::span<const Bytes> pieces) {
    write_lines(pieces);
}

SLUICE_INLINE void StreamTransport::writelines(std::span<const Buffer> pieces) {
    write_lines(pieces);
}

inline Bytes bytes_of(Bytes piece) noexcept {
    return piece;
}
inline Bytes bytes_of(const Buffer& piece) noexcept {
    return piece.bytes();
}

template <class Piece>
void StreamTransport::write_lines(std::span<const Piece> pieces) {
    std::size_t total = 0;
    for (const Piece& piece : pieces) {
        total += piece.size();
    }
    if (!may_write(total, "Transport::writelines()")) {
        return;
    }
    guard_memory([&] {
        // Many tiny pieces are cheaper to copy together than to hand to the kernel one by one.
        const bool tiny = total / pieces.size() < gather_piece_bytes_;
        std::array<Bytes, limits::gather_segments> some;
        while (!pieces.empty() && !ended()) {
            if (tiny && pieces.front().size() < limits::gather_span_bytes) {
                gather(bytes_of(pieces.front()));
                pieces = pieces.subspan(1);
                continue;
            }
            const std::size_t count = tiny ? 1 : std::min(pieces.size(), some.size());
            std::ranges::transform(pieces.first(count), some.begin(),
                                   [](const Piece& piece) { return bytes_of(piece); });
            if constexpr (std::is_same_v<Piece, Buffer>) {
                write_now({some.data(), count}, Ownership::shared, pieces.data());
            } else {
                write_now({some.data(), count}, Ownership::copied);
            }
            pieces = pieces.subspan(count);
        }
        if (!should_gather(0) && !write_blocked_ && !ended()) {
            flush_queue();
        }
    });
    pause_if_above();
}

SLUICE_INLINE void StreamTransport::flush() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::flush()");
    if (!write_blocked_ && (!queue_.empty() || holds_sent_bytes())) {
        flush_queue();
        defer_limits();
    }
}

SLUICE_INLINE void StreamTransport::set_write_buffer_limits(std::optional<std::size_t> high,
                                                            std::optional<std::size_t> low) {
    watermarks_.set(high, low);
    if (!lost_) {
        core_->check_thread("Transport::set_write_buffer_limits()");
        defer_limits();
    }
}

SLUICE_INLINE void StreamTransport::set_write_buffer_cap(std::optional<std::size_t> bytes,
                                                         OverflowPolicy policy) {
    if (!lost_) {
        core_->check_thread("Transport::set_write_buffer_cap()");
    }
    cap_set_ = bytes.has_value();
    write_cap_bytes_ = bytes.value_or(0);
    cap_policy_ = policy;
}

// ---- accepting bytes ----

/// True if bytes of this call are to be sent. Throws for misuse; counts what a lost connection
/// drops.
SLUICE_INLINE bool StreamTransport::may_write(std::size_t size, const char* method) {
    if (lost_ || (closing_ && queue_.empty())) {
        if (size != 0 && ++dropped_writes_ == limits::lost_writes_before_warning + 1 &&
            core_ != nullptr && core_->debug()) {
            core_->report({.message = std::string(method) + " on a lost connection, repeatedly",
                           .exception = {},
                           .error = reason_,
                           .transport = this,
                           .protocol = protocol_.get()});
        }
        return false;
    }
    check_writable(method);
    // Files hold no memory.
    const std::size_t unsent =
        cap_set_ && write_blocked_ ? get_write_buffer_size() - queue_.file_bytes() : 0;
    if (cap_set_ && write_blocked_ && unsent + size > write_cap_bytes_) {
        if (cap_policy_ == OverflowPolicy::refuse_write) {
            throw std::system_error(Error::write_buffer_full,
                                    std::string(method) + ": " + std::to_string(unsent) + " + " +
                                        std::to_string(size) + " bytes exceed the cap of " +
                                        std::to_string(write_cap_bytes_));
        }
        end_with(Error::write_buffer_full);
        return false;
    }
    return size != 0;
}

/// Throws for misuse.
SLUICE_INLINE void StreamTransport::check_writable(const char* method) const {
    core_->check_thread(method);
    if (receives_only_) {
        throw std::logic_error(std::string(method) + " on a transport that only receives");
    }
    if (eof_requested_) {
        throw std::logic_error(std::string(method) + " called after write_eof()");
    }
    if (taken_over_) {
        throw std::logic_error(std::string(method) +
                               " on a transport that start_tls() has taken over");
    }
}

SLUICE_INLINE bool StreamTransport::should_gather(std::size_t size) const noexcept {
    return size < limits::gather_span_bytes && core_->in_callback() &&
           watermarks_.bounds().high != 0;
}

/// Running out of memory ends the connection instead of leaving a hole in the stream.
template <class F>
void StreamTransport::guard_memory(F&& write) noexcept {
    try {
        write();
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
    }
}

SLUICE_INLINE void StreamTransport::gather(Bytes data) {
    if (write_blocked_) {
        queue_.append_copy(data);
        return;
    }
    queue_.append_gathered(data, core_->gather_pool());
    const std::size_t most = std::min(limits::gather_block_bytes, watermarks_.bounds().high);
    if (queue_.size() >= most) {
        flush_queue();
    } else if (core_->in_callback()) {
        // Outside a callback writelines() sends by itself, and a mark left standing meanwhile would
        // have it done a second time, in the middle of the first, by whatever is called below.
        core_->mark_dirty(*this);
    }
}

SLUICE_INLINE void StreamTransport::write_now(std::span<const Bytes> pieces, Ownership ownership,
                                              const Buffer* buffers) {
    std::size_t sent = 0;
    if (!write_blocked_ && !send_pieces(pieces, sent)) {
        return;
    }
    queue_rest(pieces, sent, ownership, buffers);
}

SLUICE_INLINE void StreamTransport::queue_rest(std::span<const Bytes> pieces, std::size_t sent,
                                               Ownership ownership, const Buffer* buffers) {
    for (std::size_t index = 0; index < pieces.size(); ++index) {
        const Bytes piece = pieces[index];
        const std::size_t skipped = std::min(sent, piece.size());
        sent -= skipped;
        switch (ownership) {
            case Ownership::copied:
                queue_.append_copy(piece.subspan(skipped));
                break;
            case Ownership::shared:
                queue_.append_owned(buffers[index].slice(skipped));
                break;
            case Ownership::permanent:
                queue_.append_static(piece.subspan(skipped));
                break;
        }
    }
}

// ---- sending ----

SLUICE_INLINE void StreamTransport::send_segments(WriteQueue& segments, Bytes last,
                                                  bool may_wait) noexcept {
    if (ended()) {
        segments.clear(core_->gather_pool());
        return;
    }
    queue_.splice_back(segments);
    flushing_ = may_wait;
    guard_memory([&] {
        if (!last.empty()) {
            write_now({&last, 1}, Ownership::copied);
        } else if (!write_blocked_) {
            flush_queue();
        }
    });
    flushing_ = false;
    pause_if_above();
}

SLUICE_INLINE std::size_t StreamTransport::send_through(WriteQueue& segments,
                                                        std::span<const Bytes> pieces) noexcept {
    if (ended()) {
        segments.clear(core_->gather_pool(), reason_);
        return 0;
    }
    queue_.splice_back(segments);
    std::size_t sent = 0;
    if (!write_blocked_ && send_pieces(pieces, sent) && !queue_.empty()) {
        queue_.return_blocks(core_->gather_pool());
    }
    // Whoever kept some is told when to go on, even if nothing is unsent here.
    if (write_blocked_ && !ended() && !watermarks_.paused()) {
        watermarks_.set_paused();
        dispatch(*core_, site("protocol.pause_writing()"), [this] { protocol_->pause_writing(); });
    }
    return sent;
}

SLUICE_INLINE void StreamTransport::flush_queue() noexcept {
    std::size_t sent = 0;
    if (send_pieces({}, sent) && !queue_.empty()) {
        queue_.return_blocks(core_->gather_pool());
    }
}

SLUICE_INLINE void StreamTransport::on_flush() noexcept {
    if (!write_blocked_) {
        flushing_ = true;
        flush_queue();
        flushing_ = false;
    }
    pause_if_above();
    resume_if_below();
}

/// The lower side takes bytes again.
SLUICE_INLINE void StreamTransport::writable_again() noexcept {
    write_blocked_ = false;
    flush_queue();
    resume_if_below();
    if (!write_blocked_ && !ended()) {
        note_unblocked();
        update_interest();
        finish_writing();
    }
}

// ---- flow control ----

/// To be called when a whole call of the user has been taken in: what pause_writing writes comes
/// after it.
SLUICE_INLINE void StreamTransport::pause_if_above() noexcept {
    // Gathered bytes are not judged before the lower side has been asked to take them.
    if (write_blocked_ && !ended() && watermarks_.should_pause(get_write_buffer_size())) {
        dispatch(*core_, site("protocol.pause_writing()"), [this] { protocol_->pause_writing(); });
    }
}

SLUICE_INLINE void StreamTransport::resume_if_below() noexcept {
    if (!ended() && watermarks_.should_resume(get_write_buffer_size())) {
        dispatch(*core_, site("protocol.resume_writing()"),
                 [this] { protocol_->resume_writing(); });
    }
}

}  // namespace sluice::inline v0_1::detail
