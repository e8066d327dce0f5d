// EventLoop: what the TLS options of a call mean, and start_tls.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/tls_transport.hpp>
#include <sluice/event_loop.hpp>

#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_INLINE std::optional<TlsPlan> plan_tls(const TlsParameters& parameters, bool server_side,
                                              const std::string& host, const char* method) {
    const std::string call = std::string(method) + "(): ";
    if (!parameters.context) {
        if (parameters.server_hostname) {
            throw std::invalid_argument(call + "server_hostname '" + *parameters.server_hostname +
                                        "' is only meaningful with tls");
        }
        if (parameters.handshake_timeout || parameters.shutdown_timeout) {
            throw std::invalid_argument(call + "a TLS timeout is only meaningful with tls");
        }
        return {};
    }
    if (parameters.context->is_server() != server_side) {
        throw std::invalid_argument(call + (server_side
                                                ? "needs a server's TlsContext, not a client's"
                                                : "needs a client's TlsContext, not a server's"));
    }
    TlsEndpoint endpoint;
    endpoint.server_side = server_side;
    if (!server_side) {
        endpoint.host = parameters.server_hostname.value_or(host);
        check_server_name(endpoint.host, method);
    }
    return TlsPlan{*parameters.context, std::move(endpoint),
                   parameters.handshake_timeout.value_or(limits::tls_handshake_time),
                   parameters.shutdown_timeout.value_or(limits::tls_shutdown_time)};
}

SLUICE_INLINE Ref<TlsTransport> secure_transport(LoopCore& core, const Ref<Transport>& lower,
                                                 const TlsPlan& plan) {
    try {
        return TlsTransport::create(core, lower, plan);
    } catch (...) {
        lower->abort();
        throw;
    }
}

inline void check_not_upgraded(const Transport& transport) {
    if (dynamic_cast<LowerProtocol*>(transport.get_protocol()) != nullptr) {
        throw std::logic_error("start_tls(): the transport carries a TLS transport already");
    }
}

SLUICE_INLINE Task<Ref<Transport>> upgrade_to_tls(EventLoop& loop, Ref<Transport> lower,
                                                  TlsPlan plan, StartTlsOptions options) {
    if (lower->is_closing()) {
        throw std::system_error(std::make_error_code(std::errc::connection_aborted),
                                "start_tls(): the connection was closed meanwhile");
    }
    check_not_upgraded(*lower);
    const Ref<TlsTransport> transport = secure_transport(loop.core(), lower, plan);
    const Future<void> started = loop.create_future<void>();
    transport->upgrade(options.received(), [started] { started.try_set_result(); });
    std::exception_ptr failure;
    try {
        co_await started;
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        transport->abort();
    } else {
        failure = transport->handshake_error();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
    co_return Ref<Transport>(transport);
}

}  // namespace detail

SLUICE_INLINE Task<Ref<Transport>> EventLoop::start_tls(Ref<Transport> transport,
                                                        TlsContext context,
                                                        StartTlsOptions options) {
    require_open("start_tls");
    if (!transport) {
        throw std::invalid_argument("start_tls(): transport is null");
    }
    if (transport->is_closing()) {
        throw std::logic_error("start_tls(): the transport is closing");
    }
    detail::check_not_upgraded(*transport);
    detail::TlsParameters parameters = options.tls_parameters();
    parameters.context = std::move(context);
    std::optional<detail::TlsPlan> plan =
        detail::plan_tls(parameters, parameters.context->is_server(), {}, "start_tls");
    // From here on what arrives is the peer's TLS, even before the task first runs.
    transport->pause_reading();
    return detail::upgrade_to_tls(*this, std::move(transport), *std::move(plan),
                                  std::move(options));
}

}  // namespace sluice::inline v0_1
