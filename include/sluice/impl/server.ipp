// Serving, closing and draining.
#pragma once

#include <sluice/detail/server_impl.hpp>
#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/event_loop.hpp>

#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE ServerImpl::ServerImpl(EventLoop& loop, ConnectionFactory factory,
                                     std::vector<Descriptor> bound, const ServerOptions& options)
    : Server(loop.core().owner()),
      loop_(&loop),
      factory_(std::move(factory)),
      options_(options),
      tls_(plan_tls(options.tls_parameters(), true, {}, "create_server")) {
    AcceptHandler& handler = *this;
    for (Descriptor& socket : bound) {
        SocketAddress local = sys::local_address(socket.get());
        // Accepted sockets inherit these options from the listener (tcp(7)), which saves two calls
        // per connection. Unix sockets refuse the first, which is right.
        static_cast<void>(sys::set_option(socket.get(), sys::SocketOption::no_delay, true));
        if (options_.keep_alive()) {
            static_cast<void>(sys::set_option(socket.get(), sys::SocketOption::keep_alive, true));
        }
        acceptors_.push_back(std::make_unique<Acceptor>(
            loop.core(), std::move(socket), std::move(local), options_.backlog(), handler));
    }
    loop.core().attach(*this);
    held_by_loop_ = Ref<ServerImpl>(this);
}

SLUICE_INLINE ServerImpl::~ServerImpl() = default;

SLUICE_INLINE void ServerImpl::check_thread(const char* method) const {
    if (loop_ != nullptr) {
        loop_->core().check_thread(method);
    }
}

SLUICE_INLINE std::vector<SocketView> ServerImpl::sockets() const {
    std::vector<SocketView> views;
    if (closed_) {
        return views;
    }
    for (const auto& acceptor : acceptors_) {
        views.emplace_back(acceptor->fd(), acceptor->local_address());
    }
    return views;
}

// ---- serving ----

SLUICE_INLINE void ServerImpl::start_serving() {
    if (closed_) {
        throw std::logic_error("start_serving(): the server is closed");
    }
    check_thread("Server::start_serving()");
    if (serving_) {
        return;
    }
    for (const auto& acceptor : acceptors_) {
        std::error_code error = sys::listen(acceptor->fd(), options_.backlog());
        if (!error) {
            error = acceptor->start();
        }
        if (error) {
            const std::string address = acceptor->local_address().to_string();
            throw AddressError(error, "cannot listen on " + address, address);
        }
    }
    serving_ = true;
}

SLUICE_INLINE void ServerImpl::on_accepted(Descriptor socket, const SocketAddress& local,
                                           const SocketAddress& peer) noexcept {
    if (options_.max_connections() && counters_.open >= *options_.max_connections()) {
        ++counters_.refused;
        return;
    }
    try {
        const Ref<SocketTransport> socket_transport =
            SocketTransport::create(loop_->core(), std::move(socket), local, peer);
        if (!tls_) {
            track(*socket_transport);
            socket_transport->start(*this);
            return;
        }
        const Ref<TlsTransport> transport =
            secure_transport(loop_->core(), socket_transport, *tls_);
        track(*transport);
        transport->start(*this);
    } catch (...) {
        loop_->core().report_made([&]() -> ExceptionContext {
            return {.message = "Error on transport creation for incoming connection from " +
                               peer.to_string(),
                    .exception = std::current_exception(),
                    .error = {}};
        });
    }
}

SLUICE_INLINE void ServerImpl::track(TrackedConnection& connection) noexcept {
    connections_.push_back(connection);
    ++counters_.open;
    ++counters_.accepted;
}

SLUICE_INLINE std::unique_ptr<StreamProtocol> ServerImpl::make_protocol() {
    // Accepted just before close(): nobody will serve it.
    if (closed_) {
        return nullptr;
    }
    std::unique_ptr<StreamProtocol> protocol = factory_();
    if (protocol == nullptr) {
        throw std::logic_error("the protocol factory returned null");
    }
    return protocol;
}

SLUICE_INLINE void ServerImpl::connection_gone(TrackedConnection& connection) noexcept {
    connection.unlink();
    --counters_.open;
    const auto* const secure = dynamic_cast<const TlsTransport*>(&connection.tracked_transport());
    if (secure != nullptr && !secure->handshaken()) {
        ++counters_.handshakes_failed;
    }
    finish_if_over();
}

SLUICE_INLINE void ServerImpl::connection_replaced(TrackedConnection& before,
                                                   TrackedConnection& now) noexcept {
    before.unlink();
    connections_.push_back(now);
}

