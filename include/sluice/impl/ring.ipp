// The ring over liburing 2.3. The only file that sees liburing.
#pragma once

#include <sluice/detail/receive_area.hpp>
#include <sluice/detail/ring.hpp>
#include <sluice/limits.hpp>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>
#include <utility>

#include <liburing.h>
#include <sys/socket.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#endif

namespace sluice::inline v0_1::detail {

// The only group of buffers that a ring of ours has.
inline constexpr unsigned short buffer_group = 0;

// Memory that is the kernel's: whoever touches it meanwhile is found by AddressSanitizer.
inline void poison([[maybe_unused]] std::byte* memory, [[maybe_unused]] std::size_t size) noexcept {
#ifdef ASAN_POISON_MEMORY_REGION
    ASAN_POISON_MEMORY_REGION(memory, size);
#endif
}
inline void unpoison([[maybe_unused]] std::byte* memory,
                     [[maybe_unused]] std::size_t size) noexcept {
#ifdef ASAN_UNPOISON_MEMORY_REGION
    ASAN_UNPOISON_MEMORY_REGION(memory, size);
#endif
}

/// Buffers that the kernel fills, and the ring through which they are handed to it.
struct RingBuffers {
    struct Delete {
        void operator()(void* block) const noexcept {
            ::operator delete(block, PageAlignedDelete::alignment);
        }
    };

    std::unique_ptr<std::byte, Delete> memory;
    std::unique_ptr<io_uring_buf_ring, Delete> ring;
};

struct Ring::State {
    io_uring ring{};
    RingMode mode = RingMode::interrupting;
    RingBuffers buffers{};

