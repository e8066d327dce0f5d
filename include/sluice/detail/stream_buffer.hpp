// StreamBuffer: the bytes between the kernel, which writes at one end, and a reader, which takes them
// from the other. It knows no connection and no coroutine.
//
// Bytes are never moved for being taken. What take() gave out stays valid until end_loan(), whatever
// arrives meanwhile: a block that must be replaced while bytes of it are lent is held until then.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <cstddef>
#include <memory>
#include <string_view>

namespace sluice::inline v0_1::detail {

class SLUICE_API StreamBuffer {
public:
    StreamBuffer() noexcept = default;
    StreamBuffer(const StreamBuffer&) = delete;
    StreamBuffer& operator=(const StreamBuffer&) = delete;

    /// What has arrived and was not taken. The view holds until room() is called.
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(block_.get()) + begin_, end_ - begin_};
    }
    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    /// Memory held, in bytes, but for a block that is only lent.
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

    /// Where the next bytes shall go: between 1 and `most`, which is at least 1. May throw
    /// std::bad_alloc.
    [[nodiscard]] MutableBytes room(std::size_t most);
    /// The first `count` bytes of that are filled.
    void filled(std::size_t count) noexcept;
    /// For bytes that are somewhere else already. May throw std::bad_alloc.
    void append(std::string_view text);

    /// Takes the first `count` bytes and lends them.
    std::string_view take(std::size_t count) noexcept {
        SLUICE_ASSERT(count <= size());
        const std::string_view taken = text().substr(0, count);
        begin_ += count;
        lent_ = true;
        return taken;
    }
    /// Only the first `count` bytes have arrived, after all. What is lent stays so.
    void keep(std::size_t count) noexcept {
        SLUICE_ASSERT(count <= size());
        end_ = begin_ + count;
    }
    /// Nobody looks any more at what was taken.
    void end_loan() noexcept {
        lent_ = false;
        if (held_) [[unlikely]] {
            held_.reset();
        }
        if (begin_ == end_ && offered_ == 0) {
            begin_ = end_ = 0;
        }
    }
    /// Nothing is expected soon: gives a large block back if nothing is in it.
    void rest() noexcept;

private:
    void rearrange();

    std::unique_ptr<std::byte[]> block_;
    std::unique_ptr<std::byte[]> held_;  // lent, and no longer in use
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t offered_ = 0;  // by room(), and perhaps being filled
    std::size_t peak_ = 0;     // the most that was in the block at once
    std::size_t wanted_ = limits::stream_block_min_bytes;
    bool lent_ = false;  // bytes before begin_
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream_buffer.ipp>
#endif
