// SendBatch: putting bytes in, handing them over, telling what became of them.
#pragma once

#include <sluice/detail/copy_bytes.hpp>
#include <sluice/detail/send_batch.hpp>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE bool SendBatch::put(BatchedSender& sender, int fd, Bytes bytes) noexcept {
    SLUICE_ASSERT(sender.place_ == BatchedSender::none);
    if (entries_.size() == limits::send_batch_entries ||
        bytes.size() > limits::send_batch_bytes - used_) {
        return false;
    }
    if (memory_ == nullptr) {
        try {
            entries_.reserve(limits::send_batch_entries);
            memory_.reset(new std::byte[limits::send_batch_bytes]);
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    sender.place_ = static_cast<std::uint32_t>(entries_.size());
    std::copy(bytes.begin(), bytes.end(), memory_.get() + used_);
    entries_.push_back({.sender = &sender,
                        .fd = fd,
                        .begin = static_cast<std::uint32_t>(used_),
                        .size = static_cast<std::uint32_t>(bytes.size()),
                        .result = 0});
    used_ += bytes.size();
    return true;
}

SLUICE_INLINE Bytes SendBatch::take_back(BatchedSender& sender) noexcept {
    Entry& entry = entries_[std::exchange(sender.place_, BatchedSender::none)];
    entry.sender = nullptr;
    return bytes_of(entry);
}

SLUICE_INLINE void SendBatch::queue_in(Ring& ring, std::uint64_t tokens) noexcept {
    for (std::size_t place = 0; place < entries_.size(); ++place) {
        Entry& entry = entries_[place];
        if (entry.sender != nullptr) {
            const bool queued = ring.send(entry.fd, bytes_of(entry), tokens + place);
            entry.result = queued ? static_cast<std::int32_t>(entry.size) : -EAGAIN;
        }
    }
}

SLUICE_INLINE void SendBatch::note_unseen(std::size_t count) noexcept {
    for (std::size_t place = entries_.size(); place > 0 && count > 0; --place) {
        Entry& entry = entries_[place - 1];
        if (entry.sender != nullptr && entry.result >= 0) {
            entry.result = -EAGAIN;
            --count;
        }
    }
}

SLUICE_INLINE void SendBatch::report() noexcept {
    for (Entry& entry : entries_) {
        if (entry.sender == nullptr) {
            continue;
        }
        entry.sender->place_ = BatchedSender::none;
        if (entry.result != static_cast<std::int32_t>(entry.size)) {
            const bool failed = entry.result < 0 && entry.result != -EAGAIN;
            const auto sent = static_cast<std::size_t>(std::max(entry.result, 0));
            entry.sender->not_sent(bytes_of(entry).subspan(sent),
                                   failed ? std::error_code(-entry.result, std::system_category())
                                          : std::error_code());
        }
    }
    entries_.clear();
    used_ = 0;
}

SLUICE_INLINE void SendBatch::send_each() noexcept {
    for (const Entry& entry : entries_) {
        if (entry.sender != nullptr) {
            entry.sender->send_held();
        }
    }
    entries_.clear();
    used_ = 0;
}

}  // namespace sluice::inline v0_1::detail
