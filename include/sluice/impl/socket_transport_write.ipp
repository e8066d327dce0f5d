// SocketTransport: how bytes reach the kernel.
#pragma once

#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <array>

namespace sluice::inline v0_1::detail {

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

}  // namespace sluice::inline v0_1::detail
