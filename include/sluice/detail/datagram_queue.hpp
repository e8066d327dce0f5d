// DatagramQueue: datagrams that wait to be sent, with their addresses, in memory the loop lends.
//
// Their bytes stand one after the other, so that neighbours of one size can be handed to the system
// as one piece (UDP_SEGMENT). An empty queue owns nothing. It sends nothing and knows no socket.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sluice::inline v0_1::detail {

struct QueuedDatagram {
    SocketAddress to;
    std::size_t offset;  // of its bytes in the storage
    std::size_t size;
};

struct DatagramStorage {
    std::vector<std::byte> bytes;
    std::vector<QueuedDatagram> entries;
};

/// The storages that no queue is using. A few are kept: more endpoints rarely have something unsent
/// at the same time.
class DatagramStoragePool {
public:
    DatagramStoragePool() { spare_.reserve(kept); }

    /// May throw std::bad_alloc.
    [[nodiscard]] std::unique_ptr<DatagramStorage> take() {
        if (spare_.empty()) {
            return std::make_unique<DatagramStorage>();
        }
        std::unique_ptr<DatagramStorage> storage = std::move(spare_.back());
        spare_.pop_back();
        return storage;
    }

    void give_back(std::unique_ptr<DatagramStorage> storage) noexcept {
        // What a backlog has blown up is not kept.
        if (spare_.size() == kept || storage->bytes.capacity() > 4 * limits::gather_block_bytes ||
            storage->entries.capacity() > 64 * limits::datagram_batch) {
            return;
        }
        storage->bytes.clear();
        storage->entries.clear();
        spare_.push_back(std::move(storage));
    }

private:
    static constexpr std::size_t kept = limits::gather_blocks_kept;

    std::vector<std::unique_ptr<DatagramStorage>> spare_;
};

class DatagramQueue {
public:
    [[nodiscard]] bool empty() const noexcept { return storage_ == nullptr; }
    /// Datagrams.
    [[nodiscard]] std::size_t count() const noexcept {
        return empty() ? 0 : storage_->entries.size() - front_;
    }
    /// Their bytes, and what each counts besides.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// May throw std::bad_alloc, and then has changed nothing that can be seen.
    void append(Bytes data, const SocketAddress& to, DatagramStoragePool& pool) {
        if (storage_ == nullptr) {
            storage_ = pool.take();
        }
        try {
            std::vector<QueuedDatagram>& entries = storage_->entries;
            if (entries.size() == entries.capacity()) {
                drop_sent();
                entries.reserve(std::max(entries.size() * 2, 2 * limits::datagram_batch));
            }
            const std::size_t offset = storage_->bytes.size();
            storage_->bytes.insert(storage_->bytes.end(), data.begin(), data.end());
            entries.push_back({.to = to, .offset = offset, .size = data.size()});
        } catch (...) {
            if (storage_->entries.size() == front_) {
                clear(pool);
            }
            throw;
        }
        size_ += data.size() + limits::datagram_header_bytes;
    }

    [[nodiscard]] const QueuedDatagram& operator[](std::size_t index) const noexcept {
        return storage_->entries[front_ + index];
    }
    /// The bytes of `count` datagrams from the one at `index` on.
    [[nodiscard]] Bytes bytes(std::size_t index, std::size_t count = 1) const noexcept {
        const QueuedDatagram& first = (*this)[index];
        const QueuedDatagram& last = (*this)[index + count - 1];
        return Bytes(storage_->bytes).subspan(first.offset, last.offset + last.size - first.offset);
    }

    /// Removes the first `count`.
    void pop(std::size_t count, DatagramStoragePool& pool) noexcept {
        for (std::size_t index = 0; index < count; ++index) {
            size_ -= (*this)[index].size + limits::datagram_header_bytes;
        }
        front_ += count;
        if (front_ == storage_->entries.size()) {
            clear(pool);
        }
    }

    void clear(DatagramStoragePool& pool) noexcept {
        if (storage_ != nullptr) {
            pool.give_back(std::move(storage_));
        }
        front_ = size_ = 0;
    }

private:
    /// Moves what is left to the beginning once that is half or less, so that a queue that never
    /// gets empty does not grow for ever and each datagram is moved once at most, on average.
    void drop_sent() noexcept {
        std::vector<QueuedDatagram>& entries = storage_->entries;
        if (front_ == 0 || front_ * 2 < entries.size()) {
            return;
        }
        const std::size_t sent_bytes = entries[front_].offset;
        storage_->bytes.erase(storage_->bytes.begin(),
                              storage_->bytes.begin() + static_cast<std::ptrdiff_t>(sent_bytes));
        entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(front_));
        front_ = 0;
        for (QueuedDatagram& entry : entries) {
            entry.offset -= sent_bytes;
        }
    }

    std::unique_ptr<DatagramStorage> storage_;  // null when empty
    std::size_t front_ = 0;
    std::size_t size_ = 0;
};

}  // namespace sluice::inline v0_1::detail
