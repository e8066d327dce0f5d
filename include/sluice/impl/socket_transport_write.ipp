// SocketTransport: the writing half. Gather small writes, send large ones at once, queue what the
// kernel refuses.
#pragma once

#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

// ---- the user's calls ----

SLUICE_INLINE void SocketTransport::write(Bytes data) {
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

SLUICE_INLINE void SocketTransport::write(Buffer data) {
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

SLUICE_INLINE void SocketTransport::write_static(Bytes data) {
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

SLUICE_INLINE void SocketTransport::writelines(std::span<const Bytes> pieces) {
    write_lines(pieces);
}

SLUICE_INLINE void SocketTransport::writelines(std::span<const Buffer> pieces) {
    write_lines(pieces);
}

inline Bytes bytes_of(Bytes piece) noexcept {
    return piece;
}
inline Bytes bytes_of(const Buffer& piece) noexcept {
    return piece.bytes();
}

template <class Piece>
void SocketTransport::write_lines(std::span<const Piece> pieces) {
    std::size_t total = 0;
    for (const Piece& piece : pieces) {
        total += piece.size();
    }
    if (!may_write(total, "Transport::writelines()")) {
        return;
    }
    guard_memory([&] {
        // Many tiny pieces are cheaper to copy together than to hand to the kernel one by one.
        const bool tiny = total / pieces.size() < limits::gather_piece_bytes;
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

SLUICE_INLINE void SocketTransport::flush() {
    if (lost_) {
        return;
    }
    core_->check_thread("Transport::flush()");
    if (!write_blocked_ && !queue_.empty()) {
        flush_queue();
        defer_limits();
    }
}

SLUICE_INLINE void SocketTransport::write_eof() {
    if (closing_ || eof_requested_) {
        return;
    }
    core_->check_thread("Transport::write_eof()");
    eof_requested_ = true;
    if (!write_blocked_) {
        flush_queue();
        finish_writing();
    }
}

SLUICE_INLINE void SocketTransport::set_write_buffer_limits(std::optional<std::size_t> high,
                                                            std::optional<std::size_t> low) {
    watermarks_.set(high, low);
    if (!lost_) {
        core_->check_thread("Transport::set_write_buffer_limits()");
        defer_limits();
    }
}

SLUICE_INLINE void SocketTransport::set_write_buffer_cap(std::optional<std::size_t> bytes,
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
SLUICE_INLINE bool SocketTransport::may_write(std::size_t size, const char* method) {
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
    core_->check_thread(method);
    if (eof_requested_) {
        throw std::logic_error(std::string(method) + " called after write_eof()");
    }
    if (cap_set_ && write_blocked_ && queue_.size() + size > write_cap_bytes_) {
        if (cap_policy_ == OverflowPolicy::refuse_write) {
            throw std::system_error(Error::write_buffer_full,
                                    std::string(method) + ": " + std::to_string(queue_.size()) +
                                        " + " + std::to_string(size) + " bytes exceed the cap of " +
                                        std::to_string(write_cap_bytes_));
        }
        end_with(Error::write_buffer_full);
        return false;
    }
    return size != 0;
}

SLUICE_INLINE bool SocketTransport::should_gather(std::size_t size) const noexcept {
    return size < limits::gather_span_bytes && core_->in_callback() &&
           watermarks_.bounds().high != 0;
}

/// Running out of memory ends the connection instead of leaving a hole in the stream.
template <class F>
void SocketTransport::guard_memory(F&& write) noexcept {
    try {
        write();
    } catch (const std::bad_alloc&) {
        end_with(std::make_error_code(std::errc::not_enough_memory));
    }
}

SLUICE_INLINE void SocketTransport::gather(Bytes data) {
    if (write_blocked_) {
        queue_.append_copy(data);
        return;
    }
    queue_.append_gathered(data, core_->gather_pool());
    const std::size_t most = std::min(limits::gather_block_bytes, watermarks_.bounds().high);
    if (queue_.size() >= most) {
        flush_queue();
    } else {
        core_->mark_dirty(*this);
    }
}

SLUICE_INLINE void SocketTransport::write_now(std::span<const Bytes> pieces, Ownership ownership,
                                              const Buffer* buffers) {
    std::size_t sent = 0;
    if (!write_blocked_ && !send_pieces(pieces, sent)) {
        return;
    }
    queue_rest(pieces, sent, ownership, buffers);
}

SLUICE_INLINE void SocketTransport::queue_rest(std::span<const Bytes> pieces, std::size_t sent,
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

/// Sends the queue and then `pieces`, as far as the kernel takes them; `sent` counts bytes of
/// `pieces`. False if the connection failed.
SLUICE_INLINE bool SocketTransport::send_pieces(std::span<const Bytes> pieces,
                                                std::size_t& sent) noexcept {
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    while (!queue_.empty() || sent < total) {
        std::size_t offered = 0;
        const IoResult result = send_front(pieces, sent, offered);
        ++core_->counters.send_calls;
        if (!result.ok() && !result.blocked()) {
            end_with(result.error());
            return false;
        }
        const std::size_t taken = result.ok() ? result.value() : 0;
        core_->counters.bytes_sent += taken;
        counters_.bytes_sent += taken;
        const std::size_t taken_from_queue = std::min(taken, queue_.size());
        queue_.consume(taken_from_queue, core_->gather_pool());
        sent += taken - taken_from_queue;
        if (taken < offered) {
            // A short send means the socket's buffer is full: no need to hear "would block" too.
            write_blocked_ = true;
            update_interest();
            return !ended();
        }
    }
    return true;
}

/// One system call with as much of the queue and of `pieces` (from byte `skip` on) as it takes;
/// `offered` tells how much that was.
SLUICE_INLINE IoResult SocketTransport::send_front(std::span<const Bytes> pieces, std::size_t skip,
                                                   std::size_t& offered) noexcept {
    // One piece is the rule; it needs neither sendmsg nor a list.
    if (queue_.empty() ? pieces.size() == 1 : pieces.empty() && queue_.has_one_segment()) {
        const Bytes only = queue_.empty() ? pieces.front().subspan(skip) : queue_.front();
        offered = only.size();
        return sys::send(fd_, only);
    }
    std::array<Bytes, limits::gather_segments> gathered;
    std::size_t count = queue_.front_pieces(gathered);
    for (const Bytes piece : pieces) {
        if (count == gathered.size()) {
            break;
        }
        const std::size_t skipped = std::min(skip, piece.size());
        skip -= skipped;
        if (skipped < piece.size()) {
            gathered[count++] = piece.subspan(skipped);
        }
    }
    for (std::size_t index = 0; index < count; ++index) {
        offered += gathered[index].size();
    }
    return sys::send_gathered(fd_, {gathered.data(), count});
}

SLUICE_INLINE void SocketTransport::flush_queue() noexcept {
    std::size_t sent = 0;
    if (send_pieces({}, sent) && !queue_.empty()) {
        queue_.return_blocks(core_->gather_pool());
    }
}

SLUICE_INLINE void SocketTransport::on_flush() noexcept {
    if (!write_blocked_) {
        flush_queue();
    }
    pause_if_above();
    resume_if_below();
}

SLUICE_INLINE void SocketTransport::write_ready() noexcept {
    write_blocked_ = false;
    flush_queue();
    resume_if_below();
    if (!write_blocked_ && !ended()) {
        update_interest();
        finish_writing();
    }
}

/// What was waiting for the queue to empty: the end of the stream, or the end of the connection.
SLUICE_INLINE void SocketTransport::finish_writing() noexcept {
    if (!queue_.empty()) {
        return;
    }
    if (closing_) {
        // Nobody is being called here: connection_lost need not be deferred, as in asyncio's final
        // flush.
        if (!ended()) {
            Ready::unlink();
            deferred_ = 0;
            run_lost();
        }
    } else if (eof_requested_) {
        // ENOTCONN: the peer is gone already, which reading will tell.
        static_cast<void>(sys::shutdown_write(fd_));
    }
}

// ---- flow control ----

/// To be called when a whole call of the user has been taken in: what pause_writing writes comes
/// after it.
SLUICE_INLINE void SocketTransport::pause_if_above() noexcept {
    // Gathered bytes are not judged before the kernel has been asked to take them.
    if (write_blocked_ && !ended() && watermarks_.should_pause(queue_.size())) {
        dispatch(*core_, site("protocol.pause_writing()"), [this] { protocol_->pause_writing(); });
    }
}

SLUICE_INLINE void SocketTransport::resume_if_below() noexcept {
    if (!ended() && watermarks_.should_resume(queue_.size())) {
        dispatch(*core_, site("protocol.resume_writing()"),
                 [this] { protocol_->resume_writing(); });
    }
}

}  // namespace sluice::inline v0_1::detail
