// SocketTransport: how bytes reach the kernel.
#pragma once

#include <sluice/detail/sendfile_completions.hpp>
#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <array>
#include <new>

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
    if (holds_bytes()) {
        send_held();
        if (write_blocked_ || ended()) {
            return !ended();
        }
    }
    if (records_ != nullptr && !send_records()) {
        return !ended();
    }
    if (queue_.has_file() && !send_files()) {
        return !ended();
    }
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    while (!queue_.empty() || sent < total) {
        std::size_t offered = 0;
        const IoResult result = send_front(pieces, sent, offered);
        if (!result.ok() && !result.blocked()) {
            end_with(result.error());
            return false;
        }
        const std::size_t taken = result.ok() ? result.value() : 0;
        count_sent(taken);
        const std::size_t taken_from_queue = std::min(taken, queue_.size());
        queue_.consume(taken_from_queue, core_->gather_pool());
        sent += taken - taken_from_queue;
        if (taken < offered) {
            // A short send means the socket's buffer is full: no need to hear "would block" too.
            wait_until_writable();
            return !ended();
        }
    }
    return true;
}

SLUICE_INLINE void SocketTransport::count_sent(std::size_t byte_count) noexcept {
    core_->counters.bytes_sent += byte_count;
    counters_.bytes_sent += byte_count;
    if (byte_count != 0) {
        note_sent();
    }
}

SLUICE_INLINE void SocketTransport::wait_until_writable() noexcept {
    write_blocked_ = true;
    note_blocked();
    update_interest();
}

