// The segment list behind every transport's writing half.
#pragma once

#include <sluice/detail/copy_bytes.hpp>
#include <sluice/detail/write_queue.hpp>

#include <algorithm>
#include <new>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE WriteSegment* WriteSegment::with_capacity(std::size_t capacity) {
    void* memory = ::operator new(sizeof(WriteSegment) + capacity, alignment);
    auto* segment = ::new (memory) WriteSegment(nullptr, 0, capacity, Buffer());
    segment->clear();
    return segment;
}

SLUICE_INLINE WriteSegment* WriteSegment::holding(Buffer owner) {
    const Bytes bytes = owner.bytes();
    void* memory = ::operator new(sizeof(WriteSegment), alignment);
    return ::new (memory) WriteSegment(bytes.data(), bytes.size(), 0, std::move(owner));
}

SLUICE_INLINE WriteSegment* WriteSegment::borrowing(Bytes bytes) {
    return holding(Buffer(bytes, nullptr));
}

SLUICE_INLINE void WriteSegment::destroy(WriteSegment* segment) noexcept {
    segment->~WriteSegment();
    ::operator delete(segment, alignment);
}

SLUICE_INLINE MutableBytes WriteSegment::space() noexcept {
    // The storage behind the header is ours and writable; `begin_` is const because borrowed bytes
    // are not.
    return {const_cast<std::byte*>(begin_ + size_), room()};
}

SLUICE_INLINE void WriteSegment::append(Bytes bytes) noexcept {
    SLUICE_ASSERT(bytes.size() <= room());
    copy_bytes(space().data(), bytes.data(), bytes.size());
    size_ += bytes.size();
}

SLUICE_INLINE GatherPool::~GatherPool() {
    release_retired();
    while (head_ != nullptr) {
        WriteSegment::destroy(std::exchange(head_, head_->next));
    }
}

SLUICE_INLINE WriteSegment* GatherPool::lend() {
    if (head_ == nullptr) {
        return WriteSegment::with_capacity(limits::gather_block_bytes);
    }
    --kept_;
    WriteSegment* block = std::exchange(head_, head_->next);
    block->next = nullptr;
    return block;
}

SLUICE_INLINE void GatherPool::take_back(WriteSegment* block) noexcept {
    if (kept_ == limits::gather_blocks_kept) {
        WriteSegment::destroy(block);
        return;
    }
    block->clear();
    block->next = head_;
    head_ = block;
    ++kept_;
}

SLUICE_INLINE void GatherPool::retire(WriteSegment* segment) noexcept {
    segment->next = nullptr;
    (retired_ == nullptr ? retired_ : last_retired_->next) = segment;
    last_retired_ = segment;
}

SLUICE_INLINE void GatherPool::release_retired() noexcept {
    while (retired_ != nullptr) {
        WriteSegment::destroy(std::exchange(retired_, retired_->next));
    }
}

SLUICE_INLINE void WriteQueue::append_copy(Bytes bytes) {
    const std::size_t fitting = tail_ == nullptr ? 0 : std::min(tail_->room(), bytes.size());
    const Bytes rest = bytes.subspan(fitting);
    WriteSegment* segment = nullptr;
    if (!rest.empty()) {
        const std::size_t growth =
            std::clamp(size_ - file_bytes_, limits::backlog_segment_min_bytes,
                       limits::backlog_segment_max_bytes);
        segment = WriteSegment::with_capacity(std::max(rest.size(), growth));
    }
    if (fitting != 0) {
        tail_->append(bytes.first(fitting));
        size_ += fitting;
    }
    if (segment != nullptr) {
        segment->append(rest);
        push_back(segment);
    }
}

SLUICE_INLINE void WriteQueue::prepend_copy(Bytes bytes) {
    WriteSegment* const segment = WriteSegment::with_capacity(bytes.size());
    segment->append(bytes);
    segment->next = head_;
    tail_ = head_ == nullptr ? segment : tail_;
    head_ = segment;
    size_ += bytes.size();
}

SLUICE_INLINE void WriteQueue::append_owned(Buffer owner) {
    if (!owner.empty()) {
        push_back(WriteSegment::holding(std::move(owner)));
    }
}

SLUICE_INLINE void WriteQueue::append_static(Bytes bytes) {
    if (!bytes.empty()) {
        push_back(WriteSegment::borrowing(bytes));
    }
}

SLUICE_INLINE void WriteQueue::append_gathered(Bytes bytes, GatherPool& pool) {
    const std::size_t fitting = tail_ == nullptr ? 0 : std::min(tail_->room(), bytes.size());
    const Bytes rest = bytes.subspan(fitting);
    SLUICE_ASSERT(rest.size() <= limits::gather_block_bytes);
    WriteSegment* block = rest.empty() ? nullptr : pool.lend();
    if (fitting != 0) {
        tail_->append(bytes.first(fitting));
        size_ += fitting;
    }
    if (block != nullptr) {
        block->append(rest);
        push_back(block);
    }
}

