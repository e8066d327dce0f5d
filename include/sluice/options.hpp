// Arguments of create_connection and create_server: hosts, ports and options.
//
// Option types are classes with chained setters, never aggregates: GCC 12 destroys members of
// aggregate temporaries twice when they are arguments in a co_await expression.
#pragma once

#include <sluice/address.hpp>
#include <sluice/config.hpp>
#include <sluice/detail/positive.hpp>
#include <sluice/limits.hpp>
#include <sluice/proxy_protocol.hpp>
#include <sluice/tls.hpp>

#include <chrono>
#include <concepts>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1 {

/// A port number or the name of a service ("https"). Numbers outside 0 to 65535 throw
/// std::invalid_argument. 0 lets the system choose.
class Port {
public:
    Port() = default;
    /// A number. Throws std::invalid_argument outside 0 to 65535.
    template <std::integral Integer>
    Port(Integer number) : number_(static_cast<std::uint16_t>(number)) {
        if (!std::in_range<std::uint16_t>(number)) {
            refuse(std::to_string(number));
        }
    }
    ///@{
    /// Digits are a number, anything else is a service name for the resolver; empty is 0.
    SLUICE_API Port(std::string_view text);
    Port(const char* text) : Port(std::string_view(text)) {}
    Port(const std::string& text) : Port(std::string_view(text)) {}
    ///@}

    /// Nothing if it is a service name.
    [[nodiscard]] std::optional<std::uint16_t> number() const noexcept { return number_; }
    /// The name of the service; empty if it is a number.
    [[nodiscard]] const std::string& service() const noexcept { return service_; }
    /// The number or the name.
    [[nodiscard]] SLUICE_API std::string to_string() const;

private:
    [[noreturn]] static SLUICE_API void refuse(const std::string& number);

    std::optional<std::uint16_t> number_ = std::uint16_t{0};
    std::string service_;
};

class Transport;

namespace detail {

/// ServerOptions::max_connections_per_address().
struct AddressLimit {
    std::size_t most;
    unsigned ipv4_prefix;
    unsigned ipv6_prefix;
};

/// The part of several option types that is about TLS.
class TlsParameters {
public:
    std::optional<TlsContext> context;
    std::optional<std::string> server_hostname;
    std::optional<std::chrono::nanoseconds> handshake_timeout;
    std::optional<std::chrono::nanoseconds> shutdown_timeout;
};

/// Adds the setters that client and server have in common.
template <class Options>
class WithTls {
public:
    /// Speaks TLS, with a client's or a server's context as the case may be.
    Options& tls(TlsContext context) {
        tls_.context = std::move(context);
        return self();
    }
    /// Aborts when the handshake takes longer; default 60 s. Not positive: std::invalid_argument.
    Options& tls_handshake_timeout(std::chrono::nanoseconds limit) {
        tls_.handshake_timeout = positive(limit, "tls_handshake_timeout");
        return self();
    }
    /// After close(): aborts when flushing and the exchange of close_notify take longer; default 30
    /// s. Not positive: std::invalid_argument.
    Options& tls_shutdown_timeout(std::chrono::nanoseconds limit) {
        tls_.shutdown_timeout = positive(limit, "tls_shutdown_timeout");
        return self();
    }
    [[nodiscard]] const TlsParameters& tls_parameters() const noexcept { return tls_; }

protected:
    TlsParameters tls_;

private:
    Options& self() noexcept { return static_cast<Options&>(*this); }
};

/// Adds what only a client needs.
template <class Options>
class WithServerName : public WithTls<Options> {
public:
    /// The name the server's certificate must be for, and SNI; default: the host connected to.
    /// std::invalid_argument when the call that uses it finds that it can be no name.
    Options& server_hostname(std::string name) {
        this->tls_.server_hostname = std::move(name);
        return static_cast<Options&>(*this);
    }
};

}  // namespace detail

namespace detail {

/// What a connection starts with; see Transport::set_idle_timeout() and set_write_timeout().
class TimeLimits {
public:
    // Debug mode tells it of a connection that nobody closes.
    std::source_location made_at;
    std::optional<std::chrono::nanoseconds> idle;
    std::optional<std::chrono::nanoseconds> write;

