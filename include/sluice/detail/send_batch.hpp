// SendBatch: what many connections have to send, side by side in one piece of memory, until the next
// entry into the kernel takes all of it.
#pragma once

#include <sluice/detail/ring.hpp>
#include <sluice/detail/stream_completions.hpp>
#include <sluice/limits.hpp>

#include <memory>
#include <vector>

namespace sluice::inline v0_1::detail {

class SendBatch {
public:
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }

    /// Copies. False if there is no room.
    [[nodiscard]] bool put(BatchedSender& sender, int fd, Bytes bytes) noexcept;
    /// Valid until the next put().
    [[nodiscard]] Bytes take_back(BatchedSender& sender) noexcept;

    /// Queues a send for each in `ring`, which reports only those that fail, with `tokens` + place.
    void queue_in(Ring& ring, std::uint64_t tokens) noexcept;
    /// A send that failed, or took only `result` bytes.
    void note(std::size_t place, std::int32_t result) noexcept {
        if (place < entries_.size()) {
            entries_[place].result = result;
        }
    }
    /// The kernel never saw the last `count` entries of the ring's queue.
    void note_unseen(std::size_t count) noexcept;
    /// Tells those whose bytes were not taken, and forgets all.
    void report() noexcept;
    /// Without the ring: each by itself.
    void send_each() noexcept;

private:
    struct Entry {
        BatchedSender* sender;  // null: taken back
        int fd;
        std::uint32_t begin;
        std::uint32_t size;
        std::int32_t result;
    };

    [[nodiscard]] Bytes bytes_of(const Entry& entry) const noexcept {
        return {memory_.get() + entry.begin, entry.size};
    }

    std::unique_ptr<std::byte[]> memory_;
    std::size_t used_ = 0;
    std::vector<Entry> entries_;
};

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && defined(SLUICE_IO_URING)
#include <sluice/impl/send_batch.ipp>
#endif
