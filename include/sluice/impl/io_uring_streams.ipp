// IoUringPoller: what it does for stream transports.
#pragma once

#include <sluice/detail/copy_bytes.hpp>
#include <sluice/detail/io_uring_poller.hpp>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

// A piece with memory of its own, which stands behind it.
SLUICE_INLINE ReceivedPiece* copy_of(const ReceivedPiece& piece) noexcept {
    const Bytes bytes = piece.rest();
    void* const memory = ::operator new(sizeof(ReceivedPiece) + bytes.size(), std::nothrow);
    if (memory == nullptr) {
        return nullptr;
    }
    auto* const copy = new (memory) ReceivedPiece;
    copy->data = reinterpret_cast<std::byte*>(copy + 1);
    copy->end = static_cast<std::uint32_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), copy->data);
    return copy;
}

SLUICE_INLINE IoUringPoller::~IoUringPoller() {
    // What has been accepted for listeners that are gone is closed.
    std::size_t collected = 0;
    take_completions({}, collected);
    finish_reads();
    give_up_reads();
    for (Registration& registration : registrations_) {
        forget_received(registration);
    }
}

SLUICE_INLINE void IoUringPoller::use_completions() noexcept {
    // Older kernels cannot promise that nothing is written into a buffer once the ring has been closed.
    if (mode_ != RingMode::deferred) {
        return;
    }
    pieces_.reset(new (std::nothrow) ReceivedPiece[limits::ring_buffers]);
    no_completions_ = pieces_ != nullptr ? ring_.provide_buffers()
                                         : std::make_error_code(std::errc::not_enough_memory);
    if (no_completions_) {
        pieces_.reset();
    }
}

// ---- receiving ----

SLUICE_INLINE bool IoUringPoller::hand_over_receive(int fd, Registration& registration) noexcept {
    const std::uint64_t token = token_of(fd, registration) | receive_bits;
    if (!has(registration.interest, Readiness::received)) {
        if (registration.receiving != Receiving::yes) {
            return true;
        }
        const bool cancelled = ring_.cancel(token, cancel_token);
        registration.receiving = cancelled ? Receiving::being_cancelled : Receiving::yes;
        return cancelled;
    }
    if (registration.receiving != Receiving::no || registration.stream_ended) {
        return true;
    }
    if (!ring_.has_buffers()) {
        end_for_want_of_memory(registration);
        mark_due(fd);
        return true;
    }
    const bool begun = ring_.receive(fd, token);
    registration.receiving = begun ? Receiving::yes : Receiving::no;
    return begun;
}

SLUICE_INLINE Readiness IoUringPoller::note_received(int fd, Registration& registration,
                                                     const RingCompletion& completion) noexcept {
    if (!completion.more) {
        registration.receiving = Receiving::no;
        mark_stale(fd);
    }
    if (completion.buffer >= 0 && (completion.result <= 0 || registration.stream_ended)) {
        ring_.give_back(completion.buffer);
    }
    if (registration.stream_ended) {
        // What was lost for want of memory is not to be left out of what comes.
        return Readiness::none;
    }
    switch (const int error = std::max(-completion.result, 0)) {
        case 0:
            if (completion.result == 0) {
                registration.stream_ended = true;
                break;
            } else {
                ReceivedPiece& piece = pieces_[static_cast<std::size_t>(completion.buffer)];
                piece = {.next = nullptr,
                         .data = ring_.buffer(completion.buffer),
                         .begin = 0,
                         .end = static_cast<std::uint32_t>(completion.result),
                         .buffer = completion.buffer};
                append(registration, piece);
            }
            break;
        // It goes on with the next wait: when buffers have come back, or as something else.
        case ENOBUFS:
        case ECANCELED:
        case EINTR:
        case EAGAIN:
            return Readiness::none;
        default:
            registration.stream_ended = true;
            registration.stream_error = error;
            break;
    }
    if (!has(registration.interest, Readiness::received)) {
        move_out_of_buffers(registration);
    }
    mark_due(fd);
    return registration.interest & (Readiness::received | Readiness::readable);
}

SLUICE_INLINE void IoUringPoller::append(Registration& registration,
                                         ReceivedPiece& piece) noexcept {
    if (registration.oldest == nullptr) {
        registration.oldest = &piece;
    } else {
        registration.newest->next = &piece;
    }
    registration.newest = &piece;
}

SLUICE_INLINE void IoUringPoller::mark_due(int fd) noexcept {
    Registration& registration = at(fd);
    if (registration.due) {
        return;
    }
    registration.due = true;
    if (embedded_ && due_.empty()) {
        wake();
    }
    due_.push_back(fd);
}

SLUICE_INLINE Readiness IoUringPoller::what_is_due(const Registration& registration) noexcept {
    if (registration.watcher == nullptr) {
        return Readiness::none;
    }
    const bool has_taken = registration.has_received() || registration.has_accepted();
    return registration.untold |
           (has_taken ? registration.interest & due_interest : Readiness::none);
}

/// Forgets who has taken everything, or does not want it now.
SLUICE_INLINE bool IoUringPoller::anything_due() noexcept {
    std::erase_if(due_, [this](int fd) {
        Registration& registration = at(fd);
        registration.due = what_is_due(registration) != Readiness::none;
        return !registration.due;
    });
    return !due_.empty();
}

SLUICE_INLINE void IoUringPoller::collect_due(std::span<ReadyEvent> batch,
                                              std::size_t& collected) noexcept {
    std::size_t told = 0;
    for (; told < due_.size() && collected < batch.size(); ++told) {
        const int fd = due_[told];
        const Readiness ready = what_is_due(at(fd));
        if (ready == Readiness::none) {
            continue;
        }
        add_to_batch(fd, ready, batch, collected);
        if (at(fd).has_accepted()) {
            mark_stale(fd);  // so that no more is accepted for now
        }
    }
    std::rotate(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(told), due_.end());
}