    SLUICE_API void apply(Transport& transport) const;
};

/// Adds them to options.
template <class Options>
class WithTimeLimits {
public:
    /// Transport::set_idle_timeout() on every connection, before its connection_made and, with TLS,
    /// before the handshake. Not positive: std::invalid_argument.
    Options& idle_timeout(std::chrono::nanoseconds limit) {
        time_limits_.idle = positive(limit, "idle_timeout");
        return static_cast<Options&>(*this);
    }
    /// The same for Transport::set_write_timeout().
    Options& write_timeout(std::chrono::nanoseconds limit) {
        time_limits_.write = positive(limit, "write_timeout");
        return static_cast<Options&>(*this);
    }
    [[nodiscard]] const TimeLimits& time_limits() const noexcept { return time_limits_; }

protected:
    explicit WithTimeLimits(std::source_location where) noexcept { time_limits_.made_at = where; }

private:
    TimeLimits time_limits_;
};

}  // namespace detail

/// How create_connection connects. Defaults: any family, happy eyeballs after 250 ms, no time limit
/// but the system's.
class ConnectOptions : public detail::WithServerName<ConnectOptions>,
                       public detail::WithTimeLimits<ConnectOptions> {
public:
    /// `where` is where debug mode says a connection was made that nobody closes.
    ConnectOptions(std::source_location where = std::source_location::current()) noexcept
        : WithTimeLimits(where) {}

    /// Only addresses of this family.
    ConnectOptions& family(Family family) {
        family_ = family;
        return *this;
    }
    /// Binds the socket to this address before connecting. Resolved like the remote host.
    ConnectOptions& local_address(std::string host, Port port = 0) {
        local_host_ = std::move(host);
        local_port_ = std::move(port);
        return *this;
    }
    /// Starts the next address when one has not answered for this long (RFC 8305); nothing: one
    /// after the other. Negative throws std::invalid_argument.
    SLUICE_API ConnectOptions& happy_eyeballs_delay(std::optional<std::chrono::nanoseconds> delay);
    /// How many addresses of the first family are tried before the families alternate; at least 1.
    SLUICE_API ConnectOptions& interleave(int first_family_count);
    /// Throws ConnectErrors with every failure instead of one that stands for all.
    ConnectOptions& all_errors(bool on) {
        all_errors_ = on;
        return *this;
    }
    /// Gives up after this long with std::errc::timed_out: name resolution and all attempts
    /// together, not a TLS handshake, which has a limit of its own. Not positive:
    /// std::invalid_argument.
    SLUICE_API ConnectOptions& timeout(std::chrono::nanoseconds limit);

    ///@{
    /// What was set, or the default.
    [[nodiscard]] Family family() const noexcept { return family_; }
    [[nodiscard]] const std::optional<std::string>& local_host() const noexcept {
        return local_host_;
    }
    [[nodiscard]] const Port& local_port() const noexcept { return local_port_; }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> happy_eyeballs_delay() const noexcept {
        return happy_eyeballs_delay_;
    }
    [[nodiscard]] int interleave() const noexcept { return interleave_; }
    [[nodiscard]] bool all_errors() const noexcept { return all_errors_; }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> timeout() const noexcept {
        return timeout_;
    }
    ///@}

private:
    Family family_ = Family::unspecified;
    std::optional<std::string> local_host_;
    Port local_port_;
    std::optional<std::chrono::nanoseconds> happy_eyeballs_delay_ = limits::happy_eyeballs_delay;
    int interleave_ = 1;
    bool all_errors_ = false;
    std::optional<std::chrono::nanoseconds> timeout_;
};

