// IocpPoller: what it does for acceptors.
#pragma once

#include <sluice/impl/iocp_poller.hpp>

#include <sluice/detail/sys.hpp>

#include <memory>
#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

/// A server that stays behind has accepted no more than these: the others wait in the backlog, as with
/// accept(2).
SLUICE_INLINE void IocpPoller::hand_over_accepts(Registration& registration) noexcept {
    if (!has(registration.interest, Readiness::accepted) || registration.has_accepted() ||
        !completes_here(registration)) {
        return;
    }
    Accepts& accepts = *registration.accepts;
    while (accepts.under_way_count < limits::accepts_ahead) {
        if (const std::error_code error = start_accept(registration)) {
            if (accepts.under_way_count == 0) {
                accepts.error = error.value();
            }
            // Else there is nothing to tell of as long as nobody connects.
            return;
        }
    }
}

SLUICE_INLINE std::error_code IocpPoller::start_accept(Registration& registration) noexcept {
    std::unique_ptr<Accept> accept(new (std::nothrow) Accept);
    if (accept == nullptr) {
        return system_error(ERROR_NOT_ENOUGH_MEMORY);
    }
    Accepts& accepts = *registration.accepts;
    if (const std::error_code error = sys::start_accept(registration.fd, accepts.family, *accept)) {
        return error;
    }
    accept->registration = &registration;
    accepts.under_way.push_back(*accept.release());
    ++accepts.under_way_count;
    ++under_way_;
    return {};
}

SLUICE_INLINE ReadyEvent IocpPoller::note_accept(Accept& accept) noexcept {
    std::unique_ptr<Accept> completed(&accept);
    Registration* const registration = accept.registration;
    if (registration == nullptr) {
        return {nullptr, Readiness::none};
    }
    Accepts& accepts = *registration->accepts;
    completed->unlink();
    --accepts.under_way_count;
    mark_stale(*registration);
    const IoResult result = sys::operation_result(registration->fd, accept);
    if (!result.ok() && result.error() == std::errc::operation_canceled) {
        return {nullptr, Readiness::none};
    }
    // Told once for all that this wait brings, or a turn would be several.
    const bool is_first = !registration->has_accepted();
    accepts.accepted.push_back(*completed.release());
    return {registration->watcher, is_first ? wanted_input(*registration) : Readiness::none};
}

SLUICE_INLINE Result<int> IocpPoller::take_accepted(int listener) noexcept {
    Registration* const registration = find(listener);
    if (registration == nullptr) {
        return Result<int>::would_block();
    }
    Accepts& accepts = *registration->accepts;
    if (!accepts.accepted.empty()) {
        const std::unique_ptr<Accept> oldest(&accepts.accepted.pop_front());
        return sys::accepted_connection(listener, *oldest);
    }
    if (accepts.error != 0) {
        return Result<int>::failure(std::exchange(accepts.error, 0));
    }
    if (!accepts.under_way.empty()) {
        return Result<int>::would_block();
    }
    // More have connected than could be accepted ahead.
    SocketAddress peer;
    return sys::accept(listener, peer);
}

/// Ends with what was accepted and not taken, and with what will be before the system has stopped.
SLUICE_INLINE void IocpPoller::close_accepts(Registration& registration) noexcept {
    Accepts& accepts = *registration.accepts;
    while (!accepts.accepted.empty()) {
        delete &accepts.accepted.pop_front();
    }
    while (!accepts.under_way.empty()) {
        Accept& accept = accepts.under_way.pop_front();
        sys::cancel_operation(registration.fd, accept);
        accept.registration = nullptr;
        accept.socket.close();
    }
}

}  // namespace sluice::inline v0_1::detail
