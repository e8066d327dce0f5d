// StreamTransport: files in the queue.
#pragma once

#include <sluice/detail/stream_transport.hpp>

#include <memory>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void StreamTransport::sendfile(int file, std::int64_t offset,
                                             std::optional<std::int64_t> count,
                                             SendfileOptions options, SendfileCallback done) {
    if (closing_) {
        throw std::logic_error("Transport::sendfile(): the transport is closing");
    }
    check_writable("Transport::sendfile()");
    const FileRange range = file_range(file, offset, count, options);
    if (!options.fallback && !kernel_sends_files()) {
        throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                                "sendfile(): the kernel cannot send files over this transport, "
                                "and the fallback is disabled");
    }
    FileUser& user = *this;
    auto segment = std::make_unique<FileSend>(*core_, user, file, range, options, std::move(done));
    ++files_open_;
    if (range.size == 0) {
        segment.release()->complete();
        return;
    }
    queue_.append_file(*segment.release());
    if (should_gather(0)) {
        core_->mark_dirty(*this);
    } else if (!write_blocked_) {
        flush_queue();
    }
    pause_if_above();
}

SLUICE_INLINE bool StreamTransport::read_front_file() noexcept {
    FileSend& file = front_file();
    if (!file.in_pieces() && !file.send_in_pieces()) {
        end_with(std::make_error_code(std::errc::operation_not_supported));
        return false;
    }
    std::error_code error;
    if (WriteSegment* const piece = file.next_piece(*this, error)) {
        queue_.put_before_file(*piece);
        return true;
    }
    if (error) {
        end_with(error);
        return false;
    }
    write_blocked_ = true;
    awaits_file_ = true;
    update_interest();
    return false;
}

/// A callback may be running, and what follows may call others.
SLUICE_INLINE void StreamTransport::file_ready() noexcept {
    awaits_file_ = false;
    if (!ended()) {
        defer(file_pending);
    }
}

}  // namespace sluice::inline v0_1::detail
