// The IOCP backend. A poll tells of a socket once, so what was reported is polled anew by the next wait,
// which completes at once if something is still ready: that makes it level-triggered.
//
// The system writes to a poll until it has completed, so a registration that is removed meanwhile waits
// for that.
#pragma once

#include <sluice/impl/windows_afd.hpp>

#include <sluice/descriptor.hpp>
#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/sys_iocp.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <unordered_map>

namespace sluice::inline v0_1::detail {

class IocpPoller final : public Poller {
public:
    IocpPoller()
        : port_(checked(sys::open_completion_port(), "CreateIoCompletionPort")),
          afd_(checked(sys::open_afd(port_.get()), "\\Device\\Afd")) {}
    ~IocpPoller() override;

    std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept override;
    std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept override;
    void remove(int fd) noexcept override;
    std::size_t wait(std::optional<Duration> timeout,
                     std::span<ReadyEvent> batch) noexcept override;

    void wake() noexcept override;
    const char* name() const noexcept override { return "iocp"; }
    int pollable_fd() noexcept override { return Descriptor::none; }

private:
    /// Stands in stale_ when it is to be polled, or polled for something else.
    struct Registration : AfdPoll, ListNode<Registration> {
        Watcher* watcher = nullptr;  // null: removed
        int fd = Descriptor::none;
        int socket = Descriptor::none;  // what AFD knows it by
        Readiness interest = Readiness::none;
        std::uint32_t polled = 0;  // what the system's poll is for; 0: it has none
    };

    static Descriptor checked(Result<int> opened, const char* call) {
        if (!opened.ok()) {
            throw std::system_error(opened.error(), call);
        }
        return Descriptor(opened.value());
    }
    static std::uint32_t native(Readiness interest) noexcept;
    static Readiness readiness(std::uint32_t events) noexcept;

    void mark_stale(Registration& registration) noexcept;
    void poll_stale() noexcept;
    void cancel(Registration& registration) noexcept;
    void forget(Registration& registration) noexcept;
    [[nodiscard]] Readiness note_completion(Registration& registration) noexcept;
    std::size_t take_completions(std::optional<Duration> timeout,
                                 std::span<ReadyEvent> batch) noexcept;

