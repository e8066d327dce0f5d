// IoUringPoller: what it does for acceptors.
#pragma once

#include <sluice/detail/io_uring_poller.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE IoUringPoller::Accepted::~Accepted() {
    std::for_each(sockets.begin() + static_cast<std::ptrdiff_t>(taken), sockets.end(), sys::close);
}

SLUICE_INLINE bool IoUringPoller::hand_over_accept(int fd, Registration& registration) noexcept {
    if (!has(registration.interest, Readiness::accepted)) {
        return true;
    }
    const std::uint64_t token = token_of(fd, registration) | accept_bits;
    Accepted& accepted = *registration.accepted;
    if (!accepted.empty()) {
        // More than the acceptor takes in a turn: the others wait in the backlog, as with accept(2).
        if (accepted.accepting != Receiving::yes) {
            return true;
        }
        const bool cancelled = ring_.cancel(token, cancel_token);
        accepted.accepting = cancelled ? Receiving::being_cancelled : Receiving::yes;
        return cancelled;
    }
    if (accepted.accepting != Receiving::no) {
        return true;
    }
    const bool begun = ring_.accept(fd, token);
    accepted.accepting = begun ? Receiving::yes : Receiving::no;
    return begun;
}

SLUICE_INLINE Readiness IoUringPoller::note_accepted(int fd, Registration& registration,
                                                     const RingCompletion& completion) noexcept {
    Accepted& accepted = *registration.accepted;
    if (!completion.more) {
        accepted.accepting = Receiving::no;
        // A descriptor that was closed under us is forgotten, as epoll does.
        if (completion.result != -EBADF) {
            mark_stale(fd);
        }
    }
    switch (const int error = std::max(-completion.result, 0)) {
        case 0:
            try {
                accepted.sockets.push_back(completion.result);
            } catch (const std::bad_alloc&) {
                sys::close(completion.result);
                accepted.error = ENOMEM;
            }
            break;
        // It goes on with the next wait, or not at all.
        case ECANCELED:
        case EINTR:
        case EAGAIN:
        case EBADF:
            return Readiness::none;
        default:
            accepted.error = error;
            break;
    }
    mark_due(fd);
    return registration.interest & Readiness::accepted;
}

SLUICE_INLINE Result<int> IoUringPoller::take_accepted(int listener) noexcept {
    Accepted& accepted = *at(listener).accepted;
    if (accepted.empty()) {
        return Result<int>::would_block();
    }
    const bool is_error = accepted.taken == accepted.sockets.size();
    const Result<int> oldest = is_error ? Result<int>::failure(std::exchange(accepted.error, 0))
                                        : Result<int>(accepted.sockets[accepted.taken++]);
    if (accepted.taken == accepted.sockets.size()) {
        accepted.sockets.clear();
        accepted.taken = 0;
    }
    if (accepted.empty() && accepted.accepting == Receiving::no) {
        mark_stale(listener);
    }
    return oldest;
}

}  // namespace sluice::inline v0_1::detail
