// IocpPoller: what it does for stream transports.
#pragma once

#include <sluice/impl/iocp_poller.hpp>

#include <sluice/detail/sys.hpp>

#include <new>
#include <utility>

namespace sluice::inline v0_1::detail {

/// Has the system tell of input, if that is wanted and nothing waits to be taken.
SLUICE_INLINE void IocpPoller::hand_over_receive(Registration& registration) noexcept {
    if (!has(registration.interest, Readiness::received) || registration.receiving != nullptr ||
        registration.has_received() || !completes_here(registration)) {
        return;
    }
    auto* const receive = new (std::nothrow) Operation(SocketAction::receive);
    if (receive == nullptr) {
        end_stream(registration, std::make_error_code(std::errc::not_enough_memory));
        return;
    }
    if (const std::error_code error = sys::start_receive(registration.fd, *receive)) {
        delete receive;
        end_stream(registration, error);
        return;
    }
    receive->registration = &registration;
    registration.receiving = receive;
    ++under_way_;
}

SLUICE_INLINE ReadyEvent IocpPoller::note_receive(Operation& receive) noexcept {
    const std::unique_ptr<Operation> completed(&receive);
    Registration* const registration = receive.registration;
    if (registration == nullptr) {
        return {nullptr, Readiness::none};
    }
    registration->receiving = nullptr;
    mark_stale(*registration);
    const IoResult result = sys::operation_result(registration->fd, receive);
    const std::error_code error = result.ok() ? std::error_code{} : result.error();
    if (error == std::errc::operation_canceled) {
        // By us, or because the thread that began it has ended: the next wait sees what is wanted.
        return {nullptr, Readiness::none};
    }
    if (error) {
        end_stream(*registration, error);
    }
    registration->input_waits = !error;
    return {registration->watcher, wanted_input(*registration)};
}

/// Nothing more will be received.
SLUICE_INLINE void IocpPoller::end_stream(Registration& registration,
                                          std::error_code reason) noexcept {
    registration.stream_ended = true;
    registration.stream_error = reason;
}

SLUICE_INLINE StreamCompletions::Taken IocpPoller::take(int fd) noexcept {
    Taken taken{.piece = nullptr, .error = {}, .ended = false, .running = false};
    Registration* const registration = find(fd);
    if (registration == nullptr) {
        return taken;
    }
    mark_stale(*registration);
    taken.running = registration->receiving != nullptr;
    taken.piece = std::exchange(registration->piece, nullptr);
    if (taken.piece != nullptr) {
        return taken;
    }
    const bool wanted = has(registration->interest, Readiness::received);
    const bool may_come = registration->input_waits || registration->only_polled;
    if (wanted && may_come && !registration->stream_ended) {
        taken.piece = receive_now(*registration);
    }
    if (!wanted) {
        registration->input_waits = false;  // recv(2) is called for it from here on
    }
    if (taken.piece == nullptr && registration->stream_ended) {
        taken.ended = !registration->stream_error;
        taken.error = registration->stream_error;
    }
    return taken;
}

SLUICE_INLINE ReceivedPiece* IocpPoller::receive_now(Registration& registration) noexcept {
    Piece* const piece = take_free();
    if (piece == nullptr) {
        end_stream(registration, std::make_error_code(std::errc::not_enough_memory));
        return nullptr;
    }
    const IoResult result = sys::recv(registration.fd, piece->memory);
    const std::size_t count = result.ok() ? result.value() : 0;
    // A short read has emptied the socket.
    registration.input_waits = count == piece->memory.size();
    if (count != 0) {
        piece->data = piece->memory.data();
        piece->begin = 0;
        piece->end = static_cast<std::uint32_t>(count);
        return piece;
    }
    give_back(*piece);
    if (!result.blocked()) {
        end_stream(registration, result.error());
    }
    return nullptr;
}

SLUICE_INLINE void IocpPoller::put_back(int fd, ReceivedPiece& piece) noexcept {
    Registration* const registration = find(fd);
    if (registration == nullptr) {
        give_back(piece);
        return;
    }
    registration->piece = &piece;
    mark_stale(*registration);
}

SLUICE_INLINE void IocpPoller::forget_received(Registration& registration) noexcept {
    if (ReceivedPiece* const piece = std::exchange(registration.piece, nullptr)) {
        give_back(*piece);
    }
}

// ---- memory ----

SLUICE_INLINE IocpPoller::Piece* IocpPoller::take_free() noexcept {
    if (free_ == nullptr) {
        return new (std::nothrow) Piece;
    }
    --free_count_;
    auto* const piece = static_cast<Piece*>(std::exchange(free_, free_->next));
    piece->next = nullptr;
    return piece;
}

/// Some are kept for the next ones.
SLUICE_INLINE void IocpPoller::give_back(ReceivedPiece& piece) noexcept {
    if (free_count_ == kept_pieces) {
        delete &static_cast<Piece&>(piece);
        return;
    }
    piece.next = std::exchange(free_, &piece);
    ++free_count_;
}

}  // namespace sluice::inline v0_1::detail