/// One system call with as much of the queue and of `pieces` (from byte `skip` on) as it takes;
/// `offered` tells how much that was.
SLUICE_INLINE IoResult SocketTransport::send_front(std::span<const Bytes> pieces, std::size_t skip,
                                                   std::size_t& offered) noexcept {
    // One piece is the rule; it needs neither sendmsg nor a list.
    if (queue_.empty() ? pieces.size() == 1 : pieces.empty() && queue_.has_one_segment()) {
        const Bytes only = queue_.empty() ? pieces.front().subspan(skip) : queue_.front();
        offered = only.size();
        if (flushing_ && send_later(only)) {
            return IoResult(offered);
        }
        ++core_->counters.send_calls;
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
    ++core_->counters.send_calls;
    return sys::send_gathered(fd_, {gathered.data(), count});
}

// ---- TLS in the kernel ----

SLUICE_INLINE std::error_code SocketTransport::use_kernel_tls(bool sending, Bytes keys) noexcept {
    SLUICE_ASSERT(!sending || all_sent());
    if (ended()) {
        return std::make_error_code(std::errc::not_connected);
    }
    if (!sending && receives_) {
        // What is on its way to the backend would be taken for records, or come after them.
        return std::make_error_code(std::errc::device_or_resource_busy);
    }
    send_held();
    if (ended() || (sending && !all_sent())) {
        return std::make_error_code(std::errc::device_or_resource_busy);
    }
    std::unique_ptr<RecordRest> rest;
    if (!sending) {
        RecordRestUser& user = *this;
        rest.reset(new (std::nothrow) RecordRest(*core_, user));
        if (rest == nullptr) {
            return std::make_error_code(std::errc::not_enough_memory);
        }
    }
    const std::error_code error = sys::use_kernel_tls(fd_, sending, keys);
    if (!error) {
        kernel_seals_ = kernel_seals_ || sending;
        if (!sending) {
            rest_ = std::move(rest);
        }
    }
    return error;
}

SLUICE_INLINE bool SocketTransport::send_record(std::uint8_t type, Bytes content) noexcept {
    if (ended()) {
        return true;
    }
    try {
        if (records_ == nullptr) {
            records_ = std::make_unique<std::vector<KernelRecord>>();
        }
        records_->push_back({.type = type, .content = {content.begin(), content.end()}});
    } catch (const std::bad_alloc&) {
        return false;
    }
    if (!write_blocked_) {
        flush_queue();
    }
    pause_if_above();
    return true;
}

/// False if not all could be sent now.
SLUICE_INLINE bool SocketTransport::send_records() noexcept {
    while (!records_->empty()) {
        const KernelRecord& record = records_->front();
        const IoResult result = sys::send_record(fd_, record.type, record.content);
        ++core_->counters.send_calls;
        if (result.blocked()) {
            wait_until_writable();
            return false;
        }
        if (!result.ok()) {
            end_with(result.error());
            return false;
        }
        note_sent();
        records_->erase(records_->begin());
    }
    records_.reset();
    return true;
}

SLUICE_INLINE std::size_t SocketTransport::get_write_buffer_size() const noexcept {
    std::size_t size = queue_.size();
    if (records_ != nullptr) {
        for (const KernelRecord& record : *records_) {
            size += record.content.size();
        }
    }
    return size;
}

// ---- files ----

/// Sends the queue up to and with its last file. False if that is not possible now, or if it is the
/// turn of others: readiness, which is level-triggered, tells when to go on.
SLUICE_INLINE bool SocketTransport::send_files() noexcept {
    std::size_t turn_bytes = limits::file_turn_bytes;
    while (queue_.has_file()) {
        if (turn_bytes == 0) {
            wait_until_writable();
            return false;
        }
        const bool is_file = queue_.front_is_file();
        if (is_file && front_file().in_pieces()) {
            if (!read_front_file()) {
                return false;
            }
            continue;
        }
        std::size_t offered = 0;
        const IoResult result =
            is_file ? send_front_file(turn_bytes, offered) : send_before_file(offered);
        if (result.blocked()) {
            wait_until_writable();
            return false;
        }
        if (!result.ok()) {
            std::error_code error = result.error();
            if (is_file && send_otherwise(error)) {
                continue;
            }
            end_with(error);
            return false;
        }
        const std::size_t taken = result.value();
        count_sent(taken);
        turn_bytes -= std::min(turn_bytes, taken);
        if (!is_file) {
            queue_.consume(taken, core_->gather_pool());
        } else if (taken != 0) {
            consume_file(taken);
        } else {
            end_with(Error::file_truncated);
            return false;
        }
        if (taken < offered) {
            // Of a file that has become shorter the next call takes nothing.
            wait_until_writable();
            return false;
        }
    }
    return true;
}

/// One system call with at most `most` bytes of the file at the front.
SLUICE_INLINE IoResult SocketTransport::send_front_file(std::size_t most,
                                                        std::size_t& offered) noexcept {
    const FileSend& file = front_file();
    if (!file.started() && file.rest() >= limits::file_cork_bytes &&
        local_.family() != Family::unix_domain) {
        set_corked(true);
    }
    offered = std::min(most, file.rest());
    SendfileCompletions* const backend = core_->poller().sendfile_completions();
    if (backend == nullptr) {
        ++core_->counters.send_calls;
        return sys::sendfile(fd_, file.file(), file.offset(), offered);
    }
    offered = std::min(offered,
                       has_time_limit() ? limits::file_timed_bytes : limits::file_completion_bytes);
    backend_sends_files_ = true;
    const IoResult result = backend->sendfile(fd_, file.file(), file.offset(), offered);
    core_->counters.send_calls += result.blocked() ? 0 : 1;
    return result;
}

SLUICE_INLINE void SocketTransport::consume_file(std::size_t byte_count) noexcept {
    const bool is_last = byte_count == front_file().rest();
    queue_.consume_file(byte_count);
    if (is_last) {
        set_corked(false);
    }
}

/// Without a cork sendfile(2) lets packets leave half full, which costs large files a quarter of their
/// CPU time. What fills no packet leaves when the cork is taken out.
SLUICE_INLINE void SocketTransport::set_corked(bool corked) noexcept {
    if (corked != corked_ && !sys::set_option(fd_, sys::SocketOption::cork, corked)) {
        corked_ = corked;
    }
}

/// One system call with the bytes before the first file, as many as it takes.
SLUICE_INLINE IoResult SocketTransport::send_before_file(std::size_t& offered) noexcept {
    std::array<Bytes, limits::gather_segments> gathered;
    const std::size_t count = queue_.front_pieces(gathered);
    for (std::size_t index = 0; index < count; ++index) {
        offered += gathered[index].size();
    }
    ++core_->counters.send_calls;
    // A header and the beginning of its file share a packet. A file that is read here may take its
    // time, and nothing is to wait for that.
    return sys::send_gathered(fd_, {gathered.data(), count}, !front_file().in_pieces());
}

/// True if `error` says that the kernel cannot send the file at the front, and it will be sent in
/// pieces. Later than at the first call the same numbers are errors like others.
SLUICE_INLINE bool SocketTransport::send_otherwise(std::error_code& error) noexcept {
    const bool refused = error == std::errc::invalid_argument ||
                         error == std::errc::function_not_supported ||
                         error == std::errc::operation_not_supported;
    if (!refused || front_file().started()) {
        return false;
    }
    if (front_file().send_in_pieces()) {
        set_corked(false);
        return true;
    }
    error = std::make_error_code(std::errc::operation_not_supported);
    return false;
}

/// What was waiting for the queue to empty: the end of the stream, or the end of the connection.
SLUICE_INLINE void SocketTransport::finish_writing() noexcept {
    if (!all_sent()) {
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
