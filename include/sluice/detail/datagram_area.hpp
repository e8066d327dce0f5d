// DatagramArea: what a loop lends its datagram endpoints: the memory that a batch is received into,
// the headers of the system calls, and the storage of unsent datagrams.
//
// An endpoint has the first two during one readiness event, so idle ones own none. The area knows
// no socket and no protocol.
#pragma once

#include <sluice/datagram.hpp>
#include <sluice/detail/datagram_queue.hpp>
#include <sluice/detail/receive_area.hpp>
#include <sluice/detail/sys_datagram.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <span>

namespace sluice::inline v0_1::detail {

class DatagramArea {
public:
    /// May throw std::bad_alloc.
    DatagramArea()
        : memory_(
              static_cast<std::byte*>(::operator new(memory_bytes, PageAlignedDelete::alignment))),
          headers_(sys::make_datagram_headers()) {}
    DatagramArea(const DatagramArea&) = delete;
    DatagramArea& operator=(const DatagramArea&) = delete;

    /// The memory as slots of this size. Pages that nothing has filled cost nothing.
    [[nodiscard]] sys::DatagramSlots slots(std::size_t slot_bytes, bool ancillary) const noexcept {
        return {.memory = memory_.get(),
                .stride = stride(slot_bytes),
                .slot_bytes = slot_bytes,
                .ancillary = ancillary};
    }
    /// How many there are.
    [[nodiscard]] static std::size_t slot_count(std::size_t slot_bytes) noexcept {
        return std::clamp<std::size_t>(memory_bytes / stride(slot_bytes), 1,
                                       limits::datagram_batch);
    }

    [[nodiscard]] sys::DatagramHeaders& headers() noexcept { return *headers_; }
    [[nodiscard]] DatagramStoragePool& storage_pool() noexcept { return storage_pool_; }

    /// One for each slot.
    std::array<Datagram, limits::datagram_batch> received;
    std::array<std::size_t, limits::datagram_batch> segment_bytes{};
    /// Parts of those that the system had joined.
    std::array<Datagram, limits::datagram_segments> parts;

private:
    // Slots do not start at the same place in their pages, since the same few sets of the
    // first-level cache would then have to hold the beginnings of all of them; but each starts on a
    // cache line, for which see PageAlignedDelete.
    static constexpr std::size_t line_bytes = 64;
    static constexpr std::size_t memory_bytes =
        limits::datagram_area_bytes + limits::datagram_batch * 2 * line_bytes;

    static constexpr std::size_t stride(std::size_t slot_bytes) noexcept {
        return (slot_bytes + line_bytes - 1) / line_bytes * line_bytes + line_bytes;
    }

    std::unique_ptr<std::byte, PageAlignedDelete> memory_;
    sys::DatagramHeadersPtr headers_;
    DatagramStoragePool storage_pool_;
};

}  // namespace sluice::inline v0_1::detail
