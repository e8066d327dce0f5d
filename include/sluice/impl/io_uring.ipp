// IoUringPoller: registrations, the ring, the batch. Each operation is in a file of its own: io_uring_polls.ipp,
// io_uring_streams.ipp, io_uring_accept.ipp and io_uring_files.ipp.
#pragma once

#include <sluice/detail/io_uring_poller.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <cerrno>
#include <new>
#include <string>
#include <utility>

#include <poll.h>

namespace sluice::inline v0_1::detail {

// ---- registrations ----

SLUICE_INLINE void IoUringPoller::make_room_for(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= registrations_.size()) {
        const std::size_t size = std::max(index + 1, registrations_.size() * 2);
        stale_.reserve(size);
        due_.reserve(size);
        registrations_.resize(size);
    }
}

SLUICE_INLINE std::error_code IoUringPoller::add(Watcher& watcher, int fd,
                                                 Readiness interest) noexcept {
    // The kernel would tell only later, and holds files for ready that epoll_ctl(2) refuses.
    const Result<sys::FileStatus> status = sys::file_status(fd);
    if (!status.ok()) {
        return status.error();
    }
    if (status.value().regular || status.value().directory) {
        return std::make_error_code(std::errc::operation_not_permitted);
    }
    std::unique_ptr<Accepted> accepted;
    try {
        make_room_for(fd);
        if (has(interest, Readiness::accepted)) {
            accepted = std::make_unique<Accepted>();
        }
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
    // Somebody closed a watched descriptor, and the system gives its number away again.
    remove(fd);
    Registration& registration = at(fd);
    registration.accepted = std::move(accepted);
    registration.watcher = &watcher;
    registration.interest = interest;
    mark_stale(fd);
    return {};
}

SLUICE_INLINE std::error_code IoUringPoller::modify(Watcher& watcher, int fd,
                                                    Readiness interest) noexcept {
    Registration& registration = at(fd);
    registration.watcher = &watcher;
    registration.interest = interest;
    registration.untold = Readiness::none;  // the poll will say it again, if it is still wanted
    mark_stale(fd);
    if (!has(interest, Readiness::received)) {
        move_out_of_buffers(registration);
    }
    if (registration.has_received()) {
        mark_due(fd);
    }
    return {};
}

SLUICE_INLINE void IoUringPoller::remove(int fd) noexcept {
    Registration& registration = at(fd);
    // At once and not with the next wait: an operation keeps the file open when the descriptor is closed,
    // and a peer would not be told of the end, a port not be free.
    if (!cancel_operations(fd, registration)) {
        // A ring that is another thread's. It lets go of everything, a moment later.
        if (pieces_taken_ == 0) {
            abandon_ring();
        } else {
            abandon_later_ = true;
        }
    }
    registration.watcher = nullptr;
    registration.untold = Readiness::none;
    registration.polled = false;
    registration.receiving = Receiving::no;
    registration.generation = (registration.generation + 1) & generation_mask;
    registration.accepted.reset();
    forget_received(registration);
}

/// False if the kernel does not hear of it.
SLUICE_INLINE bool IoUringPoller::cancel_operations(int fd,
                                                    const Registration& registration) noexcept {
    const std::uint64_t token = token_of(fd, registration);
    if (registration.polled && !ring_.cancel(token, cancel_token)) {
        return false;
    }
    if (registration.receiving != Receiving::no &&
        !ring_.cancel(token | receive_bits, cancel_token)) {
        return false;
    }
    const bool accepting =
        registration.accepted != nullptr && registration.accepted->accepting != Receiving::no;
    if (accepting && !ring_.cancel(token | accept_bits, cancel_token)) {
        return false;
    }
    return (!registration.polled && registration.receiving == Receiving::no && !accepting) ||
           !ring_.submit();
}

SLUICE_INLINE void IoUringPoller::mark_stale(int fd) noexcept {
    at(fd).only_told = false;
    look_again_at(fd);
}

SLUICE_INLINE void IoUringPoller::look_again_at(int fd) noexcept {
    Registration& registration = at(fd);
    if (registration.stale) {
        return;
    }
    registration.stale = true;
    // What is stale is not watched. Whoever polls the ring is to call wait(), which sees to that.
    if (embedded_ && stale_.empty()) {
        wake();
    }
    stale_.push_back(fd);
}

// ---- the ring ----

SLUICE_INLINE std::error_code IoUringPoller::open_ring() noexcept {
    const std::error_code error = ring_.open();
    mode_ = error ? mode_ : ring_.mode();
    return error;
}

SLUICE_INLINE void IoUringPoller::open_wake() {
    const Result<int> opened = sys::open_wake();
    if (!opened.ok()) {
        throw std::system_error(opened.error(), "eventfd");
    }
    wake_ = Descriptor(opened.value());
}

/// Makes the ring this thread's: starts it, or opens another one, with everything registered anew.
SLUICE_INLINE bool IoUringPoller::renew_ring() noexcept {
    if (!ring_.is_open()) {
        if (open_ring()) {
            return false;
        }
        // Connections that count on the buffers fail without them, one by one.
        no_completions_ = pieces_ != nullptr ? ring_.provide_buffers() : no_completions_;
    }
    started_ = !ring_.start();
    return started_;
}

SLUICE_INLINE void IoUringPoller::abandon_ring() noexcept {
    finish_reads();
    save_received();
    give_up_reads();
    ring_.close();
    started_ = false;
    wake_polled_ = false;
    for (std::size_t index = 0; index < registrations_.size(); ++index) {
        Registration& registration = registrations_[index];
        if (registration.watcher != nullptr) {
            registration.untold = Readiness::none;
            registration.polled = false;
            registration.receiving = Receiving::no;
            if (registration.accepted != nullptr) {
                registration.accepted->accepting = Receiving::no;
            }
            registration.generation = (registration.generation + 1) & generation_mask;
            mark_stale(static_cast<int>(index));
        }
    }
}

SLUICE_INLINE bool IoUringPoller::hand_over(int fd) noexcept {
    Registration& registration = at(fd);
    if (std::exchange(registration.emptied, false) && registration.only_told) {
        return true;
    }
    return registration.watcher == nullptr ||
           (hand_over_receive(fd, registration) && hand_over_accept(fd, registration) &&
            hand_over_poll(fd, registration));
}

/// False if the kernel does not take all of it now.
SLUICE_INLINE bool IoUringPoller::hand_over_stale() noexcept {
    if (!wake_polled_) {
        wake_polled_ = ring_.poll(wake_.get(), POLLIN, wake_token);
    }
    std::size_t count = 0;
    while (count < stale_.size() && hand_over(stale_[count])) {
        at(stale_[count++]).stale = false;
    }
    stale_.erase(stale_.begin(), stale_.begin() + static_cast<std::ptrdiff_t>(count));
    return wake_polled_ && stale_.empty();
}

/// Is there something to be told without waiting?
SLUICE_INLINE bool IoUringPoller::may_not_sleep() noexcept {
    return anything_due() || woken_ || reads_done_ != 0;
}

SLUICE_INLINE std::error_code IoUringPoller::enter(Duration timeout) noexcept {
    if (!started_ && !renew_ring()) {
        sends_.send_each();
        return std::make_error_code(std::errc::resource_unavailable_try_again);
    }
    if (!hand_over_stale() || !hand_over_reads()) {
        // What is not handed over is not watched: no time to sleep.
        timeout = Duration::zero();
    }
    // Last in the queue: if the kernel does not take all of it, sends are what it has not taken.
    sends_.queue_in(ring_, send_bits);
    return ring_.submit_and_wait(may_not_sleep() ? Duration::zero() : timeout);
}

SLUICE_INLINE std::size_t IoUringPoller::wait(std::optional<Duration> timeout,
                                              std::span<ReadyEvent> batch) noexcept {
    const Duration limit = timeout.value_or(limits::poll_wait_max);
    if (std::exchange(abandon_later_, false)) {
        abandon_ring();
    }
    if (enter(limit) == std::errc::file_exists) {
        // The loop has moved to this thread.
        abandon_ring();
        static_cast<void>(enter(limit));
    }
    if (!started_) {
        // No descriptor or no memory for a ring: that passes, and until then there is no waiting.
        Ring::sleep(std::min<Duration>(limit, limits::ring_retry_time));
    }
    const std::size_t collected = collect(batch);
    if (!see_sends_taken()) {
        abandon_ring();
    }
    if (std::exchange(woken_, false)) {
        sys::drain_wake(wake_.get());
    }
    show_what_is_left();
    return collected;
}

/// A foreign loop that polls the ring is to run this one again: what is stale is not watched, and what is
/// due has been taken out of the system.
SLUICE_INLINE void IoUringPoller::show_what_is_left() noexcept {
    const bool left_in_queue = ring_.is_open() && ring_.queued() != 0;
    if (embedded_ && (woken_ || left_in_queue || !stale_.empty() || !due_.empty() ||
                      reads_asked_for_ != 0 || reads_done_ != 0)) {
        wake();
    }
}

SLUICE_INLINE int IoUringPoller::pollable_fd() noexcept {
    embedded_ = true;
    if (!started_ && !renew_ring()) {
        return Descriptor::none;
    }
    // From here on a wake shows, which is how what is stale or due shows, too.
    if (!wake_polled_) {
        wake_polled_ = ring_.poll(wake_.get(), POLLIN, wake_token);
        static_cast<void>(ring_.submit());
    }
    show_what_is_left();
    return ring_.fd();
}

// ---- completions ----

SLUICE_INLINE std::size_t IoUringPoller::collect(std::span<ReadyEvent> batch) noexcept {
    ++batch_number_;
    std::size_t collected = 0;
    collect_due(batch, collected);
    take_completions(batch, collected);
    return collected;
}

/// All of them: the last may be of a send, whose memory is free after this. What the batch has no room for
/// is due then, so the next wait tells it.
SLUICE_INLINE void IoUringPoller::take_completions(std::span<ReadyEvent> batch,
                                                   std::size_t& collected) noexcept {
    bool may_fetch = true;
    while (ring_.is_open()) {
        const std::size_t taken = ring_.take(completions_);
        if (taken == 0) {
            if (!may_fetch || !ring_.keeps_back()) {
                break;
            }
            // An entry may fail and have brought some all the same.
            may_fetch = !ring_.submit();
        }
        for (const RingCompletion& each : std::span(completions_).first(taken)) {
            const Readiness ready = note(each);
            if (ready != Readiness::none) {
                add_to_batch(static_cast<int>(each.token & 0xffffffff), ready, batch, collected);
            }
        }
    }
}

SLUICE_INLINE void IoUringPoller::add_to_batch(int fd, Readiness ready, std::span<ReadyEvent> batch,
                                               std::size_t& collected) noexcept {
    Registration& registration = at(fd);
    if (registration.batch == batch_number_ && registration.place < collected) {
        ReadyEvent& earlier = batch[registration.place];
        earlier.events = earlier.events | ready;
    } else if (collected < batch.size()) {
        registration.batch = batch_number_;
        registration.place = static_cast<std::uint32_t>(collected);
        batch[collected++] = {registration.watcher, ready};
    } else {
        mark_due(fd);
        return;
    }
    if (std::exchange(registration.untold, Readiness::none) != Readiness::none) {
        // Now, and not when the poll said it: one that is asked again at once would say so again, ahead of those
        // who have not been told at all.
        look_again_at(fd);
        registration.emptied = false;
    }
}

/// What its watcher is to be told.
SLUICE_INLINE Readiness IoUringPoller::note(const RingCompletion& completion) noexcept {
    if (completion.token == wake_token) {
        // wait() drains it: only there it is followed by what it was for.
        woken_ = true;
        wake_polled_ = completion.more;
        return Readiness::none;
    }
    if (completion.token == cancel_token) {
        return Readiness::none;
    }
    const std::uint64_t operation = completion.token & operation_bits;
    if (operation == read_bits) {
        note_read(completion.token & ~operation_bits, completion.result);
        return Readiness::none;
    }
    if (operation == send_bits) {
        sends_.note(completion.token & ~operation_bits, completion.result);
        return Readiness::none;
    }
    const int fd = static_cast<int>(completion.token & 0xffffffff);
    Registration& registration = at(fd);
    if ((completion.token & ~operation_bits) != token_of(fd, registration) ||
        registration.watcher == nullptr) {
        if (completion.buffer >= 0) {
            ring_.give_back(completion.buffer);
        } else if (operation == accept_bits && completion.result >= 0) {
            sys::close(completion.result);
        }
        return Readiness::none;
    }
    switch (operation) {
        case look_bits:
        case update_bits:
            note_update_failed(fd, registration, -completion.result, operation == look_bits);
            return Readiness::none;
        case receive_bits:
            return note_received(fd, registration, completion);
        case accept_bits:
            return note_accepted(fd, registration, completion);
        default:
            return note_poll(fd, registration, completion);
    }
}

// ---- making one ----

SLUICE_INLINE const char* describe(RingMode mode) noexcept {
    switch (mode) {
        case RingMode::deferred:
            return "SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL";
        case RingMode::cooperative:
            return "COOP_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL; no SINGLE_ISSUER, DEFER_TASKRUN: this "
                   "kernel is "
                   "older than 6.1";
        case RingMode::interrupting:
            break;
    }
    return "no SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN: this kernel is older than 5.19";
}

SLUICE_INLINE std::string IoUringPoller::features() const {
    std::string text = std::string("multishot poll, EXT_ARG, ") + describe(mode_);
    if (pieces_ != nullptr && !no_completions_) {
        text += "; multishot receive, buffer ring of " + std::to_string(limits::ring_buffers) +
                " x " + std::to_string(limits::ring_buffer_bytes) + " bytes, sends in batches";
    } else {
        text += "; no multishot receive, buffer ring, sends in batches: " +
                (no_completions_ ? no_completions_.message() : "this kernel is older than 6.1");
    }
    text += acts_when_entered()
                ? "; multishot accept, file reads"
                : "; no multishot accept, file reads: this kernel is older than 6.1";
    // See docs/backends.md.
    return text +
           "; no zero-copy send: its memory would have to outlive the connection; no bundles: what "
           "is large is received by recv(2)";
}

/// Why a set-up that the kernel refused with `error` was refused.
SLUICE_INLINE std::string io_uring_refusal(std::error_code error) {
    if (error == std::errc::operation_not_supported) {
        return "the kernel is older than 5.17";
    }
    if (error == std::errc::function_not_supported) {
        return "the kernel has none, or a system call filter hides it: " + error.message();
    }
    if (error == std::errc::operation_not_permitted || error == std::errc::permission_denied) {
        return "refused by kernel.io_uring_disabled or a system call filter: " + error.message();
    }
    return "the kernel refused it: " + error.message();
}

SLUICE_INLINE std::unique_ptr<Poller> make_io_uring_poller(std::string& refusal) {
    auto poller = std::make_unique<IoUringPoller>();
    if (const std::error_code error = poller->open_ring()) {
        if (error == std::errc::too_many_files_open ||
            error == std::errc::too_many_files_open_in_system ||
            error == std::errc::not_enough_memory) {
            throw std::system_error(error, "io_uring_setup");
        }
        refusal = io_uring_refusal(error);
        return nullptr;
    }
    poller->open_wake();
    poller->use_completions();
    return poller;
}

}  // namespace sluice::inline v0_1::detail