    Descriptor port_;
    Descriptor afd_;
    std::unordered_map<int, std::unique_ptr<Registration>> registrations_;  // by descriptor
    IntrusiveList<Registration> stale_;
    std::size_t under_way_ = 0;  // polls that the system has, those of removed ones included
    std::atomic<bool> woken_{false};
    std::array<AfdPoll*, limits::poll_batch_events> completed_;
};

// ---- registrations ----

SLUICE_INLINE IocpPoller::~IocpPoller() {
    while (!registrations_.empty()) {
        remove(registrations_.begin()->first);
    }
    // Every poll completes once it is cancelled.
    while (under_way_ != 0) {
        std::array<ReadyEvent, 1> nobody;
        static_cast<void>(take_completions(std::nullopt, nobody));
    }
}

SLUICE_INLINE std::error_code IocpPoller::add(Watcher& watcher, int fd,
                                              Readiness interest) noexcept {
    const Result<int> socket = sys::base_socket(fd);
    if (!socket.ok()) {
        return socket.error() == std::errc::not_a_socket
                   ? std::make_error_code(std::errc::operation_not_permitted)
                   : socket.error();
    }
    // Somebody closed a watched descriptor, and the system gives its number away again.
    remove(fd);
    try {
        auto registration = std::make_unique<Registration>();
        registration->watcher = &watcher;
        registration->fd = fd;
        registration->socket = socket.value();
        registration->interest = interest;
        mark_stale(*registration);
        registrations_.emplace(fd, std::move(registration));
        return {};
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
}

SLUICE_INLINE std::error_code IocpPoller::modify(Watcher&, int fd, Readiness interest) noexcept {
    const auto found = registrations_.find(fd);
    if (found == registrations_.end()) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    Registration& registration = *found->second;
    registration.interest = interest;
    if (registration.polled == 0) {
        mark_stale(registration);
    } else if ((native(interest) & ~registration.polled) != 0) {
        // It becomes stale when that has completed. A poll for too much is put right when it tells.
        sys::cancel_poll(afd_.get(), registration);
    }
    return {};
}

SLUICE_INLINE void IocpPoller::remove(int fd) noexcept {
    const auto found = registrations_.find(fd);
    if (found == registrations_.end()) {
        return;
    }
    Registration& registration = *found->second;
    registration.watcher = nullptr;
    if (registration.polled != 0) {
        sys::cancel_poll(afd_.get(), registration);
        // Deleted by its completion.
        static_cast<void>(found->second.release());
    }
    registrations_.erase(found);
}

SLUICE_INLINE void IocpPoller::mark_stale(Registration& registration) noexcept {
    if (!registration.linked()) {
        stale_.push_back(registration);
    }
}

// ---- waiting ----

SLUICE_INLINE std::size_t IocpPoller::wait(std::optional<Duration> timeout,
                                           std::span<ReadyEvent> batch) noexcept {
    poll_stale();
    const std::size_t collected = take_completions(timeout, batch);
    if (collected != 0 || stale_.empty()) {
        return collected;
    }
    // What was modified has completed without an event, and may be ready for what is wanted now.
    poll_stale();
    return take_completions(Duration::zero(), batch);
}

SLUICE_INLINE void IocpPoller::wake() noexcept {
    if (!woken_.exchange(true) && !sys::post_wake(port_.get())) {
        woken_ = false;
    }
}

SLUICE_INLINE void IocpPoller::poll_stale() noexcept {
    IntrusiveList<Registration> batch;
    batch.splice_back(stale_);
    while (!batch.empty()) {
        Registration& registration = batch.pop_front();
        const std::uint32_t events = native(registration.interest);
        const std::error_code error =
            sys::start_poll(afd_.get(), registration.socket, events, registration);
        if (!error) {
            registration.polled = events;
            ++under_way_;
        } else if (error == std::errc::not_enough_memory || error == std::errc::no_buffer_space) {
            mark_stale(registration);  // The next wait tries again.
        } else {
            // Closed behind our back: epoll forgets such a descriptor, too.
            registrations_.erase(registration.fd);
        }
    }
}

SLUICE_INLINE std::size_t IocpPoller::take_completions(std::optional<Duration> timeout,
                                                       std::span<ReadyEvent> batch) noexcept {
    const std::size_t room = std::min(batch.size(), completed_.size());
    const std::size_t count =
        sys::wait_for_completions(port_.get(), std::span(completed_).first(room), timeout);
    std::size_t collected = 0;
    for (AfdPoll* const poll : std::span(completed_).first(count)) {
        if (poll == nullptr) {
            woken_ = false;
            continue;
        }
        auto& registration = static_cast<Registration&>(*poll);
        if (const Readiness ready = note_completion(registration); ready != Readiness::none) {
            batch[collected++] = {registration.watcher, ready};
        }
    }
    return collected;
}

/// What its watcher is to hear of it; none if it has no watcher any more, and then it is gone.
SLUICE_INLINE Readiness IocpPoller::note_completion(Registration& registration) noexcept {
    --under_way_;
    registration.polled = 0;
    if (registration.watcher == nullptr) {
        delete &registration;
        return Readiness::none;
    }
    const std::uint32_t events = registration.events();
    if ((events & afd_local_close) != 0) {
        // Behind our back, as in poll_stale().
        registrations_.erase(registration.fd);
        return Readiness::none;
    }
    mark_stale(registration);
    if ((events & (afd_abort | afd_connect_fail)) != 0) {
        // Whoever reads or writes then learns what happened.
        return Readiness::both;
    }
    return readiness(events) & registration.interest;
}

SLUICE_INLINE std::uint32_t IocpPoller::native(Readiness interest) noexcept {
    return afd_abort | afd_connect_fail |
           (has(interest, Readiness::readable) ? afd_receive | afd_accept | afd_disconnect : 0U) |
           (has(interest, Readiness::writable) ? afd_send : 0U);
}

SLUICE_INLINE Readiness IocpPoller::readiness(std::uint32_t events) noexcept {
    constexpr std::uint32_t reading = afd_receive | afd_accept | afd_disconnect;
    return ((events & reading) != 0 ? Readiness::readable : Readiness::none) |
           ((events & afd_send) != 0 ? Readiness::writable : Readiness::none);
}

SLUICE_INLINE std::unique_ptr<Poller> make_iocp_poller() {
    return std::make_unique<IocpPoller>();
}

}  // namespace sluice::inline v0_1::detail
