// Pipes: which descriptors are fit, and making the transport.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/pipe_transport.hpp>
#include <sluice/detail/sys_pipes.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/pipes.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

namespace detail {

/// Throws unless `fd` is something that can be waited for, open in the wanted direction.
SLUICE_INLINE sys::PipeStatus check_pipe(int fd, bool writing, const std::string& method) {
    const std::string shown = method + "(): descriptor " + std::to_string(fd);
    const Result<sys::PipeStatus> status = sys::pipe_status(fd);
    if (!status.ok() && status.error() == std::errc::operation_not_supported) {
        throw std::system_error(status.error(), method + "()");
    }
    if (!status.ok()) {
        throw std::invalid_argument(shown + " is not open: " + status.error().message());
    }
    const sys::PipeKind kind = status.value().kind;
    if (kind == sys::PipeKind::file || kind == sys::PipeKind::other) {
        throw std::invalid_argument(
            shown + (kind == sys::PipeKind::file ? " is a regular file; " : "; ") +
            "only pipes, FIFOs, sockets and character devices can be waited for");
    }
    if (!(writing ? status.value().writable : status.value().readable)) {
        throw std::invalid_argument(shown + " is not open for " +
                                    (writing ? "writing" : "reading"));
    }
    return status.value();
}

/// Has reads and writes not block, if possible without changing what others share.
SLUICE_INLINE void unblock_pipe(int fd, sys::PipeStatus& status) {
    if (status.blocking && status.kind == sys::PipeKind::terminal && sys::unshare_terminal(fd)) {
        status.blocking = false;
        return;
    }
    if (const std::error_code error = sys::set_nonblocking(fd)) {
        throw std::system_error(error,
                                "cannot make descriptor " + std::to_string(fd) + " non-blocking");
    }
}

/// Waits for connection_made. If the wait is cancelled, the connection is aborted.
SLUICE_INLINE Task<MadeConnection> start_pipe(EventLoop& loop, ConnectionFactory factory,
                                              Descriptor pipe, PipeTransport::Direction direction,
                                              sys::PipeStatus status) {
    std::unique_ptr<StreamProtocol> protocol = factory();
    if (protocol == nullptr) {
        throw std::logic_error("the protocol factory returned null");
    }
    MadeConnection made;
    made.protocol = protocol.get();
    unblock_pipe(pipe.get(), status);
    const Ref<PipeTransport> transport =
        PipeTransport::create(loop.core(), std::move(pipe), direction, status);
    made.transport = transport;
    const Future<void> started = loop.create_future<void>();
    Callback on_started = [started] { started.try_set_result(); };
    transport->start(std::move(protocol), std::move(on_started));
    std::exception_ptr failure;
    try {
        co_await started;
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        transport->abort();
        std::rethrow_exception(failure);
    }
    co_return made;
}

}  // namespace detail

SLUICE_INLINE Task<detail::MadeConnection> PipeEndpoints::connect_pipe(
    detail::ConnectionFactory factory, Descriptor pipe, bool writing) {
    auto& loop = static_cast<EventLoop&>(*this);
    const std::string method = writing ? "connect_write_pipe" : "connect_read_pipe";
    if (loop.is_closed()) {
        throw std::logic_error(method + "(): Event loop is closed");
    }
    detail::check_foreign(loop.core(), pipe.get(), method.c_str());
    const detail::sys::PipeStatus status = detail::check_pipe(pipe.get(), writing, method);
    return detail::start_pipe(loop, std::move(factory), std::move(pipe),
                              writing ? detail::PipeTransport::Direction::writing
                                      : detail::PipeTransport::Direction::reading,
                              status);
}

}  // namespace sluice::inline v0_1
