// WriteQueue: the bytes a transport has accepted and the kernel has not, in order, as a list of
// segments.
//
// It knows nothing of descriptors and limits. Memory of a queued segment stays put until it is
// consumed, so that a completion backend may hand it to the kernel. An empty queue owns nothing.
// A file has its place in the list like any bytes; what it is besides is for whoever made it.
#pragma once

#include <sluice/buffer.hpp>
#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <cstddef>
#include <new>
#include <span>
#include <system_error>
#include <utility>

namespace sluice::inline v0_1::detail {

/// A piece of the queue. Copied bytes stand behind the header in the same allocation, aligned to a
/// cache line for the kernel's sake (see PageAlignedDelete in loop_core.hpp).
class alignas(64) WriteSegment {
public:
    /// Room for `capacity` bytes to be copied in. May throw std::bad_alloc.
    static WriteSegment* with_capacity(std::size_t capacity);
    /// Borrows from `owner`; keeps a reference to it.
    static WriteSegment* holding(Buffer owner);
    /// Borrows bytes that never go away.
    static WriteSegment* borrowing(Bytes bytes);
    static void destroy(WriteSegment* segment) noexcept;

    /// Not for files.
    [[nodiscard]] Bytes bytes() const noexcept { return {begin_, size_}; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t room() const noexcept {
        return capacity_ == 0 ? 0
                              : static_cast<std::size_t>(storage() + capacity_ - (begin_ + size_));
    }
    void append(Bytes bytes) noexcept;
    void drop_front(std::size_t count) noexcept {
        begin_ += count;
        size_ -= count;
    }
    /// Makes a segment with capacity empty again.
    void clear() noexcept {
        begin_ = storage();
        size_ = 0;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    [[nodiscard]] bool is_borrowed() const noexcept { return capacity_ == 0; }
    /// Borrowed bytes are somewhere; a file's are not in memory.
    [[nodiscard]] bool is_file() const noexcept { return begin_ == nullptr; }

    /// The room behind the bytes, to be filled by somebody, and how much of it was.
    [[nodiscard]] MutableBytes space() noexcept;
    void filled(std::size_t count) noexcept { size_ += count; }

    /// Takes `count` bytes off a file, which has no memory to move along.
    void shrink(std::size_t count) noexcept { size_ -= count; }

    WriteSegment* next = nullptr;

protected:
    WriteSegment(const std::byte* begin, std::size_t size, std::size_t capacity, Buffer owner)
        : begin_(begin), size_(size), capacity_(capacity), owner_(std::move(owner)) {}

private:
    static constexpr std::align_val_t alignment{64};

    [[nodiscard]] const std::byte* storage() const noexcept {
        return reinterpret_cast<const std::byte*>(this + 1);
    }

    const std::byte* begin_;
    std::size_t size_;
    std::size_t capacity_;
    Buffer owner_;
};

/// The place of a file in the queue, and how much of it is still to come. What is read of it ahead of
/// its turn stands before it, as bytes. It belongs to the queue until left_queue().
class FileSegment : public WriteSegment {
public:
    /// Bytes of the file that nobody has taken yet.
    [[nodiscard]] std::size_t rest() const noexcept { return size(); }

protected:
    explicit FileSegment(std::size_t size) : WriteSegment(nullptr, size, 0, Buffer()) {}
    ~FileSegment() = default;

private:
    friend class WriteQueue;

    /// The queue has let go of it, and of `dropped` bytes directly before it that may be pieces of
    /// it. With rest() zero and nothing dropped it is complete; else `reason` is why not. Must run
    /// no code of the user: this may be the middle of a send.
    virtual void left_queue(std::error_code reason, std::size_t dropped) noexcept = 0;
};

/// The loop's spare gather blocks, last in first out: the block used last is still in the cache.
/// Also what has been sent and must not be let go of yet.
class GatherPool {
public:
    GatherPool() noexcept = default;
    GatherPool(const GatherPool&) = delete;
    GatherPool& operator=(const GatherPool&) = delete;
    ~GatherPool();

    /// An empty segment of limits::gather_block_bytes. May throw std::bad_alloc.
    WriteSegment* lend();
    /// Takes a lent block back.
    void take_back(WriteSegment* block) noexcept;

    /// Keeps a segment until release_retired(). The last reference to a Buffer may run code of the
    /// user, who may write; in the middle of a send that would overtake the bytes being sent.
    void retire(WriteSegment* segment) noexcept;
    void release_retired() noexcept;
    [[nodiscard]] bool has_retired() const noexcept { return retired_ != nullptr; }

private:
    WriteSegment* head_ = nullptr;
    std::size_t kept_ = 0;
    WriteSegment* retired_ = nullptr;
    WriteSegment* last_retired_ = nullptr;
};

class WriteQueue {
public:
    WriteQueue() noexcept = default;
    WriteQueue(const WriteQueue&) = delete;
    WriteQueue& operator=(const WriteQueue&) = delete;
    ~WriteQueue() { SLUICE_ASSERT(empty()); }

    /// Unsent bytes, the files' included.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// The files' part of it, which takes no memory.
    [[nodiscard]] std::size_t file_bytes() const noexcept { return file_bytes_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    [[nodiscard]] bool has_one_segment() const noexcept {
        return head_ != nullptr && head_ == tail_;
    }
    /// The first segment; there must be one, and not a file.
    [[nodiscard]] Bytes front() const noexcept { return head_->bytes(); }

    /// Each of these may throw std::bad_alloc, and then has changed nothing.
    void append_copy(Bytes bytes);
    void append_owned(Buffer owner);
    void append_static(Bytes bytes);
    /// Puts bytes before all others.
    void prepend_copy(Bytes bytes);
    /// Copies into a block of `pool`, which is lent when the tail has no room.
    void append_gathered(Bytes bytes, GatherPool& pool);

    // ---- files ----

    [[nodiscard]] bool has_file() const noexcept { return first_file_ != nullptr; }
    [[nodiscard]] bool front_is_file() const noexcept {
        return first_file_ != nullptr && first_file_ == head_;
    }
    /// The first file; there must be one.
    [[nodiscard]] FileSegment& first_file() const noexcept {
        return static_cast<FileSegment&>(*first_file_);
    }
    /// Takes the file over, which must not be empty.
    void append_file(FileSegment& file) noexcept;
    /// `count` bytes of the file at the front have been sent.
    void consume_file(std::size_t count) noexcept;
    /// Takes over `piece`, which was read from the file at the front and goes before its rest.
    void put_before_file(WriteSegment& piece) noexcept;

    /// Appends everything `other` holds, which is empty then.
    void splice_back(WriteQueue& other) noexcept;

    /// Fills `pieces` with the front of the queue, up to the first file; returns how many were
    /// filled.
    std::size_t front_pieces(std::span<Bytes> pieces) const noexcept;
    /// Drops `count` bytes from the front, where no file may be among them. Lent blocks go back to
    /// `pool`, borrowed bytes are retired there: no code of the user runs.
    void consume(std::size_t count, GatherPool& pool) noexcept;
    /// Drops everything; files are told that it was for `reason`.
    void clear(GatherPool& pool, std::error_code reason = {}) noexcept;

    /// Moves what stands in lent blocks into memory of exactly its size and gives the blocks back,
    /// so that a slow peer does not keep a 64 KiB block for a few bytes. Keeps the block when no
    /// memory can be had.
    void return_blocks(GatherPool& pool) noexcept;

private:
    void push_back(WriteSegment* segment) noexcept;
    void release(WriteSegment* segment, GatherPool& pool) noexcept;
    void release_file(std::error_code reason, std::size_t dropped) noexcept;

    WriteSegment* head_ = nullptr;
    WriteSegment* tail_ = nullptr;
    std::size_t size_ = 0;
    // Where the bytes at the front end: with no file that is null, which is what a walk along the
    // list looks for anyway.
    WriteSegment* first_file_ = nullptr;
    std::size_t file_bytes_ = 0;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/write_queue.ipp>
#endif
