// Serving, closing and draining.
#pragma once

#include <sluice/detail/server_impl.hpp>
#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_accept.hpp>
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
    if (options_.proxy_protocol()) {
        ProxyHandler& headers = *this;
        proxy_filter_.emplace(loop.core(), *options_.proxy_protocol(), headers);
    }
    if (options_.max_connections_per_address()) {
        address_counts_.emplace(*options_.max_connections_per_address(), sys::random_bits(),
                                sys::random_bits());
    }
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
    if (proxy_filter_ && options_.proxy_protocol()->trusts(peer)) {
        await_proxy_header(std::move(socket), local, peer);
    } else if (!proxy_filter_ || options_.proxy_protocol()->serves_untrusted()) {
        serve_connection(std::move(socket), local, peer, {});
    } else {
        ++counters_.proxy_rejected;
    }
}

SLUICE_INLINE void ServerImpl::await_proxy_header(Descriptor socket, const SocketAddress& local,
                                                  const SocketAddress& peer) noexcept {
    ++counters_.open;
    try {
        proxy_filter_->await_header(std::move(socket), local, peer);
    } catch (const std::bad_alloc&) {
        --counters_.open;
        report_not_made(peer);
    }
}

SLUICE_INLINE void ServerImpl::on_proxied(Descriptor socket, const SocketAddress& local,
                                          const SocketAddress& peer,
                                          const ProxyHeader& header) noexcept {
    --counters_.open;
    const SocketAddress client = header.source();
    serve_connection(std::move(socket), client ? header.destination() : local,
                     client ? client : peer, header);
}

SLUICE_INLINE void ServerImpl::on_proxy_rejected() noexcept {
    --counters_.open;
    ++counters_.proxy_rejected;
}

/// `local` and `peer` are what the protocol is to see.
SLUICE_INLINE void ServerImpl::serve_connection(Descriptor socket, const SocketAddress& local,
                                                const SocketAddress& peer,
                                                const ProxyHeader& header) noexcept {
    if (address_counts_ && !address_counts_->add(peer)) {
        ++counters_.refused;
        return;
    }
    try {
        const Ref<StreamTransport> transport =
            make_transport(std::move(socket), local, peer, header);
        track(*transport);
        if (tls_) {
            static_cast<TlsTransport&>(*transport).start(*this);
        } else {
            transport->start(*this);
        }
    } catch (...) {
        if (address_counts_) {
            address_counts_->remove(peer);
        }
        report_not_made(peer);
    }
}

SLUICE_INLINE Ref<StreamTransport> ServerImpl::make_transport(Descriptor socket,
                                                              const SocketAddress& local,
                                                              const SocketAddress& peer,
                                                              const ProxyHeader& header) {
    const Ref<SocketTransport> lower =
        SocketTransport::create(loop_->core(), std::move(socket), local, peer);
    Ref<StreamTransport> transport = lower;
    if (tls_) {
        transport = secure_transport(loop_->core(), lower, *tls_);
    }
    if (header) {
        try {
            lower->set_proxy_header(header);
        } catch (...) {
            transport->abort();
            throw;
        }
    }
    transport->note_place(options_.time_limits().made_at);
    options_.time_limits().apply(*transport);
    return transport;
}

/// To be called where an exception is being handled.
SLUICE_INLINE void ServerImpl::report_not_made(const SocketAddress& peer) const noexcept {
    loop_->core().report_made([&]() -> ExceptionContext {
        return {.message =
                    "Error on transport creation for incoming connection from " + peer.to_string(),
                .exception = std::current_exception(),
                .error = {}};
    });
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
    if (address_counts_) {
        address_counts_->remove(connection.tracked_transport().get_extra_info(extra::peername));
    }
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

SLUICE_INLINE void ServerImpl::remove_file() noexcept {
    if (const std::error_code error = file_.remove()) {
        loop_->core().report_made([&]() -> ExceptionContext {
            return {.message = "cannot remove the file of a listening socket, " + file_.path(),
                    .exception = {},
                    .error = error};
        });
    }
}

SLUICE_INLINE void ServerImpl::close_listeners() noexcept {
    // While the socket is open no well-behaved server takes its place, and its inode is its own.
    remove_file();
    for (const auto& acceptor : acceptors_) {
        acceptor->close();
    }
}

/// Nobody would serve them: they are as those that were accepted just before close().
SLUICE_INLINE void ServerImpl::forget_unproxied() noexcept {
    if (proxy_filter_) {
        counters_.open -= proxy_filter_->close();
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
    forget_unproxied();
    // An acceptor may be the one that is calling, so they are only closed here; sockets() is empty
    // all the same.
    serving_forever_.cancel();
    finish_if_over();
}

SLUICE_INLINE void ServerImpl::close_clients() {
    forget_unproxied();
    connections_.for_each(
        [](TrackedConnection& connection) { connection.tracked_transport().close(); });
}

SLUICE_INLINE void ServerImpl::abort_clients() {
    forget_unproxied();
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
        loop_->call_exception_handler({.message = "a server was never closed",
                                       .exception = {},
                                       .error = {},
                                       .where = options_.time_limits().made_at});
    }
    remove_file();
    acceptors_.clear();
    forget_unproxied();
    closed_ = true;
    serving_ = false;
    serving_forever_ = Future<void>();
    waiting_for_close_.clear();
    loop_ = nullptr;
    disown();
    finish_if_over();
}

}  // namespace sluice::inline v0_1::detail
