// EventLoop: connecting to paths and serving on them.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/make_connection.hpp>
#include <sluice/detail/socket_file.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/unix_sockets.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

/// The address of `path`. Throws std::invalid_argument, naming `method`, if there can be none.
SLUICE_INLINE SocketAddress unix_address(const std::string& path, const char* method) {
    const std::string call = std::string(method) + "(): ";
    if (path.empty()) {
        throw std::invalid_argument(call +
                                    "path is empty (an abstract name needs its length: "
                                    "std::string(\"\\0name\", 5))");
    }
    if (path.front() != '\0' && path.find('\0') != std::string::npos) {
        throw std::invalid_argument(call + "path '" + path.substr(0, path.find('\0')) +
                                    "...' contains a NUL character");
    }
    try {
        return SocketAddress::unix_path(path);
    } catch (const std::invalid_argument& error) {
        throw std::invalid_argument(call + error.what());
    }
}

SLUICE_INLINE void refuse_ip_option(bool set, const char* option, const char* method) {
    if (set) {
        throw std::invalid_argument(std::string(method) + "(): " + option +
                                    " is only meaningful with IP addresses");
    }
}

SLUICE_INLINE void check_unix_family(Family family, const char* method) {
    refuse_ip_option(family != Family::unspecified && family != Family::unix_domain, "family",
                     method);
}

// ---- connecting ----

/// Ends a pause, also one that is cancelled.
class Pause {
public:
    Pause(EventLoop& loop, Duration duration)
        : over(loop.create_future<void>()),
          timer_(loop.call_later(duration, [over = over] { over.try_set_result(); })) {}
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
    ~Pause() { timer_.cancel(); }

    const Future<void> over;

private:
    TimerHandle timer_;
};

SLUICE_INLINE bool backlog_is_full(const std::vector<AttemptFailure>& failures) noexcept {
    return !failures.empty() && failures.back().error == std::errc::resource_unavailable_try_again;
}

SLUICE_INLINE Task<MadeConnection> connect_to_path(EventLoop& loop, ConnectionFactory factory,
                                                   SocketAddress address, ConnectOptions options,
                                                   std::optional<TlsPlan> tls) {
    const std::string shown = address.to_string();
    ConnectDeadline deadline(loop, options.timeout().value_or(limits::unix_connect_time));
    Duration pause_duration = limits::unix_connect_pause_min;
    bool refused = false;
    try {
        for (;;) {
            ConnectPlan plan;
            plan.remote.push_back(address);
            const Future<void> connecting = loop.create_future<void>();
            Connector connector(loop.core(), std::move(plan),
                                [connecting] { connecting.try_set_result(); });
            connector.start();
            deadline.guard(connecting);
            co_await connecting;
            Descriptor socket = connector.take_socket();
            if (socket) {
                // A handshake has a limit of its own.
                deadline.end();
                const SocketAddress local = sys::local_address(socket.get());
                Task<MadeConnection> making =
                    make_connection(loop, std::move(factory), std::move(socket), local, address,
                                    std::move(tls), options.time_limits());
                MadeConnection made = co_await making;
                co_return made;
            }
            refused = backlog_is_full(connector.failures());
            if (!refused) {
                throw_failures(connector.failures(), shown, options.all_errors());
            }
            Pause pause(loop, pause_duration);
            deadline.guard(pause.over);
            co_await pause.over;
            pause_duration = std::min<Duration>(pause_duration * 2, limits::unix_connect_pause_max);
        }
    } catch (const Cancelled&) {
        if (!deadline.expired()) {
            throw;
        }
    }
    throw AddressError(std::make_error_code(std::errc::timed_out),
                       "connecting to " + shown + " took too long" +
                           (refused ? ", the server's backlog is full" : ""),
                       shown);
}

// ---- serving ----