    ~State() {
        ::io_uring_queue_exit(&ring);
        if (buffers.memory != nullptr) {
            unpoison(buffers.memory.get(), limits::ring_buffers * limits::ring_buffer_bytes);
        }
    }
};

SLUICE_INLINE std::error_code ring_error(int result) noexcept {
    return result < 0 ? std::error_code(-result, std::system_category()) : std::error_code();
}

SLUICE_INLINE unsigned ring_flags(RingMode mode) noexcept {
    // TASKRUN_FLAG makes it visible without a system call that there is work to do.
    constexpr unsigned common =
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE;
    switch (mode) {
        case RingMode::deferred:  // Linux 6.1
            // Disabled at first: the loop may be made on one thread and run on another.
            return common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_R_DISABLED;
        case RingMode::cooperative:  // 5.19
            return common | IORING_SETUP_COOP_TASKRUN;
        case RingMode::interrupting:
            break;
    }
    return IORING_SETUP_CQSIZE;
}

SLUICE_INLINE Ring::Ring() noexcept = default;
SLUICE_INLINE Ring::~Ring() = default;

SLUICE_INLINE std::error_code Ring::open() noexcept {
    SLUICE_ASSERT(state_ == nullptr);
    io_uring ring{};
    RingMode mode = RingMode::deferred;
    int result = -EINVAL;
    for (const RingMode each :
         {RingMode::deferred, RingMode::cooperative, RingMode::interrupting}) {
        mode = each;
        io_uring_params parameters{};
        parameters.flags = ring_flags(mode);
        parameters.cq_entries = limits::ring_completion_entries;
        result = ::io_uring_queue_init_params(limits::ring_entries, &ring, &parameters);
        // EINVAL is a flag that this kernel does not know.
        if (result != -EINVAL) {
            break;
        }
    }
    if (result < 0) {
        return ring_error(result);
    }
    constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    State* const state =
        (ring.features & needed) == needed ? new (std::nothrow) State{ring, mode, {}} : nullptr;
    if (state == nullptr) {
        ::io_uring_queue_exit(&ring);
        return std::make_error_code((ring.features & needed) == needed
                                        ? std::errc::not_enough_memory
                                        : std::errc::operation_not_supported);
    }
    state_.reset(state);
    return {};
}

SLUICE_INLINE void Ring::close() noexcept {
    state_.reset();
}

SLUICE_INLINE std::error_code Ring::start() noexcept {
    if (state_->mode != RingMode::deferred) {
        return {};
    }
    // What io_uring_enable_rings() does, which the shared library of liburing 2.3 does not export.
    const auto ring_fd = static_cast<unsigned>(state_->ring.ring_fd);
    return ring_error(::io_uring_register(ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0));
}

SLUICE_INLINE RingMode Ring::mode() const noexcept {
    return state_->mode;
}

SLUICE_INLINE int Ring::fd() const noexcept {
    return state_->ring.ring_fd;
}

// ---- queueing ----

/// Null if the queue is full and the kernel takes nothing from it.
SLUICE_INLINE io_uring_sqe* next_entry(io_uring& ring) noexcept {
    io_uring_sqe* const entry = ::io_uring_get_sqe(&ring);
    if (entry != nullptr || ::io_uring_submit(&ring) < 0) {
        return entry;
    }
    return ::io_uring_get_sqe(&ring);
}

SLUICE_INLINE bool Ring::poll(int fd, std::uint32_t events, std::uint64_t token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    ::io_uring_prep_poll_multishot(entry, fd, events);
    ::io_uring_sqe_set_data64(entry, token);
    return true;
}

SLUICE_INLINE bool Ring::update_poll(std::uint64_t token, std::uint32_t events,
                                     std::uint64_t own_token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    // The token stays, and must not be given again (EINVAL).
    ::io_uring_prep_poll_update(entry, token, 0, events,
                                IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI);
    ::io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
    ::io_uring_sqe_set_data64(entry, own_token);
    return true;
}

SLUICE_INLINE bool Ring::cancel(std::uint64_t token, std::uint64_t own_token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    // Not POLL_REMOVE, which gives way to a poll that is about to complete.
    ::io_uring_prep_cancel64(entry, token, 0);
    ::io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
    ::io_uring_sqe_set_data64(entry, own_token);
    return true;
}

SLUICE_INLINE bool Ring::receive(int fd, std::uint64_t token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    ::io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
    ::io_uring_sqe_set_flags(entry, IOSQE_BUFFER_SELECT);
    entry->buf_group = buffer_group;
    ::io_uring_sqe_set_data64(entry, token);
    return true;
}

SLUICE_INLINE bool Ring::send(int fd, Bytes bytes, std::uint64_t token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    // WAITALL makes a failure of a part, which completes then; DONTWAIT has it fail instead of waiting.
    ::io_uring_prep_send(entry, fd, bytes.data(), bytes.size(),
                         MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    ::io_uring_sqe_set_flags(entry, IOSQE_CQE_SKIP_SUCCESS);
    ::io_uring_sqe_set_data64(entry, token);
    return true;
}

SLUICE_INLINE bool Ring::accept(int listener, std::uint64_t token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    // No address is asked for: all connections would write it to the same place.
    ::io_uring_prep_multishot_accept(entry, listener, nullptr, nullptr,
                                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    ::io_uring_sqe_set_data64(entry, token);
    return true;
}

SLUICE_INLINE bool Ring::read(int fd, MutableBytes into, std::uint64_t offset,
                              std::uint64_t token) noexcept {
    io_uring_sqe* const entry = next_entry(state_->ring);
    if (entry == nullptr) {
        return false;
    }
    ::io_uring_prep_read(entry, fd, into.data(), static_cast<unsigned>(into.size()), offset);
    ::io_uring_sqe_set_data64(entry, token);
    return true;
}

SLUICE_INLINE std::size_t Ring::queued() const noexcept {
    return ::io_uring_sq_ready(&state_->ring);
}

SLUICE_INLINE void Ring::forget_queued() noexcept {
    io_uring_sq& queue = state_->ring.sq;
    // The kernel looks at its end of the queue only when it is entered.
    *queue.ktail = *queue.khead;
    queue.sqe_head = queue.sqe_tail = *queue.khead;
}

// ---- provided buffers ----

SLUICE_INLINE std::error_code Ring::provide_buffers() noexcept {
    constexpr std::size_t bytes = limits::ring_buffers * limits::ring_buffer_bytes;
    RingBuffers buffers;
    try {
        buffers.memory.reset(
            static_cast<std::byte*>(::operator new(bytes, PageAlignedDelete::alignment)));
        buffers.ring.reset(static_cast<io_uring_buf_ring*>(::operator new(
            limits::ring_buffers * sizeof(io_uring_buf), PageAlignedDelete::alignment)));
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
    io_uring_buf_reg description{};
    description.ring_addr = reinterpret_cast<std::uintptr_t>(buffers.ring.get());
    description.ring_entries = limits::ring_buffers;
    description.bgid = buffer_group;
    if (const int result = ::io_uring_register_buf_ring(&state_->ring, &description, 0);
        result < 0) {
        return ring_error(result);
    }
    ::io_uring_buf_ring_init(buffers.ring.get());
    state_->buffers = std::move(buffers);
    for (std::size_t number = 0; number < limits::ring_buffers; ++number) {
        give_back(static_cast<std::int32_t>(number));
    }
    return {};
}

SLUICE_INLINE bool Ring::has_buffers() const noexcept {
    return state_ != nullptr && state_->buffers.memory != nullptr;
}

SLUICE_INLINE std::byte* Ring::buffer(std::int32_t number) const noexcept {
    return state_->buffers.memory.get() +
           static_cast<std::size_t>(number) * limits::ring_buffer_bytes;
}

SLUICE_INLINE void Ring::give_back(std::int32_t number) noexcept {
    std::byte* const memory = buffer(number);
    poison(memory, limits::ring_buffer_bytes);
    ::io_uring_buf_ring_add(state_->buffers.ring.get(), memory, limits::ring_buffer_bytes,
                            static_cast<unsigned short>(number),
                            ::io_uring_buf_ring_mask(limits::ring_buffers), 0);
    ::io_uring_buf_ring_advance(state_->buffers.ring.get(), 1);
}

SLUICE_INLINE bool Ring::keeps_back() const noexcept {
    return ::io_uring_cq_has_overflow(&state_->ring);
}

// ---- system calls ----

SLUICE_INLINE std::error_code Ring::submit() noexcept {
    io_uring& ring = state_->ring;
    int result = ::io_uring_submit_and_get_events(&ring);
    // Since Linux 6.13 it does some of its work and leaves the rest, perhaps what was cancelled.
    const unsigned* const flags = ring.sq.kflags;
    for (unsigned round = 0; result >= 0 && round < limits::ring_work_rounds &&
                             (IO_URING_READ_ONCE(*flags) & IORING_SQ_TASKRUN) != 0;
         ++round) {
        result = ::io_uring_get_events(&ring);
    }
    return ring_error(result);
}

SLUICE_INLINE std::error_code Ring::submit_and_wait(Duration timeout) noexcept {
    io_uring& ring = state_->ring;
    io_uring_cqe* first = nullptr;
    if (timeout <= Duration::zero() || ::io_uring_cq_ready(&ring) != 0) {
        if (::io_uring_sq_ready(&ring) != 0) {
            return submit();
        }
        // Enters the kernel only if that has work or kept completions for which there was no room.
        const int result = ::io_uring_peek_cqe(&ring, &first);
        return result == -EAGAIN ? std::error_code() : ring_error(result);
    }
    const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
    __kernel_timespec limit{};
    limit.tv_sec = seconds.count();
    limit.tv_nsec = std::chrono::nanoseconds(timeout - seconds).count();
    const int result = ::io_uring_submit_and_wait_timeout(&ring, &first, 1, &limit, nullptr);
    return result == -ETIME || result == -EINTR ? std::error_code() : ring_error(result);
}

SLUICE_INLINE void Ring::sleep(Duration duration) noexcept {
    std::this_thread::sleep_for(duration);
}

SLUICE_INLINE std::size_t Ring::take(std::span<RingCompletion> into) noexcept {
    io_uring& ring = state_->ring;
    std::size_t count = 0;
    io_uring_cqe* entry = nullptr;
    while (count < into.size() && ::io_uring_cq_ready(&ring) != 0 &&
           ::io_uring_peek_cqe(&ring, &entry) == 0) {
        const bool has_buffer = (entry->flags & IORING_CQE_F_BUFFER) != 0;
        into[count] = {.token = entry->user_data,
                       .result = entry->res,
                       .more = (entry->flags & IORING_CQE_F_MORE) != 0,
                       .buffer = has_buffer ? static_cast<std::int32_t>(entry->flags >>
                                                                        IORING_CQE_BUFFER_SHIFT)
                                            : -1};
        if (has_buffer) {
            unpoison(buffer(into[count].buffer), limits::ring_buffer_bytes);
        }
        ++count;
        ::io_uring_cqe_seen(&ring, entry);
    }
    return count;
}

}  // namespace sluice::inline v0_1::detail
