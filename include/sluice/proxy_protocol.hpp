// The PROXY protocol, versions 1 and 2: what a load balancer says of a client before the client's
// own bytes, and which load balancers are believed.
//
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
#pragma once

#include <sluice/address.hpp>
#include <sluice/address_range.hpp>
#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

namespace detail {
class ProxyHeaderData;
}

/// How a server expects PROXY headers; see ServerOptions::proxy_protocol(). Whoever is believed can
/// claim any address, so somebody has to be named: create_server() throws std::invalid_argument
/// otherwise.
///
/// A connection whose header is malformed, longer than max_header_bytes() or not complete within
/// timeout() is closed and counted in ServerCounters::proxy_rejected; nobody is told of it. Its
/// protocol never exists.
class ProxyProtocolOptions {
public:
    ProxyProtocolOptions() = default;

    /// Believes headers from these addresses: the load balancers' own.
    ProxyProtocolOptions& trust(AddressRange range) {
        trusted_.push_back(std::move(range));
        return *this;
    }
    /// Believes headers over Unix sockets: whoever may connect there is known to the file system.
    ProxyProtocolOptions& trust_unix_sockets(bool on = true) {
        trusts_unix_ = on;
        return *this;
    }
    /// Believes headers from anywhere: only where a firewall lets nobody but load balancers connect.
    ProxyProtocolOptions& trust_everyone(bool on = true) {
        trusts_everyone_ = on;
        return *this;
    }
    /// May a trusted source connect without a header? False, the default: no, and without one its
    /// connection is closed. True: a connection of a trusted source that begins with something else
    /// is served as it is, and so is one that has said nothing, or less than tells, when timeout() is
    /// over. The specification advises against that, since it lets clients speak for the proxy where
    /// the proxy itself sends no header.
    ProxyProtocolOptions& optional(bool on) {
        optional_ = on;
        return *this;
    }
    /// Are connections from sources that are not trusted served? They are closed unread by default,
    /// since clients are to come by way of the proxy; with `on` they are served as they are: what
    /// looks like a header is then part of what the protocol gets.
    ProxyProtocolOptions& serve_untrusted(bool on) {
        serves_untrusted_ = on;
        return *this;
    }
    /// Time for the whole header, from accepting on; default 5 s. Not positive:
    /// std::invalid_argument.
    SLUICE_API ProxyProtocolOptions& timeout(std::chrono::nanoseconds limit);
    /// The longest header, in bytes: 232 to 65551, default 4096. Others: std::invalid_argument.
    SLUICE_API ProxyProtocolOptions& max_header_bytes(std::size_t bytes);

    ///@{
    /// What was set, or the default.
    [[nodiscard]] const std::vector<AddressRange>& trusted() const noexcept { return trusted_; }
    [[nodiscard]] bool trusts_unix_sockets() const noexcept { return trusts_unix_; }
    [[nodiscard]] bool trusts_everyone() const noexcept { return trusts_everyone_; }
    [[nodiscard]] bool optional() const noexcept { return optional_; }
    [[nodiscard]] bool serves_untrusted() const noexcept { return serves_untrusted_; }
    [[nodiscard]] std::chrono::nanoseconds timeout() const noexcept { return timeout_; }
    [[nodiscard]] std::size_t max_header_bytes() const noexcept { return max_header_bytes_; }
    ///@}
    /// Is this peer believed?
    [[nodiscard]] SLUICE_API bool trusts(const SocketAddress& peer) const noexcept;

private:
    std::vector<AddressRange> trusted_;
    bool trusts_unix_ = false;
    bool trusts_everyone_ = false;
    bool optional_ = false;
    bool serves_untrusted_ = false;
    std::chrono::nanoseconds timeout_ = limits::proxy_header_time;
    std::size_t max_header_bytes_ = limits::proxy_header_bytes;
};

/// One of the additions to a header of version 2, as it was sent.
struct ProxyAddition {
    std::uint8_t type;  ///< PP2_TYPE_* of the specification, such as 0x02 for the authority.
    Bytes value;        ///< Lives as long as the ProxyHeader, or a copy of it.
};

/// get_extra_info(extra::proxy) of a transport: what its PROXY header said. A value; copies share
/// their content. Where there was a header, `peername` and `sockname` are what it announced, if it
/// announced anything.
class SLUICE_API ProxyHeader {
public:
    /// No header.
    ProxyHeader() noexcept = default;
    /// @cond internal
    explicit ProxyHeader(std::shared_ptr<const detail::ProxyHeaderData> data) noexcept
        : data_(std::move(data)) {}
    /// @endcond

    /// Was there a header?
    explicit operator bool() const noexcept { return data_ != nullptr; }
    /// 1 or 2; 0 without a header.
    [[nodiscard]] int version() const noexcept;
    /// The proxy speaks for itself, with a health check for instance (command LOCAL of version 2).
    [[nodiscard]] bool is_local() const noexcept;
    /// What it announces is said to be a datagram service (UDP).
    [[nodiscard]] bool is_datagram() const noexcept;

    ///@{
    /// The client and what it connected to, as announced; no address where the header announced none
    /// (LOCAL, UNKNOWN, UNSPEC).
    [[nodiscard]] SocketAddress source() const noexcept;
    [[nodiscard]] SocketAddress destination() const noexcept;
    ///@}
    ///@{
    /// Whom we are really connected with, the proxy, and our own end of that.
    [[nodiscard]] SocketAddress real_peer() const noexcept;
    [[nodiscard]] SocketAddress real_local() const noexcept;
    ///@}

    /// The additions (TLVs) of version 2 in their order, padding and checksum left out.
    [[nodiscard]] std::vector<ProxyAddition> additions() const;
    /// The first addition of this type.
    [[nodiscard]] std::optional<Bytes> addition(std::uint8_t type) const noexcept;
    /// PP2_TYPE_ALPN: the protocol that TLS agreed on at the proxy. Views live as additions do.
    [[nodiscard]] std::optional<std::string_view> alpn() const noexcept;
    /// PP2_TYPE_AUTHORITY: the host name the client asked for (SNI).
    [[nodiscard]] std::optional<std::string_view> authority() const noexcept;
    /// PP2_TYPE_UNIQUE_ID: what the proxy calls the connection, at most 128 bytes.
    [[nodiscard]] std::optional<Bytes> unique_id() const noexcept;
    /// PP2_TYPE_SSL as it was sent: a byte of flags, four of the verification's result, additions of
    /// its own. Their structure was checked.
    [[nodiscard]] std::optional<Bytes> tls() const noexcept;
    /// Did it carry a checksum (CRC32c)? A wrong one is never accepted.
    [[nodiscard]] bool has_checksum() const noexcept;

private:
    std::shared_ptr<const detail::ProxyHeaderData> data_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/proxy_protocol.ipp>
#endif
