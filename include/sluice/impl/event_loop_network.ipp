// EventLoop: names, connecting and serving. Each public call checks its arguments before the
// coroutine that does the work exists.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/connector.hpp>
#include <sluice/detail/make_connection.hpp>
#include <sluice/detail/server_impl.hpp>
#include <sluice/detail/socket_transport.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/tls_transport.hpp>
#include <sluice/event_loop.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE ConnectErrors::ConnectErrors(std::vector<AddressError> errors,
                                           const std::string& host)
    : AddressError(Error::all_attempts_failed, "create_connection to " + host + " failed", host),
      errors_(std::move(errors)) {}

SLUICE_INLINE ConnectErrors::~ConnectErrors() = default;

namespace detail {

SLUICE_INLINE ConnectDeadline::ConnectDeadline(EventLoop& loop, std::optional<Duration> limit) {
    if (limit) {
        timer_ = loop.call_later(*limit, [state = state_] {
            state->expired = true;
            if (state->cancel) {
                state->cancel();
            }
        });
    }
}

SLUICE_INLINE std::string describe(const std::string& host, const Port& port) {
    return (host.empty() ? "*" : host) + ":" + port.to_string();
}

// ---- names ----

/// Resolves on a thread, except what needs no resolver. Cancelling `deadline` ends the wait.
SLUICE_INLINE Task<std::vector<SocketAddress>> resolve(EventLoop& loop, sys::ResolveRequest request,
                                                       Port port, ConnectDeadline* deadline) {
    request.service = port.to_string();
    if (port.number()) {
        const std::optional<SocketAddress> literal =
            SocketAddress::parse(request.host, *port.number());
        if (literal &&
            (request.family == Family::unspecified || request.family == literal->family())) {
            co_return std::vector<SocketAddress>(1, *literal);
        }
    }
    const std::string shown = describe(request.host, port);
    const Future<sys::ResolveAnswer> answering =
        loop.run_in_executor([request = std::move(request)] { return sys::resolve(request); });
    if (deadline != nullptr) {
        deadline->guard(answering);
    }
    sys::ResolveAnswer answer = co_await answering;
    if (answer.error) {
        throw AddressError(answer.error, "cannot resolve " + shown, shown);
    }
    co_return std::move(answer.addresses);
}

SLUICE_INLINE Task<HostAndService> name_address(EventLoop& loop, SocketAddress address,
                                                bool numeric) {
    const std::string shown = address.to_string();
    const Future<sys::NameAnswer> answering =
        loop.run_in_executor([address = std::move(address), numeric] {
            return sys::name_of(address, numeric, numeric);
        });
    sys::NameAnswer answer = co_await answering;
    if (answer.error) {
        throw AddressError(answer.error, "cannot name " + shown, shown);
    }
    HostAndService names;
    names.host = std::move(answer.host);
    names.service = std::move(answer.service);
    co_return names;
}

// ---- connecting ----

SLUICE_INLINE AddressError error_of_attempt(const AttemptFailure& failure) {
    const std::string address = failure.address.to_string();
    return {failure.error, failure.what + " " + address, address};
}

[[noreturn]] SLUICE_INLINE void throw_failures(const std::vector<AttemptFailure>& failures,
                                               const std::string& host, bool all_errors) {
    std::vector<AddressError> errors;
    errors.reserve(failures.size());
    for (const AttemptFailure& failure : failures) {
        errors.push_back(error_of_attempt(failure));
    }
    if (all_errors || errors.empty()) {
        throw ConnectErrors(std::move(errors), host);
    }
    const bool all_same = std::ranges::all_of(errors, [&](const AddressError& error) {
        return std::string_view(error.what()) == errors.front().what();
    });
    if (all_same) {
        throw AddressError(errors.front());
    }
    std::string summary = "Multiple exceptions: ";
    for (const AddressError& error : errors) {
        summary += (&error == errors.data() ? "" : ", ") + std::string(error.what());
    }
    const bool same_code = std::ranges::all_of(
        errors, [&](const AddressError& error) { return error.code() == errors.front().code(); });
    throw AddressError(
        same_code ? errors.front().code() : make_error_code(Error::all_attempts_failed), summary,
        host);
}

SLUICE_INLINE Task<ConnectPlan> plan_connection(EventLoop& loop, std::string host, Port port,
                                                const ConnectOptions& options,
                                                ConnectDeadline& deadline) {
    sys::ResolveRequest request;
    request.host = std::move(host);
    request.family = options.family();
    Task<std::vector<SocketAddress>> resolving = resolve(loop, request, std::move(port), &deadline);
    ConnectPlan plan;
    plan.remote = co_await resolving;
    if (options.local_host()) {
        sys::ResolveRequest local;
        local.host = *options.local_host();
        local.family = options.family();
        Task<std::vector<SocketAddress>> resolving_local =
            resolve(loop, local, options.local_port(), &deadline);
        plan.local = co_await resolving_local;
    }
    plan.stagger = options.happy_eyeballs_delay();
    if (plan.stagger || options.interleave() > 1) {
        plan.remote =
            interleave_families(plan.remote, static_cast<std::size_t>(options.interleave()));
    }
    co_return plan;
}

/// Aborts a transport that is not in anybody's hands yet.
class AbortUnlessMade {
public:
    explicit AbortUnlessMade(StreamTransport& transport) noexcept : transport_(&transport) {}
    AbortUnlessMade(const AbortUnlessMade&) = delete;
    AbortUnlessMade& operator=(const AbortUnlessMade&) = delete;
    ~AbortUnlessMade() {
        if (transport_) {
            transport_->abort();
        }
    }
    void dismiss() noexcept { transport_.reset(); }

private:
    Ref<StreamTransport> transport_;
};

SLUICE_INLINE Task<MadeConnection> make_connection(EventLoop& loop, ConnectionFactory factory,
                                                   Descriptor socket, SocketAddress local,
                                                   SocketAddress peer, std::optional<TlsPlan> tls,
                                                   TimeLimits limits) {
    std::unique_ptr<StreamProtocol> protocol = factory();
    if (protocol == nullptr) {
        throw std::logic_error("the protocol factory returned null");
    }
    MadeConnection made;
    made.protocol = protocol.get();
    const Ref<SocketTransport> lower =
        SocketTransport::create(loop.core(), std::move(socket), std::move(local), std::move(peer));
    Ref<StreamTransport> transport = lower;
    Ref<TlsTransport> secure;
    if (tls) {
        secure = secure_transport(loop.core(), lower, *tls);
        transport = secure;
    }
    made.transport = transport;
    // Also when the coroutine is destroyed: nobody else could ever close it.
    AbortUnlessMade guard(*transport);
    transport->note_place(limits.made_at);
    limits.apply(*transport);
    const Future<void> started = loop.create_future<void>();
    Callback on_started = [started] { started.try_set_result(); };
    if (secure) {
        secure->start(std::move(protocol), std::move(on_started));
    } else {
        lower->start(std::move(protocol), std::move(on_started));
    }
    std::exception_ptr failure;
    try {
        co_await started;
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
    guard.dismiss();
    if (secure) {
        failure = secure->handshake_error();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
    co_return made;
}

SLUICE_INLINE Task<MadeConnection> connect_by_name(EventLoop& loop, ConnectionFactory factory,
                                                   std::string host, Port port,
                                                   ConnectOptions options,
                                                   std::optional<TlsPlan> tls) {
    const std::string shown = describe(host, port);
    ConnectDeadline deadline(loop, options.timeout());
    try {
        Task<ConnectPlan> planning =
            plan_connection(loop, std::move(host), std::move(port), options, deadline);
        ConnectPlan plan = co_await planning;
        const Future<void> racing = loop.create_future<void>();
        Connector connector(loop.core(), std::move(plan), [racing] { racing.try_set_result(); });
        connector.start();
        deadline.guard(racing);
        co_await racing;
        // A handshake has a limit of its own.
        deadline.end();
        Descriptor socket = connector.take_socket();
        if (!socket) {
            throw_failures(connector.failures(), shown, options.all_errors());
        }
        static_cast<void>(sys::set_option(socket.get(), sys::SocketOption::no_delay, true));
        const SocketAddress local = sys::local_address(socket.get());
        if (tls) {
            tls->endpoint.port = connector.peer().port();
        }
        Task<MadeConnection> making =
            make_connection(loop, std::move(factory), std::move(socket), local, connector.peer(),
                            std::move(tls), options.time_limits());
        MadeConnection made = co_await making;
        co_return made;
    } catch (const Cancelled&) {
        if (!deadline.expired()) {
            throw;
        }
    }
    throw AddressError(std::make_error_code(std::errc::timed_out),
                       "connecting to " + shown + " took too long", shown);
}

SLUICE_INLINE void check_stream_socket(const Descriptor& socket, const char* method) {
    const Result<sys::SocketType> type = sys::socket_type(socket.get());
    if (!type.ok()) {
        throw std::invalid_argument(std::string(method) + "(): descriptor " +
                                    std::to_string(socket.get()) +
                                    " is not an open socket: " + type.error().message());
    }
    if (type.value() != sys::SocketType::stream) {
        throw std::invalid_argument(std::string(method) + "(): descriptor " +
                                    std::to_string(socket.get()) + " is not a stream socket");
    }
}

}  // namespace detail

SLUICE_INLINE Task<std::vector<SocketAddress>> EventLoop::getaddrinfo(std::string host, Port port,
                                                                      Family family) {
    require_open("getaddrinfo");
    if (!host.empty()) {
        detail::check_host(host, "host");
    }
    detail::sys::ResolveRequest request;
    request.host = std::move(host);
    request.family = family;
    return detail::resolve(*this, std::move(request), std::move(port), nullptr);
}

SLUICE_INLINE Task<HostAndService> EventLoop::getnameinfo(SocketAddress address, bool numeric) {
    require_open("getnameinfo");
    if (address.family() != Family::ipv4 && address.family() != Family::ipv6) {
        throw std::invalid_argument("getnameinfo(): " + address.to_string() +
                                    " is not an IP address");
    }
    return detail::name_address(*this, std::move(address), numeric);
}

SLUICE_INLINE Task<detail::MadeConnection> EventLoop::connect(detail::ConnectionFactory factory,
                                                              std::string host, Port port,
                                                              ConnectOptions options) {
    require_open("create_connection");
    detail::check_host(host, "host");
    if (options.local_host()) {
        detail::check_host(*options.local_host(), "local host");
    }
    std::optional<detail::TlsPlan> tls =
        detail::plan_tls(options.tls_parameters(), false, host, "create_connection");
    return detail::connect_by_name(*this, std::move(factory), std::move(host), std::move(port),
                                   std::move(options), std::move(tls));
}

SLUICE_INLINE Task<detail::MadeConnection> EventLoop::adopt(detail::ConnectionFactory factory,
                                                            Descriptor socket,
                                                            const detail::TlsParameters& parameters,
                                                            const char* method) {
    require_open(method);
    const bool server_side = std::string_view(method) == "connect_accepted_socket";
    std::optional<detail::TlsPlan> tls = detail::plan_tls(parameters, server_side, {}, method);
    detail::check_stream_socket(socket, method);
    detail::check_foreign(state_->core, socket.get(), method);
    if (const std::error_code error = detail::sys::set_nonblocking(socket.get())) {
        throw std::system_error(error,
                                std::string(method) + "(): cannot make the socket non-blocking");
    }
    static_cast<void>(
        detail::sys::set_option(socket.get(), detail::sys::SocketOption::no_delay, true));
    SocketAddress local = detail::sys::local_address(socket.get());
    SocketAddress peer = detail::sys::peer_address(socket.get());
    if (tls) {
        tls->endpoint.port = peer.port();
    }
    return detail::make_connection(*this, std::move(factory), std::move(socket), std::move(local),
                                   std::move(peer), std::move(tls));
}

// ---- serving ----

namespace detail {

SLUICE_INLINE AddressError bind_error(std::error_code error, const SocketAddress& address) {
    const std::string shown = address.to_string();
    return {error, "error while attempting to bind on address " + shown, shown};
}

/// A socket bound to `address`; none if the system does not have that address (a container without
/// IPv6).
SLUICE_INLINE Descriptor bind_listener(const SocketAddress& address, const ServerOptions& options) {
    const Result<int> opened = sys::open_socket(address.family(), sys::SocketType::stream);
    if (!opened.ok()) {
        if (opened.error() == std::errc::address_family_not_supported) {
            return {};
        }
        throw bind_error(opened.error(), address);
    }
    Descriptor socket(opened.value());
    std::error_code error;
    if (options.reuse_address()) {
        error = sys::set_option(socket.get(), sys::SocketOption::reuse_address, true);
    }
    if (!error && options.reuse_port()) {
        error = sys::set_option(socket.get(), sys::SocketOption::reuse_port, true);
    }
    if (!error && address.family() == Family::ipv6) {
        // Two sockets serve both families; one that takes IPv4 as well would refuse its sibling the
        // port.
        error = sys::set_option(socket.get(), sys::SocketOption::v6_only, true);
    }
    if (!error) {
        error = sys::bind(socket.get(), address);
    }
    if (error == std::errc::address_not_available) {
        return {};
    }
    if (error) {
        throw bind_error(error, address);
    }
    return socket;
}

SLUICE_INLINE std::vector<Descriptor> bind_listeners(const std::vector<SocketAddress>& addresses,
                                                     const ServerOptions& options) {
    std::vector<Descriptor> bound;
    std::string skipped;
    for (const SocketAddress& address : addresses) {
        if (Descriptor socket = bind_listener(address, options)) {
            bound.push_back(std::move(socket));
        } else {
            skipped += (skipped.empty() ? "" : ", ") + address.to_string();
        }
    }
    if (bound.empty()) {
        throw AddressError(std::make_error_code(std::errc::address_not_available),
                           "could not bind on any address out of [" + skipped + "]", skipped);
    }
    return bound;
}

SLUICE_INLINE Ref<Server> make_server(EventLoop& loop, ConnectionFactory factory,
                                      std::vector<Descriptor> bound, const ServerOptions& options,
                                      SocketFile file) {
    Ref<ServerImpl> server(new ServerImpl(loop, std::move(factory), std::move(bound), options));
    server->own_file(std::move(file));
    if (options.start_serving()) {
        try {
            server->start_serving();
        } catch (...) {
            server->close();
            throw;
        }
    }
    // Only a server that has come to be leaves its file behind.
    if (!options.cleanup_socket()) {
        server->release_file();
    }
    return server;
}

SLUICE_INLINE Task<Ref<Server>> serve_by_name(EventLoop& loop, ConnectionFactory factory,
                                              std::vector<std::string> hosts, Port port,
                                              ServerOptions options) {
    std::vector<SocketAddress> addresses;
    for (const std::string& host : hosts) {
        sys::ResolveRequest request;
        request.host = host;
        request.family = options.family();
        request.passive = true;
        Task<std::vector<SocketAddress>> resolving = resolve(loop, request, port, nullptr);
        const std::vector<SocketAddress> resolved = co_await resolving;
        for (const SocketAddress& address : resolved) {
            if (std::ranges::find(addresses, address) == addresses.end()) {
                addresses.push_back(address);
            }
        }
    }
    std::vector<Descriptor> bound = bind_listeners(addresses, options);
    Ref<Server> server = make_server(loop, std::move(factory), std::move(bound), options);
    co_return server;
}

SLUICE_INLINE Task<Ref<Server>> serve_adopted(EventLoop& loop, ConnectionFactory factory,
                                              Descriptor listening, ServerOptions options) {
    std::vector<Descriptor> bound;
    bound.push_back(std::move(listening));
    Ref<Server> server = make_server(loop, std::move(factory), std::move(bound), options);
    co_return server;
}

}  // namespace detail

namespace detail {

SLUICE_INLINE void check_server_options(const ServerOptions& options) {
    static_cast<void>(plan_tls(options.tls_parameters(), true, {}, "create_server"));
    const std::optional<ProxyProtocolOptions>& proxy = options.proxy_protocol();
    if (proxy && !proxy->trusts_everyone() && !proxy->trusts_unix_sockets() &&
        proxy->trusted().empty()) {
        throw std::invalid_argument("create_server(): proxy_protocol trusts nobody");
    }
}

}  // namespace detail

SLUICE_INLINE Task<Ref<Server>> EventLoop::serve(detail::ConnectionFactory factory,
                                                 std::vector<std::string> hosts, Port port,
                                                 ServerOptions options) {
    require_open("create_server");
    detail::check_server_options(options);
    if (hosts.empty()) {
        throw std::invalid_argument("create_server(): the list of hosts is empty");
    }
    if (options.permissions()) {
        throw std::invalid_argument("create_server(): permissions are only meaningful with a path");
    }
    for (const std::string& host : hosts) {
        if (!host.empty()) {
            detail::check_host(host, "host");
        }
    }
    return detail::serve_by_name(*this, std::move(factory), std::move(hosts), std::move(port),
                                 std::move(options));
}

SLUICE_INLINE Task<Ref<Server>> EventLoop::serve(detail::ConnectionFactory factory,
                                                 Descriptor listening, ServerOptions options) {
    require_open("create_server");
    detail::check_server_options(options);
    detail::check_stream_socket(listening, "create_server");
    detail::check_foreign(state_->core, listening.get(), "create_server");
    if (const std::error_code error = detail::sys::set_nonblocking(listening.get())) {
        throw std::system_error(error, "create_server(): cannot make the socket non-blocking");
    }
    return detail::serve_adopted(*this, std::move(factory), std::move(listening),
                                 std::move(options));
}

}  // namespace sluice::inline v0_1
