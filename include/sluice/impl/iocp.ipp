// IocpPoller: registrations, polls, waiting. What it does for stream transports is in iocp_streams.ipp and
// iocp_sendfile.ipp, for acceptors in iocp_accept.ipp.
#pragma once

#include <sluice/impl/iocp_poller.hpp>

#include <algorithm>
#include <new>
#include <thread>

namespace sluice::inline v0_1::detail {

// ---- registrations ----

SLUICE_INLINE IocpPoller::~IocpPoller() {
    while (!registrations_.empty()) {
        remove(registrations_.begin()->first);
    }
    // Every operation completes once it is cancelled.
    while (under_way_ != 0) {
        std::array<ReadyEvent, 1> nobody;
        static_cast<void>(take_completions(std::nullopt, nobody));
    }
    while (free_ != nullptr) {
        delete take_free();
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
        if (has(interest, Readiness::accepted)) {
            registration->accepts = std::make_unique<Accepts>();
            registration->accepts->family = sys::local_address(fd).family();
        }
        mark_stale(*registration);
        registrations_.emplace(fd, std::move(registration));
        return {};
    } catch (const std::bad_alloc&) {
        return std::make_error_code(std::errc::not_enough_memory);
    }
}

SLUICE_INLINE std::error_code IocpPoller::modify(Watcher&, int fd, Readiness interest) noexcept {
    Registration* const registration = find(fd);
    if (registration == nullptr) {
        return std::make_error_code(std::errc::bad_file_descriptor);
    }
    registration->interest = interest;
    mark_stale(*registration);
    const std::uint32_t events = events_to_poll(*registration);
    if (events == 0 || (events & ~registration->polled) != 0) {
        // It is polled anew when that has completed. A poll for too much is put right when it tells.
        cancel_poll(*registration);
    }
    if (has(interest, Readiness::readable) && registration->receiving != nullptr) {
        // AFD tells of input now, as soon as nothing else does.
        sys::cancel_operation(fd, *registration->receiving);
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
    registration.unlink();
    forget_received(registration);
    for (Operation* const operation : {registration.receiving, registration.sending_file}) {
        if (operation != nullptr) {
            sys::cancel_operation(fd, *operation);
            operation->registration = nullptr;
        }
    }
    if (registration.accepts != nullptr) {
        close_accepts(registration);
    }
    if (registration.polled != 0) {
        cancel_poll(registration);
        // Deleted by its completion.
        static_cast<void>(found->second.release());
    }
    registrations_.erase(found);
}

SLUICE_INLINE IocpPoller::Registration* IocpPoller::find(int fd) noexcept {
    const auto found = registrations_.find(fd);
    return found == registrations_.end() ? nullptr : found->second.get();
}

SLUICE_INLINE void IocpPoller::mark_stale(Registration& registration) noexcept {
    if (!registration.linked()) {
        stale_.push_back(registration);
    }
}

SLUICE_INLINE void IocpPoller::cancel_poll(Registration& registration) noexcept {
    if (registration.polled != 0) {
        sys::cancel_poll(afd_.get(), registration);
    }
}

// ---- waiting ----

SLUICE_INLINE std::size_t IocpPoller::wait(std::optional<Duration> timeout,
                                           std::span<ReadyEvent> batch) noexcept {
    std::size_t collected = hand_over_stale(batch);
    if (collected != 0) {
        timeout = Duration::zero();
    } else if (!stale_.empty()) {
        // What the system has not taken tells of nothing until it does.
        timeout = std::min(timeout.value_or(retry_interval), retry_interval);
    }
    collected += take_completions(timeout, batch.subspan(collected));
    if (collected != 0 || stale_.empty()) {
        return collected;
    }
    // What was modified has completed without an event, and may be ready for what is wanted now.
    collected = hand_over_stale(batch);
    return collected + take_completions(Duration::zero(), batch.subspan(collected));
}

SLUICE_INLINE void IocpPoller::wake() noexcept {
    if (woken_.exchange(true)) {
        return;
    }
    // Without it the loop might sleep for good, so who wakes it waits for memory.
    while (!sys::post_wake(port_.get())) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

/// Those for whom something has been received, sent or accepted are ready as they are, and stay stale until
/// that has been taken.
SLUICE_INLINE std::size_t IocpPoller::hand_over_stale(std::span<ReadyEvent> batch) noexcept {
    std::size_t collected = 0;
    IntrusiveList<Registration> stale;
    stale.splice_back(stale_);
    while (!stale.empty()) {
        Registration& registration = stale.pop_front();
        if (!hand_over_poll(registration)) {
            // Closed behind our back: epoll forgets such a descriptor, too.
            remove(registration.fd);
            continue;
        }
        hand_over_receive(registration);
        hand_over_accepts(registration);
        if (known(registration) != Readiness::none) {
            mark_stale(registration);
            if (collected < batch.size()) {
                batch[collected++] = {registration.watcher, known(registration)};
            }
        }
    }
    return collected;
}

/// False if there is no such socket any more.
SLUICE_INLINE bool IocpPoller::hand_over_poll(Registration& registration) noexcept {
    const std::uint32_t events = events_to_poll(registration);
    if ((events & ~registration.polled) == 0) {
        return true;
    }
    if (registration.polled != 0) {
        // It is polled anew when that has completed.
        cancel_poll(registration);
        return true;
    }
    const std::error_code error =
        sys::start_poll(afd_.get(), registration.socket, events, registration);
    if (!error) {
        registration.polled = events;
        ++under_way_;
        return true;
    }
    mark_stale(registration);  // The next wait tries again, whatever was short.
    return error != std::errc::bad_file_descriptor && error != std::errc::not_a_socket;
}

/// False if what is begun with it would complete elsewhere: it has another port, that of another loop or
/// the one of an earlier registration here. AFD is asked in place of its operations then, also while it
/// polls for something else.
SLUICE_INLINE bool IocpPoller::completes_here(Registration& registration) noexcept {
    if (!registration.has_port && !registration.only_polled) {
        registration.has_port = !sys::use_port(port_.get(), registration.fd);
        if (!registration.has_port) {
            registration.only_polled = true;
            cancel_poll(registration);
            static_cast<void>(hand_over_poll(registration));
        }
    }
    return registration.has_port;
}

SLUICE_INLINE std::size_t IocpPoller::take_completions(std::optional<Duration> timeout,
                                                       std::span<ReadyEvent> batch) noexcept {
    const std::size_t room = std::min(batch.size(), completed_.size());
    const std::size_t count =
        room == 0
            ? 0
            : sys::wait_for_completions(port_.get(), std::span(completed_).first(room), timeout);
    std::size_t collected = 0;
    for (const PortCompletion& completion : std::span(completed_).first(count)) {
        const ReadyEvent event = note(completion);
        if (event.watcher != nullptr && event.events != Readiness::none) {
            batch[collected++] = event;
        }
    }
    return collected;
}

SLUICE_INLINE ReadyEvent IocpPoller::note(const PortCompletion& completion) noexcept {
    if (completion.poll != nullptr) {
        return note_poll(static_cast<Registration&>(*completion.poll));
    }
    if (completion.operation == nullptr) {
        woken_ = false;
        return {nullptr, Readiness::none};
    }
    --under_way_;
    switch (completion.operation->action) {
        case SocketAction::receive:
            return note_receive(static_cast<Operation&>(*completion.operation));
        case SocketAction::send_file:
            return note_file_sent(static_cast<Operation&>(*completion.operation));
        case SocketAction::accept:
            return note_accept(static_cast<Accept&>(*completion.operation));
    }
    return {nullptr, Readiness::none};
}

SLUICE_INLINE ReadyEvent IocpPoller::note_poll(Registration& registration) noexcept {
    --under_way_;
    registration.polled = 0;
    if (registration.watcher == nullptr) {
        delete &registration;
        return {nullptr, Readiness::none};
    }
    const std::uint32_t events = registration.events();
    if ((events & afd_local_close) != 0) {
        // Behind our back, as in hand_over_stale().
        remove(registration.fd);
        return {nullptr, Readiness::none};
    }
    mark_stale(registration);
    if ((events & (afd_abort | afd_connect_fail)) != 0) {
        // Whoever reads or writes then learns what happened.
        return {registration.watcher, Readiness::both | wanted_input(registration)};
    }
    const Readiness ready = readiness(events);
    return {registration.watcher, has(ready, Readiness::readable)
                                      ? (ready & registration.interest) | wanted_input(registration)
                                      : ready & registration.interest};
}

/// What AFD is asked for, besides what operations tell by themselves.
SLUICE_INLINE std::uint32_t IocpPoller::events_to_poll(const Registration& registration) noexcept {
    const bool is_told = registration.receiving != nullptr || registration.has_received();
    const Readiness by_operation = Readiness::received | Readiness::accepted;
    const bool reads =
        !is_told && (has(registration.interest, Readiness::readable) ||
                     (has(registration.interest, by_operation) && registration.only_polled));
    const bool writes = has(registration.interest, Readiness::writable) &&
                        registration.sending_file == nullptr && !registration.file_sent;
    if (!reads && !writes) {
        return 0;
    }
    return afd_abort | afd_connect_fail | (reads ? afd_receive | afd_accept | afd_disconnect : 0U) |
           (writes ? afd_send : 0U);
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