/// How create_server listens. Defaults as asyncio's: any family, backlog 100, reuse_address,
/// accepting at once.
class ServerOptions : public detail::WithTls<ServerOptions>,
                      public detail::WithTimeLimits<ServerOptions> {
public:
    /// `where` is where debug mode says a server and its connections were made that nobody closes.
    ServerOptions(std::source_location where = std::source_location::current()) noexcept
        : WithTimeLimits(where) {}

    /// Only addresses of this family.
    ServerOptions& family(Family family) {
        family_ = family;
        return *this;
    }
    /// Connections the system queues, and how many are accepted per readiness event. Below 1:
    /// std::invalid_argument.
    SLUICE_API ServerOptions& backlog(int connections);
    /// SO_REUSEADDR: bind although old connections of the port linger.
    ServerOptions& reuse_address(bool on) {
        reuse_address_ = on;
        return *this;
    }
    /// SO_REUSEPORT: several loops or processes share the port and the system spreads connections
    /// over them.
    ServerOptions& reuse_port(bool on) {
        reuse_port_ = on;
        return *this;
    }
    /// SO_KEEPALIVE on accepted connections.
    ServerOptions& keep_alive(bool on) {
        keep_alive_ = on;
        return *this;
    }
    /// False: bound, but not listening before start_serving() or serve_forever().
    ServerOptions& start_serving(bool on) {
        start_serving_ = on;
        return *this;
    }
    /// Closes connections beyond this many at once, unread. Zero: std::invalid_argument.
    SLUICE_API ServerOptions& max_connections(std::size_t connections);
    /// create_unix_server with a path: the permissions of the socket's file, e.g. 0600; nobody else
    /// can connect at any moment. Default: as the umask leaves 0777. Beyond 0777:
    /// std::invalid_argument.
    SLUICE_API ServerOptions& permissions(unsigned mode);
    /// create_unix_server: false leaves the socket's file where it is when the server closes.
    ServerOptions& cleanup_socket(bool on) {
        cleanup_socket_ = on;
        return *this;
    }
    /// Closes connections of one network beyond this many at once, unread; they count as refused.
    /// IPv4 addresses are one network when their first `ipv4_prefix` bits are the same, IPv6
    /// addresses `ipv6_prefix`, since a single user has a /64; IPv4 addresses inside of IPv6 count as
    /// IPv4. With proxy_protocol() it is the announced address that counts. Unix sockets have none
    /// and are not limited. Zero, or a prefix that is no bit count of its family:
    /// std::invalid_argument.
    SLUICE_API ServerOptions& max_connections_per_address(std::size_t connections,
                                                          unsigned ipv4_prefix = 32,
                                                          unsigned ipv6_prefix = 64);
    /// Expects a PROXY header before anything else of a connection, TLS included.
    ServerOptions& proxy_protocol(ProxyProtocolOptions options) {
        proxy_protocol_ = std::move(options);
        return *this;
    }

    ///@{
    /// What was set, or the default.
    [[nodiscard]] Family family() const noexcept { return family_; }
    [[nodiscard]] int backlog() const noexcept { return backlog_; }
    [[nodiscard]] bool reuse_address() const noexcept { return reuse_address_; }
    [[nodiscard]] bool reuse_port() const noexcept { return reuse_port_; }
    [[nodiscard]] bool keep_alive() const noexcept { return keep_alive_; }
    [[nodiscard]] bool start_serving() const noexcept { return start_serving_; }
    [[nodiscard]] std::optional<std::size_t> max_connections() const noexcept {
        return max_connections_;
    }
    [[nodiscard]] std::optional<unsigned> permissions() const noexcept { return permissions_; }
    [[nodiscard]] bool cleanup_socket() const noexcept { return cleanup_socket_; }
    [[nodiscard]] const std::optional<detail::AddressLimit>& max_connections_per_address()
        const noexcept {
        return address_limit_;
    }
    [[nodiscard]] const std::optional<ProxyProtocolOptions>& proxy_protocol() const noexcept {
        return proxy_protocol_;
    }
    ///@}

private:
    Family family_ = Family::unspecified;
    int backlog_ = limits::listen_backlog;
    bool reuse_address_ = true;
    bool reuse_port_ = false;
    bool keep_alive_ = false;
    bool start_serving_ = true;
    std::optional<std::size_t> max_connections_;
    std::optional<unsigned> permissions_;
    bool cleanup_socket_ = true;
    std::optional<detail::AddressLimit> address_limit_;
    std::optional<ProxyProtocolOptions> proxy_protocol_;
};

/// How connect_accepted_socket serves: plainly, or with TLS and a server's context.
class AcceptOptions : public detail::WithTls<AcceptOptions> {
public:
    AcceptOptions() = default;
};

/// How start_tls upgrades. The role is the context's.
class StartTlsOptions : public detail::WithServerName<StartTlsOptions> {
public:
    StartTlsOptions() = default;

    /// Bytes from behind the plaintext that the protocol has been given already: they are the
    /// peer's first TLS bytes and go to the engine. Copied.
    StartTlsOptions& received(Bytes bytes) {
        received_.assign(bytes.begin(), bytes.end());
        return *this;
    }
    /// What was given.
    [[nodiscard]] Bytes received() const noexcept { return received_; }

private:
    // Where the context comes from is start_tls()'s argument.
    using WithTls::tls;

    std::vector<std::byte> received_;
};

namespace detail {

/// Throws std::invalid_argument, naming `argument`, for a name that can be no host: empty, too long
/// or with a NUL in it.
void check_host(std::string_view host, const char* argument);

}  // namespace detail
}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/options.ipp>
#endif