SLUICE_INLINE Task<void> ServerImpl::serve_forever() {
    check_thread("Server::serve_forever()");
    return serve_forever_of(Ref<ServerImpl>(this));
}

SLUICE_INLINE Task<void> ServerImpl::serve_forever_of(Ref<ServerImpl> server) {
    if (server->serving_forever_) {
        throw std::logic_error("the server is already being awaited on serve_forever()");
    }
    server->start_serving();
    server->serving_forever_ = server->loop_->create_future<void>();
    try {
        co_await server->serving_forever_;
    } catch (const Cancelled&) {
        // By close(), or because the awaiting task is cancelled: both end the same way, below.
    }
    server->serving_forever_ = Future<void>();
    server->close();
    Task<void> closed = wait_closed_of(server);
    co_await closed;
    throw Cancelled();
}

// ---- closing ----

SLUICE_INLINE void ServerImpl::close_listeners() noexcept {
    for (const auto& acceptor : acceptors_) {
        acceptor->close();
    }
}

SLUICE_INLINE void ServerImpl::close() {
    if (closed_) {
        return;
    }
    check_thread("Server::close()");
    closed_ = true;
    serving_ = false;
    close_listeners();
    // An acceptor may be the one that is calling, so they are only closed here; sockets() is empty
    // all the same.
    serving_forever_.cancel();
    finish_if_over();
}

SLUICE_INLINE void ServerImpl::close_clients() {
    connections_.for_each(
        [](TrackedConnection& connection) { connection.tracked_transport().close(); });
}

SLUICE_INLINE void ServerImpl::abort_clients() {
    connections_.for_each(
        [](TrackedConnection& connection) { connection.tracked_transport().abort(); });
}

SLUICE_INLINE void ServerImpl::finish_if_over() noexcept {
    if (!closed_ || counters_.open != 0) {
        return;
    }
    for (const Future<void>& waiting : std::exchange(waiting_for_close_, {})) {
        waiting.try_set_result();
    }
    held_by_loop_.reset();
}

SLUICE_INLINE Future<void> ServerImpl::closed_future() {
    Future<void> future = loop_->create_future<void>();
    if (closed_ && counters_.open == 0) {
        future.set_result();
    } else {
        waiting_for_close_.push_back(future);
    }
    return future;
}

SLUICE_INLINE Task<void> ServerImpl::wait_closed() {
    check_thread("Server::wait_closed()");
    return wait_closed_of(Ref<ServerImpl>(this));
}

SLUICE_INLINE Task<void> ServerImpl::wait_closed_of(Ref<ServerImpl> server) {
    const Future<void> closed = server->closed_future();
    co_await closed;
}

SLUICE_INLINE Task<bool> ServerImpl::drain(std::chrono::nanoseconds deadline) {
    check_thread("Server::drain()");
    return drain_of(Ref<ServerImpl>(this), deadline);
}

SLUICE_INLINE Task<bool> ServerImpl::drain_of(Ref<ServerImpl> server,
                                              std::chrono::nanoseconds deadline) {
    server->close();
    server->tell_draining();
    const Future<void> closed = server->closed_future();
    auto aborted = std::make_shared<bool>(false);
    TimerHandle timer = server->loop_->call_later(deadline, [server, aborted] {
        *aborted = true;
        server->abort_clients();
    });
    std::exception_ptr failure;
    try {
        co_await closed;
    } catch (...) {
        failure = std::current_exception();
    }
    timer.cancel();
    if (failure) {
        std::rethrow_exception(failure);
    }
    co_return !*aborted;
}

SLUICE_INLINE void ServerImpl::tell_draining() noexcept {
    connections_.for_each([this](TrackedConnection& connection) {
        Transport& transport = connection.tracked_transport();
        StreamProtocol* const protocol = transport.get_protocol();
        // Not for connections that have not started: they will see nothing of the server at all.
        if (protocol != nullptr && !transport.is_closing()) {
            dispatch(loop_->core(),
                     {.name = "protocol.server_draining()",
                      .transport = &transport,
                      .protocol = protocol},
                     [protocol] { protocol->server_draining(); });
        }
    });
}

SLUICE_INLINE void ServerImpl::on_detach() noexcept {
    const Ref<ServerImpl> self(this);
    if (loop_->get_debug() && !closed_) {
        loop_->call_exception_handler(
            {.message = "a server was never closed", .exception = {}, .error = {}});
    }
    acceptors_.clear();
    closed_ = true;
    serving_ = false;
    serving_forever_ = Future<void>();
    waiting_for_close_.clear();
    loop_ = nullptr;
    disown();
    finish_if_over();
}

}  // namespace sluice::inline v0_1::detail
