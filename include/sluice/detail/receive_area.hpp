// ReceiveArea: memory of a loop that every read fills anew, with a size that follows what arrives.
//
// It is lent for one read and the delivery of what was read, so that idle connections own none.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <memory>
#include <new>

namespace sluice::inline v0_1::detail {

/// Memory that starts on a page. The kernel copies with rep movsb, which on current AMD processors
/// is half as fast when source or destination is not aligned to a cache line, as malloc's memory is
/// not.
struct PageAlignedDelete {
    static constexpr std::align_val_t alignment{4096};
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, alignment); }
};

class ReceiveArea {
public:
    /// `slack_bytes` are added to each size: room for what a protocol below adds to the payload.
    explicit ReceiveArea(std::size_t slack_bytes = 0) noexcept : slack_bytes_(slack_bytes) {}

    /// Valid until the next call. May throw std::bad_alloc.
    [[nodiscard]] MutableBytes space() {
        // The whole range is reserved once; pages that no read has filled cost nothing, so growing
        // is only a number.
        if (memory_ == nullptr) {
            memory_.reset(static_cast<std::byte*>(::operator new(
                limits::receive_max_bytes + slack_bytes_, PageAlignedDelete::alignment)));
        }
        return {memory_.get(), size_ + slack_bytes_};
    }

    /// Tells how much of space() was filled, so that its size adapts.
    void received(std::size_t byte_count) noexcept {
        if (byte_count >= size_) {
            size_ = std::min(size_ * 2, limits::receive_max_bytes);
            small_reads_ = 0;
        } else if (byte_count * 4 >= size_ || size_ == limits::receive_start_bytes) {
            small_reads_ = 0;
        } else if (++small_reads_ == limits::receive_shrink_after_reads) {
            size_ /= 2;
            small_reads_ = 0;
        }
    }

private:
    std::unique_ptr<std::byte, PageAlignedDelete> memory_;
    std::size_t size_ = limits::receive_start_bytes;
    std::size_t slack_bytes_;
    unsigned small_reads_ = 0;
};

}  // namespace sluice::inline v0_1::detail