SLUICE_INLINE Task<Ref<Server>> serve_on_path(EventLoop& loop, ConnectionFactory factory,
                                              SocketAddress address, ServerOptions options) {
    // Between bind(2) and the SocketFile that owns the result nothing may fail.
    std::string path(address.path());
    std::vector<Descriptor> bound(1);
    bound.front() = bind_unix_socket(address, options.permissions());
    SocketFile file;
    if (!is_abstract(address)) {
        file = SocketFile(std::move(path));
    }
    Ref<Server> server =
        make_server(loop, std::move(factory), std::move(bound), options, std::move(file));
    co_return server;
}

SLUICE_INLINE Task<Ref<Server>> serve_on_unix_socket(EventLoop& loop, ConnectionFactory factory,
                                                     Descriptor listening, ServerOptions options) {
    const SocketAddress address = sys::local_address(listening.get());
    SocketFile file;
    if (options.cleanup_socket() && !is_abstract(address)) {
        file = SocketFile(std::string(address.path()));
    }
    std::vector<Descriptor> bound;
    bound.push_back(std::move(listening));
    Ref<Server> server =
        make_server(loop, std::move(factory), std::move(bound), options, std::move(file));
    co_return server;
}

SLUICE_INLINE void check_unix_server(const ServerOptions& options) {
    static_cast<void>(plan_tls(options.tls_parameters(), true, {}, "create_unix_server"));
    check_unix_family(options.family(), "create_unix_server");
    refuse_ip_option(options.reuse_port(), "reuse_port", "create_unix_server");
}

}  // namespace detail

SLUICE_INLINE Task<detail::MadeConnection> UnixSockets::connect_unix(
    detail::ConnectionFactory factory, const std::string& path, ConnectOptions options) {
    constexpr const char* method = "create_unix_connection";
    auto& loop = static_cast<EventLoop&>(*this);
    loop.require_open(method);
    SocketAddress address = detail::unix_address(path, method);
    detail::check_unix_family(options.family(), method);
    detail::refuse_ip_option(options.local_host().has_value(), "local_address", method);
    std::optional<detail::TlsPlan> tls =
        detail::plan_tls(options.tls_parameters(), false, {}, method);
    return detail::connect_to_path(loop, std::move(factory), std::move(address), std::move(options),
                                   std::move(tls));
}

SLUICE_INLINE Task<Ref<Server>> UnixSockets::serve_unix(detail::ConnectionFactory factory,
                                                        const std::string& path,
                                                        ServerOptions options) {
    constexpr const char* method = "create_unix_server";
    auto& loop = static_cast<EventLoop&>(*this);
    loop.require_open(method);
    SocketAddress address = detail::unix_address(path, method);
    detail::check_unix_server(options);
    if (options.permissions() && detail::is_abstract(address)) {
        throw std::invalid_argument("create_unix_server(): the abstract name " +
                                    address.to_string() + " has no permissions");
    }
    return detail::serve_on_path(loop, std::move(factory), std::move(address), std::move(options));
}

SLUICE_INLINE Task<Ref<Server>> UnixSockets::serve_unix(detail::ConnectionFactory factory,
                                                        Descriptor listening,
                                                        ServerOptions options) {
    constexpr const char* method = "create_unix_server";
    auto& loop = static_cast<EventLoop&>(*this);
    loop.require_open(method);
    detail::check_unix_server(options);
    detail::check_stream_socket(listening, method);
    if (detail::sys::local_address(listening.get()).family() != Family::unix_domain) {
        throw std::invalid_argument("create_unix_server(): descriptor " +
                                    std::to_string(listening.get()) + " is not a Unix socket");
    }
    if (options.permissions()) {
        throw std::invalid_argument(
            "create_unix_server(): permissions are only meaningful with a path");
    }
    detail::check_foreign(loop.core(), listening.get(), method);
    if (const std::error_code error = detail::sys::set_nonblocking(listening.get())) {
        throw std::system_error(error, "create_unix_server(): cannot make the socket non-blocking");
    }
    return detail::serve_on_unix_socket(loop, std::move(factory), std::move(listening),
                                        std::move(options));
}

}  // namespace sluice::inline v0_1
