// Arguments of create_connection and create_server: hosts, ports and options.
//
// Option types are classes with chained setters, never aggregates: GCC 12 destroys members of
// aggregate temporaries twice when they are arguments in a co_await expression.
#pragma once

#include <sluice/address.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <chrono>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1 {

/// A port number or the name of a service ("https"). Numbers outside 0 to 65535 throw
/// std::invalid_argument. 0 lets the system choose.
class Port {
public:
    Port() = default;
    template <std::integral Integer>
    Port(Integer number) : number_(static_cast<std::uint16_t>(number)) {
        if (!std::in_range<std::uint16_t>(number)) {
            refuse(std::to_string(number));
        }
    }
    /// Digits are a number, anything else is a service name for the resolver; empty is 0.
    SLUICE_API Port(std::string_view text);
    Port(const char* text) : Port(std::string_view(text)) {}
    Port(const std::string& text) : Port(std::string_view(text)) {}

    /// Nothing if it is a service name.
    [[nodiscard]] std::optional<std::uint16_t> number() const noexcept { return number_; }
    [[nodiscard]] const std::string& service() const noexcept { return service_; }
    [[nodiscard]] SLUICE_API std::string to_string() const;

private:
    [[noreturn]] static SLUICE_API void refuse(const std::string& number);

    std::optional<std::uint16_t> number_ = std::uint16_t{0};
    std::string service_;
};

/// How create_connection connects. Defaults: any family, happy eyeballs after 250 ms, no time limit
/// but the system's.
class ConnectOptions {
public:
    ConnectOptions() = default;

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
    /// together. Not positive: std::invalid_argument.
    SLUICE_API ConnectOptions& timeout(std::chrono::nanoseconds limit);

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
class ServerOptions {
public:
    ServerOptions() = default;

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

    [[nodiscard]] Family family() const noexcept { return family_; }
    [[nodiscard]] int backlog() const noexcept { return backlog_; }
    [[nodiscard]] bool reuse_address() const noexcept { return reuse_address_; }
    [[nodiscard]] bool reuse_port() const noexcept { return reuse_port_; }
    [[nodiscard]] bool keep_alive() const noexcept { return keep_alive_; }
    [[nodiscard]] bool start_serving() const noexcept { return start_serving_; }
    [[nodiscard]] std::optional<std::size_t> max_connections() const noexcept {
        return max_connections_;
    }

private:
    Family family_ = Family::unspecified;
    int backlog_ = limits::listen_backlog;
    bool reuse_address_ = true;
    bool reuse_port_ = false;
    bool keep_alive_ = false;
    bool start_serving_ = true;
    std::optional<std::size_t> max_connections_;
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
