// StreamBuffer: where the next bytes go.
#pragma once

#include <sluice/detail/stream_buffer.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE MutableBytes StreamBuffer::room(std::size_t most) {
    if (begin_ == end_ && !lent_) {
        begin_ = end_ = 0;
    }
    // A little room at the end would cost a system call of its own; an empty block is replaced by a
    // larger one if reads have been filling it.
    const std::size_t rest = capacity_ - end_;
    if (rest < std::min(most, capacity_ / 4) || capacity_ == 0 ||
        (begin_ == end_ && capacity_ < wanted_)) {
        rearrange();
    }
    offered_ = std::min(capacity_ - end_, most);
    return {block_.get() + end_, offered_};
}

/// Moves what is there to the front of a block of which at least a third is free then. That is more
/// than the quarter below which it is done again, so that each byte is moved a bounded number of times.
SLUICE_INLINE void StreamBuffer::rearrange() {
    const std::size_t count = size();
    std::size_t capacity = std::max(capacity_, wanted_);
    while (capacity - count < capacity / 3) {
        capacity *= 2;
    }
    if (capacity == capacity_ && !lent_) {
        std::memmove(block_.get(), block_.get() + begin_, count);
    } else {
        auto block = std::make_unique_for_overwrite<std::byte[]>(capacity);
        if (count != 0) {
            std::memcpy(block.get(), block_.get() + begin_, count);
        }
        if (std::exchange(lent_, false)) {
            held_ = std::move(block_);
        }
        block_ = std::move(block);
        capacity_ = capacity;
        peak_ = 0;
    }
    begin_ = 0;
    end_ = count;
}

SLUICE_INLINE void StreamBuffer::filled(std::size_t count) noexcept {
    SLUICE_ASSERT(count <= offered_);
    if (count == offered_ && count >= capacity_ / 2) {
        wanted_ = std::min(2 * capacity_, limits::stream_block_max_bytes);
    }
    end_ += count;
    peak_ = std::max(peak_, size());
    offered_ = 0;
}

SLUICE_INLINE void StreamBuffer::append(std::string_view text) {
    while (!text.empty()) {
        const MutableBytes space = room(text.size());
        std::memcpy(space.data(), text.data(), space.size());
        filled(space.size());
        text.remove_prefix(space.size());
    }
}

SLUICE_INLINE void StreamBuffer::rest() noexcept {
    if (begin_ != end_ || offered_ != 0 || lent_ || capacity_ <= limits::stream_block_min_bytes) {
        return;
    }
    if (peak_ < capacity_ / 4) {
        wanted_ = std::max(wanted_ / 2, limits::stream_block_min_bytes);
    }
    block_.reset();
    begin_ = end_ = capacity_ = 0;
}

}  // namespace sluice::inline v0_1::detail