SLUICE_INLINE void WriteQueue::splice_back(WriteQueue& other) noexcept {
    if (other.head_ == nullptr) {
        return;
    }
    (tail_ == nullptr ? head_ : tail_->next) = other.head_;
    tail_ = other.tail_;
    size_ += other.size_;
    file_bytes_ += std::exchange(other.file_bytes_, 0);
    WriteSegment* const file = std::exchange(other.first_file_, nullptr);
    if (first_file_ == nullptr) {
        first_file_ = file;
    }
    other.head_ = nullptr;
    other.tail_ = nullptr;
    other.size_ = 0;
}

SLUICE_INLINE void WriteQueue::append_file(FileSegment& file) noexcept {
    SLUICE_ASSERT(file.rest() != 0);
    file_bytes_ += file.rest();
    if (first_file_ == nullptr) {
        first_file_ = &file;
    }
    push_back(&file);
}

SLUICE_INLINE void WriteQueue::consume_file(std::size_t count) noexcept {
    SLUICE_ASSERT(front_is_file() && count <= first_file_->size());
    first_file_->shrink(count);
    file_bytes_ -= count;
    size_ -= count;
    if (first_file_->size() == 0) {
        head_ = head_->next;
        if (head_ == nullptr) {
            tail_ = nullptr;
        }
        release_file({}, 0);
    }
}

SLUICE_INLINE void WriteQueue::put_before_file(WriteSegment& piece) noexcept {
    SLUICE_ASSERT(front_is_file() && piece.size() <= first_file_->size());
    // Of a file that has been read to its end the place stays, to be left with its last piece.
    first_file_->shrink(piece.size());
    file_bytes_ -= piece.size();
    piece.next = head_;
    head_ = &piece;
}

SLUICE_INLINE std::size_t WriteQueue::front_pieces(std::span<Bytes> pieces) const noexcept {
    std::size_t count = 0;
    const WriteSegment* const end = first_file_;
    for (const WriteSegment* segment = head_; segment != end && count < pieces.size();
         segment = segment->next) {
        pieces[count++] = segment->bytes();
    }
    return count;
}

SLUICE_INLINE void WriteQueue::consume(std::size_t count, GatherPool& pool) noexcept {
    SLUICE_ASSERT(count <= size_);
    size_ -= count;
    while (head_ != nullptr && head_->size() <= count) {
        count -= head_->size();
        release(std::exchange(head_, head_->next), pool);
    }
    if (head_ == nullptr) {
        tail_ = nullptr;
    } else {
        head_->drop_front(count);
    }
}

SLUICE_INLINE void WriteQueue::clear(GatherPool& pool, std::error_code reason) noexcept {
    std::size_t before_file = 0;
    while (head_ != nullptr) {
        WriteSegment* const segment = std::exchange(head_, head_->next);
        if (segment == first_file_) {
            release_file(reason, std::exchange(before_file, 0));
        } else {
            before_file += segment->size();
            release(segment, pool);
        }
    }
    tail_ = nullptr;
    size_ = 0;
    file_bytes_ = 0;
}

SLUICE_INLINE void WriteQueue::return_blocks(GatherPool& pool) noexcept {
    for (WriteSegment** link = &head_; *link != nullptr; link = &(*link)->next) {
        WriteSegment* block = *link;
        if (block->capacity() != limits::gather_block_bytes ||
            block->bytes().size() > block->capacity() / 2) {
            continue;
        }
        WriteSegment* exact = nullptr;
        try {
            exact = WriteSegment::with_capacity(
                std::max(block->bytes().size(), limits::backlog_segment_min_bytes));
        } catch (const std::bad_alloc&) {
            return;
        }
        exact->append(block->bytes());
        exact->next = block->next;
        if (tail_ == block) {
            tail_ = exact;
        }
        *link = exact;
        pool.take_back(block);
    }
}

SLUICE_INLINE void WriteQueue::push_back(WriteSegment* segment) noexcept {
    segment->next = nullptr;
    (tail_ == nullptr ? head_ : tail_->next) = segment;
    tail_ = segment;
    size_ += segment->size();
}

SLUICE_INLINE void WriteQueue::release(WriteSegment* segment, GatherPool& pool) noexcept {
    if (segment->is_borrowed()) {
        if (segment == first_file_) {
            release_file({}, 0);
        } else {
            pool.retire(segment);
        }
    } else if (segment->capacity() == limits::gather_block_bytes) {
        pool.take_back(segment);
    } else {
        WriteSegment::destroy(segment);
    }
}

/// The first file has been taken out of the list.
SLUICE_INLINE void WriteQueue::release_file(std::error_code reason, std::size_t dropped) noexcept {
    FileSegment& file = first_file();
    do {
        first_file_ = first_file_->next;
    } while (first_file_ != nullptr && !first_file_->is_file());
    file.left_queue(reason, dropped);
}

}  // namespace sluice::inline v0_1::detail
