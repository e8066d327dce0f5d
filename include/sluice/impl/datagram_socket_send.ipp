// DatagramSocket: the sending half. Gather what one callback sends, hand it over in batches, queue
// what is refused, and tell what was lost.
#pragma once

#include <sluice/detail/datagram_area.hpp>
#include <sluice/detail/datagram_socket.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_datagram.hpp>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>
#include <string>

namespace sluice::inline v0_1::detail {

// ---- the user's calls ----

SLUICE_INLINE void DatagramSocket::sendto(Bytes data, const SocketAddress& address) {
    if (lost_) {
        static_cast<void>(may_send(data.size(), 1, "DatagramTransport::sendto()"));
        return;
    }
    const SocketAddress& to = checked_target(address, "DatagramTransport::sendto()");
    if (!may_send(data.size(), 1, "DatagramTransport::sendto()")) {
        return;
    }
    if (should_gather(data.size())) {
        gather(data, to);
    } else {
        send_now(data, to);
    }
    pause_if_above();
}

SLUICE_INLINE void DatagramSocket::send_segments(Bytes data, std::size_t segment_bytes,
                                                 const SocketAddress& address) {
    constexpr const char* method = "DatagramTransport::send_segments()";
    if (segment_bytes == 0) {
        throw std::invalid_argument(std::string(method) + ": segments of 0 bytes");
    }
    const std::size_t count =
        std::max<std::size_t>((data.size() + segment_bytes - 1) / segment_bytes, 1);
    if (lost_) {
        static_cast<void>(may_send(data.size(), count, method));
        return;
    }
    const SocketAddress& to = checked_target(address, method);
    if (!may_send(data.size(), count, method)) {
        return;
    }
    for (std::size_t index = 0; index < count && !ending_; ++index) {
        const Bytes rest = data.subspan(index * segment_bytes);
        gather(rest.first(std::min(segment_bytes, rest.size())), to);
    }
    if (!should_gather(0) && !write_blocked_) {
        flush_queue();
    }
    pause_if_above();
}

SLUICE_INLINE void DatagramSocket::flush() {
    if (lost_) {
        return;
    }
    core_->check_thread("DatagramTransport::flush()");
    if (!write_blocked_ && !queue_.empty()) {
        flush_queue();
        defer(limits_pending);
    }
}

SLUICE_INLINE void DatagramSocket::set_write_buffer_limits(std::optional<std::size_t> high,
                                                           std::optional<std::size_t> low) {
    watermarks_.set(high, low);
    if (!lost_) {
        core_->check_thread("DatagramTransport::set_write_buffer_limits()");
        defer(limits_pending);
    }
}

SLUICE_INLINE void DatagramSocket::set_write_buffer_cap(std::optional<std::size_t> bytes) {
    if (!lost_) {
        core_->check_thread("DatagramTransport::set_write_buffer_cap()");
    }
    cap_set_ = bytes.has_value();
    write_cap_bytes_ = bytes.value_or(0);
}

// ---- accepting datagrams ----

/// The address to send to, none for a connected socket. Throws for misuse.
SLUICE_INLINE const SocketAddress& DatagramSocket::checked_target(const SocketAddress& address,
                                                                  const char* method) const {
    static const SocketAddress none;
    core_->check_thread(method);
    if (peer_.address || peer_.connected) {
        if (address && !(address == peer_.address)) {
            throw std::invalid_argument(std::string(method) + ": Invalid address " +
                                        address.to_string() + ": must be none or " +
                                        peer_.address.to_string());
        }
        return peer_.connected ? none : peer_.address;
    }
    if (!address) {
        throw std::invalid_argument(std::string(method) +
                                    ": the endpoint has no remote address, so it needs one here");
    }
    if (address.family() != family_) {
        throw std::invalid_argument(std::string(method) +
                                    ": socket family mismatch: " + address.to_string() +
                                    " from a socket bound to " + local_.to_string());
    }
    // NOLINTNEXTLINE(bugprone-return-const-ref-from-parameter): callers' arguments outlive its use.
    return address;
}

/// True if these datagrams are to be sent; counts and drops what a closed endpoint or the cap does
/// not let through.
SLUICE_INLINE bool DatagramSocket::may_send(std::size_t bytes, std::size_t datagrams,
                                            const char* method) {
    if (closing_) {
        counters_.dropped += datagrams;
        if (++dropped_sends_ == limits::lost_writes_before_warning + 1 && core_ != nullptr &&
            core_->debug()) {
            core_->report({.message = std::string(method) + " on a closed endpoint, repeatedly",
                           .exception = {},
                           .error = reason_,
                           .protocol = protocol_.get()});
        }
        return false;
    }
    const std::size_t added = bytes + datagrams * limits::datagram_header_bytes;
    if (cap_set_ && write_blocked_ && queue_.size() + added > write_cap_bytes_) {
        counters_.dropped += datagrams;
        return false;
    }
    return true;
}

SLUICE_INLINE bool DatagramSocket::should_gather(std::size_t size) const noexcept {
    return size < limits::gather_span_bytes && core_->in_callback() &&
           watermarks_.bounds().high != 0;
}

SLUICE_INLINE void DatagramSocket::gather(Bytes data, const SocketAddress& to) noexcept {
    if (!queue(data, to) || write_blocked_) {
        return;
    }
    const std::size_t most = std::min(limits::gather_block_bytes, watermarks_.bounds().high);
    // A joined batch is worth waiting for, since it costs hardly more than one datagram.
    const std::size_t datagrams = gso_ ? batch_ * 4 : batch_;
    if (queue_.size() >= most || queue_.count() >= datagrams) {
        flush_queue();
    } else if (core_->in_callback()) {
        core_->mark_dirty(*this);
    }
}

SLUICE_INLINE void DatagramSocket::send_now(Bytes data, const SocketAddress& to) noexcept {
    if (!write_blocked_) {
        flush_queue();
    }
    if (!write_blocked_) {
        const IoResult sent =
            sys::send_datagram(fd_, {.data = data, .to = to ? &to : nullptr, .segment_bytes = 0});
        ++core_->counters.send_calls;
        if (sent.ok()) {
            count_sent(1, data.size());
            return;
        }
        if (!sent.blocked()) {
            refused(sent.error());
            return;
        }
        if (!queue(data, to)) {
            return;
        }
        wait_until_writable();
        return;
    }
    static_cast<void>(queue(data, to));
}

/// False if there is no memory: that datagram is lost, as the network might have lost it.
SLUICE_INLINE bool DatagramSocket::queue(Bytes data, const SocketAddress& to) noexcept {
    try {
        queue_.append(data, to, core_->datagram_area().storage_pool());
        return true;
    } catch (const std::bad_alloc&) {
        refused(std::make_error_code(std::errc::not_enough_memory));
        return false;
    }
}

// ---- sending ----

SLUICE_INLINE void DatagramSocket::flush_queue() noexcept {
    while (!queue_.empty() && !write_blocked_ && send_batch()) {
    }
}

/// One system call with what stands at the front; false if the system takes no more now.
SLUICE_INLINE bool DatagramSocket::send_batch() noexcept {
    std::array<sys::OutgoingDatagram, limits::datagram_batch> batch;
    std::array<std::size_t, limits::datagram_batch> runs;
    std::size_t count = 0;
    for (std::size_t index = 0; count < batch_ && index < queue_.count(); ++count) {
        const QueuedDatagram& first = queue_[index];
        const std::size_t run = run_length(index);
        batch[count] = {.data = queue_.bytes(index, run),
                        .to = first.to ? &first.to : nullptr,
                        .segment_bytes = run > 1 ? first.size : 0};
        runs[count] = run;
        index += run;
    }
    DatagramArea& area = core_->datagram_area();
    const IoResult sent =
        count == 1 ? sys::send_datagram(fd_, batch[0])
                   : sys::send_datagrams(fd_, area.headers(), std::span(batch).first(count));
    ++core_->counters.send_calls;
    if (sent.blocked()) {
        wait_until_writable();
        return false;
    }
    if (!sent.ok()) {
        first_refused(sent.error(), runs[0]);
        return true;
    }
    std::size_t datagrams = 0;
    std::size_t bytes = 0;
    for (std::size_t index = 0; index < sent.value(); ++index) {
        datagrams += runs[index];
        bytes += batch[index].data.size();
    }
    count_sent(datagrams, bytes);
    // Why not all were taken the next call tells (sendmmsg(2)).
    queue_.pop(datagrams, area.storage_pool());
    return true;
}

/// How many datagrams from the one at `index` on the system may take as one.
SLUICE_INLINE std::size_t DatagramSocket::run_length(std::size_t index) const noexcept {
    const QueuedDatagram& first = queue_[index];
    if (!gso_ || first.size == 0 || first.size >= segment_limit_bytes_) {
        return 1;
    }
    const std::size_t most = std::min({queue_.count() - index, limits::datagram_segments,
                                       limits::datagram_joined_bytes / first.size});
    std::size_t length = 1;
    while (length < most) {
        const QueuedDatagram& next = queue_[index + length];
        if (next.size > first.size || next.size == 0 || !(next.to == first.to)) {
            break;
        }
        ++length;
        if (next.size < first.size) {
            break;  // Only the last one may be shorter.
        }
    }
    return length;
}

SLUICE_INLINE void DatagramSocket::first_refused(std::error_code error, std::size_t run) noexcept {
    if (run > 1) {
        // The joining itself may be what was refused: by the device, for good, or because packets
        // on this way are smaller. Then these go one by one, whatever their size is good for.
        if (error == std::errc::io_error || error == std::errc::operation_not_supported ||
            error == std::errc::no_protocol_option) {
            gso_ = false;
            return;
        }
        if (error == std::errc::invalid_argument || error == std::errc::message_size) {
            segment_limit_bytes_ = queue_[0].size;
            return;
        }
    }
    queue_.pop(1, core_->datagram_area().storage_pool());
    refused(error);
}

SLUICE_INLINE void DatagramSocket::count_sent(std::size_t datagrams, std::size_t bytes) noexcept {
    counters_.sent += datagrams;
    counters_.sent_bytes += bytes;
    core_->counters.bytes_sent += bytes;
}

/// One datagram is lost; the protocol is told from the loop.
SLUICE_INLINE void DatagramSocket::refused(std::error_code error) noexcept {
    ++counters_.send_errors;
    if (errors_.size() < limits::datagram_errors_kept) {
        try {
            errors_.push_back(error);
        } catch (const std::bad_alloc&) {
            return;
        }
    }
    if (!ending_) {
        defer(errors_pending);
    }
}

SLUICE_INLINE void DatagramSocket::tell_errors() noexcept {
    // What the callbacks cause in turn waits for the next iteration; abort() drops the rest.
    for (std::size_t left = errors_.size(); left > 0 && !errors_.empty(); --left) {
        const std::error_code error = errors_.front();
        errors_.erase(errors_.begin());
        tell_error(error);
    }
}

SLUICE_INLINE void DatagramSocket::on_flush() noexcept {
    if (!write_blocked_) {
        flush_queue();
    }
    pause_if_above();
    resume_if_below();
}

SLUICE_INLINE void DatagramSocket::wait_until_writable() noexcept {
    write_blocked_ = true;
    update_interest();
}

SLUICE_INLINE void DatagramSocket::writable_again() noexcept {
    const std::size_t before = queue_.count();
    core_->cancel(*this);
    resting_ = false;
    write_blocked_ = false;
    flush_queue();
    if (write_blocked_ && queue_.count() == before) {
        // A Unix socket that is not connected is always writable for poll(2); it is the receiver's
        // queue that is full, and nothing tells when it is not.
        try {
            core_->schedule(static_cast<Timer&>(*this),
                            time_after(sys::now(), limits::datagram_retry_time));
            resting_ = true;
            update_interest();
        } catch (const std::bad_alloc&) {
            // Then it is asked again at once.
        }
    }
    resume_if_below();
    if (!write_blocked_ && !ending_) {
        update_interest();
        if (closing_ && queue_.empty()) {
            // Nobody is being called here: connection_lost need not be deferred, as in asyncio's
            // final flush.
            Ready::unlink();
            deferred_ = 0;
            run_lost();
        }
    }
}

SLUICE_INLINE void DatagramSocket::on_timer() noexcept {
    resting_ = false;
    if (write_blocked_) {
        writable_again();
    }
}

// ---- flow control ----

SLUICE_INLINE void DatagramSocket::pause_if_above() noexcept {
    // Gathered datagrams are not judged before the system has been asked to take them.
    if (write_blocked_ && !ending_ && watermarks_.should_pause(queue_.size())) {
        dispatch(*core_, site("protocol.pause_writing()"), [this] { protocol_->pause_writing(); });
    }
}

SLUICE_INLINE void DatagramSocket::resume_if_below() noexcept {
    if (!ending_ && watermarks_.should_resume(queue_.size())) {
        dispatch(*core_, site("protocol.resume_writing()"),
                 [this] { protocol_->resume_writing(); });
    }
}

}  // namespace sluice::inline v0_1::detail
