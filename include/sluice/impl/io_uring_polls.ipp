// IoUringPoller: polls, which are persistent and level-triggered for its users and edge-triggered in the kernel: one that
// has told of an event is looked at again, unless a read has shown that there is nothing to see.
#pragma once

#include <sluice/detail/io_uring_poller.hpp>

#include <cerrno>

#include <poll.h>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE std::uint32_t IoUringPoller::events_to_poll(
    const Registration& registration) noexcept {
    // While something may still be received another way, recv(2) would overtake it.
    const bool reads = has(registration.interest, Readiness::readable) &&
                       registration.receiving == Receiving::no && !registration.has_received();
    return (reads ? std::uint32_t{POLLIN | POLLPRI | POLLRDHUP} : 0U) |
           (has(registration.interest, Readiness::writable) ? std::uint32_t{POLLOUT} : 0U);
}

SLUICE_INLINE bool IoUringPoller::hand_over_poll(int fd, Registration& registration) noexcept {
    const std::uint64_t token = token_of(fd, registration);
    const std::uint32_t events = events_to_poll(registration);
    if (events == 0) {
        // It would still tell of a hang-up, again and again.
        return !registration.polled || ring_.cancel(token, cancel_token);
    }
    if (registration.polled) {
        const std::uint64_t own_bits =
            events == registration.polled_events ? look_bits : update_bits;
        if (!ring_.update_poll(token, events, token | own_bits)) {
            return false;
        }
        registration.polled_events = events;
        return true;
    }
    registration.polled_events = events;
    registration.polled = ring_.poll(fd, events, token);
    return registration.polled;
}

SLUICE_INLINE Readiness IoUringPoller::note_poll(int fd, Registration& registration,
                                                 const RingCompletion& completion) noexcept {
    registration.polled = completion.more;
    if (completion.result < 0) {
        // A descriptor that was closed under us is forgotten, as epoll does. Otherwise it was cancelled, the
        // thread that registered it has ended, or the kernel had no memory.
        if (completion.result != -EBADF) {
            mark_stale(fd);
        }
        return Readiness::none;
    }
    const Readiness ready =
        readiness(static_cast<std::uint32_t>(completion.result), registration.interest);
    if (ready == Readiness::none) {
        // The poll goes on by itself after an event that nobody asked for, a half-closed peer for a writer.
        if (!completion.more) {
            mark_stale(fd);
        }
        return Readiness::none;
    }
    // After these a short read is not the last one: the end, or urgent data at which it stops.
    const bool told_in_this_batch = registration.only_told && registration.batch == batch_number_;
    const bool may_empty = (!registration.stale || told_in_this_batch) && completion.more &&
                           (completion.result & (POLLRDHUP | POLLPRI)) == 0;
    const bool was_told = registration.untold == Readiness::none;
    registration.only_told = may_empty && (was_told || registration.only_told);
    registration.untold = registration.untold | ready;
    return ready;
}

SLUICE_INLINE Readiness IoUringPoller::readiness(std::uint32_t events,
                                                 Readiness interest) noexcept {
    // POLLERR and POLLHUP come unasked. Whoever reads or writes then learns what happened.
    if ((events & (POLLERR | POLLHUP)) != 0) {
        return Readiness::both;
    }
    const Readiness ready =
        ((events & (POLLIN | POLLRDHUP)) != 0 ? Readiness::readable : Readiness::none) |
        ((events & POLLOUT) != 0 ? Readiness::writable : Readiness::none);
    return ready & interest;
}

SLUICE_INLINE void IoUringPoller::note_update_failed(int fd, Registration& registration, int error,
                                                     bool only_looked) noexcept {
    // ENOENT: the poll has ended, and says so itself; perhaps there is another one by now. EALREADY: an event is on
    // its way, and because of this the kernel looks once more before it says which. (It does since Linux 6.1. Without
    // completions, as before, whatever has been told is looked at again anyway.)
    if (error == ENOENT || (only_looked && error == EALREADY)) {
        return;
    }
    // Of the moment: an event on its way, no memory.
    registration.polled_events = 0;
    mark_stale(fd);
}

}  // namespace sluice::inline v0_1::detail