SLUICE_INLINE StreamCompletions::Taken IoUringPoller::take(int fd) noexcept {
    Registration& registration = at(fd);
    Taken taken{.piece = registration.oldest,
                .error = {},
                .ended = false,
                .running = registration.receiving != Receiving::no};
    if (taken.piece != nullptr) {
        registration.oldest = taken.piece->next;
        taken.piece->next = nullptr;
        ++pieces_taken_;
        if (registration.oldest == nullptr && !taken.running) {
            mark_stale(fd);  // recv(2) may be waited for again
        }
    } else if (registration.stream_ended) {
        taken.ended = registration.stream_error == 0;
        taken.error = std::error_code(registration.stream_error, std::system_category());
    } else if (!taken.running) {
        mark_stale(fd);
    }
    return taken;
}

SLUICE_INLINE void IoUringPoller::put_back(int fd, ReceivedPiece& piece) noexcept {
    Registration& registration = at(fd);
    piece.next = registration.oldest;
    registration.newest = registration.oldest == nullptr ? &piece : registration.newest;
    registration.oldest = &piece;
    --pieces_taken_;
    if (!has(registration.interest, Readiness::received)) {
        move_out_of_buffers(registration);
    }
}

SLUICE_INLINE void IoUringPoller::give_back(ReceivedPiece& piece) noexcept {
    --pieces_taken_;
    release(piece);
}

SLUICE_INLINE void IoUringPoller::release(ReceivedPiece& piece) noexcept {
    if (piece.buffer >= 0) {
        ring_.give_back(piece.buffer);
    } else {
        ::operator delete(&piece);
    }
}

SLUICE_INLINE void IoUringPoller::note_emptied(int fd) noexcept {
    Registration& registration = at(fd);
    if (registration.only_told && !has(registration.interest, Readiness::writable)) {
        registration.emptied = true;
    }
}

/// Somebody who does not read must not keep the buffers from those who do, not even for want of memory:
/// they would ask for one again and again.
SLUICE_INLINE void IoUringPoller::move_out_of_buffers(Registration& registration) noexcept {
    ReceivedPiece* rest = std::exchange(registration.oldest, nullptr);
    registration.newest = nullptr;
    bool all_moved = true;
    while (rest != nullptr) {
        ReceivedPiece* const piece = std::exchange(rest, rest->next);
        ReceivedPiece* const kept = piece->buffer >= 0 ? copy_of(*piece) : piece;
        piece->next = nullptr;
        if (kept != piece) {
            release(*piece);
        }
        if (kept != nullptr) {
            append(registration, *kept);
        }
        all_moved = all_moved && kept != nullptr;
    }
    if (!all_moved) {
        end_for_want_of_memory(registration);
    }
}

/// Bytes that cannot be had any more end the stream rather than being left out of it.
SLUICE_INLINE void IoUringPoller::end_for_want_of_memory(Registration& registration) noexcept {
    forget_received(registration);
    registration.stream_ended = true;
    registration.stream_error = ENOMEM;
}

SLUICE_INLINE void IoUringPoller::forget_received(Registration& registration) noexcept {
    while (registration.oldest != nullptr) {
        release(*std::exchange(registration.oldest, registration.oldest->next));
    }
    registration.newest = nullptr;
    registration.stream_ended = false;
    registration.stream_error = 0;
}

/// Takes out of the ring what it has received and accepted, before it goes.
SLUICE_INLINE void IoUringPoller::save_received() noexcept {
    if (!ring_.is_open()) {
        return;
    }
    // The kernel brings nothing for an entry of which it takes nothing.
    ring_.forget_queued();
    std::size_t collected = 0;
    take_completions({}, collected);
    // Of another thread's ring: what it has kept back is lost with it. A connection among that is a number in
    // use for ever; at most one of each listener, since a multishot operation ends with that.
    const bool lost_some = ring_.keeps_back();
    for (std::size_t index = 0; index < registrations_.size(); ++index) {
        Registration& registration = registrations_[index];
        if (registration.watcher == nullptr) {
            continue;
        }
        move_out_of_buffers(registration);
        if (lost_some && registration.receiving != Receiving::no) {
            end_for_want_of_memory(registration);
        }
        if (registration.has_received()) {
            mark_due(static_cast<int>(index));
        }
    }
}

// ---- sending ----

SLUICE_INLINE void IoUringPoller::send_all_now() noexcept {
    if (sends_.empty()) {
        return;
    }
    if (!started_) {
        sends_.send_each();
        return;
    }
    sends_.queue_in(ring_, send_bits);
    if (ring_.submit() == std::errc::file_exists) {
        // The loop has moved here, and has not waited yet.
        abandon_ring();
        sends_.send_each();
        return;
    }
    std::size_t collected = 0;
    take_completions({}, collected);
    if (!see_sends_taken()) {
        abandon_ring();
    }
    sends_.report();
    show_what_is_left();
}

/// True if no memory of a send is the kernel's any more: all that the batch holds has been done.
SLUICE_INLINE bool IoUringPoller::see_sends_taken() noexcept {
    if (sends_.empty() || !ring_.is_open() || ring_.queued() == 0) {
        return true;
    }
    // It was interrupted, or had no memory for an operation.
    const bool all_taken = !ring_.submit() && ring_.queued() == 0;
    std::size_t collected = 0;
    take_completions({}, collected);
    if (all_taken) {
        return true;
    }
    sends_.note_unseen(ring_.queued());
    // Whatever else enters the kernel with this ring must not send what is sent again another way.
    ring_.forget_queued();
    return false;
}

}  // namespace sluice::inline v0_1::detail
