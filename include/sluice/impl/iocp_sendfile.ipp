// IocpPoller: how it sends files.
#pragma once

#include <sluice/impl/iocp_poller.hpp>

#include <sluice/detail/sys.hpp>

#include <memory>
#include <new>
#include <optional>
#include <utility>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE IoResult IocpPoller::sendfile(int fd, int file, std::int64_t offset,
                                            std::size_t count) noexcept {
    Registration* const registration = find(fd);
    if (registration == nullptr || registration->sending_file != nullptr) {
        // What is not watched will be, to become writable.
        return IoResult::would_block();
    }
    if (registration->file_sent) {
        return *std::exchange(registration->file_sent, std::nullopt);
    }
    if (!completes_here(*registration)) {
        return IoResult::failure(WSAEOPNOTSUPP);
    }
    std::unique_ptr<Operation> sending(new (std::nothrow) Operation(SocketAction::send_file));
    if (sending == nullptr) {
        return IoResult::failure(ERROR_NOT_ENOUGH_MEMORY);
    }
    const IoResult begun = sys::start_sendfile(fd, file, offset, count, *sending);
    if (begun.blocked()) {
        sending->registration = registration;
        registration->sending_file = sending.release();
        ++under_way_;
    }
    return begun;
}

SLUICE_INLINE ReadyEvent IocpPoller::note_file_sent(Operation& sending) noexcept {
    const std::unique_ptr<Operation> completed(&sending);
    Registration* const registration = sending.registration;
    if (registration == nullptr) {
        return {nullptr, Readiness::none};
    }
    registration->sending_file = nullptr;
    registration->file_sent = sys::sent_file(registration->fd, sending);
    mark_stale(*registration);
    return {registration->watcher, registration->interest & Readiness::writable};
}

}  // namespace sluice::inline v0_1::detail
