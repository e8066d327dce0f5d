// DatagramOptions: where a datagram endpoint is bound, whom it talks to and how.
//
// A class with chained setters like the other options (options.hpp), and for the same reason.
#pragma once

#include <sluice/address.hpp>
#include <sluice/config.hpp>
#include <sluice/limits.hpp>
#include <sluice/options.hpp>

#include <cstddef>
#include <optional>
#include <source_location>
#include <string>
#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

/// A host to resolve, or an address that needs no resolving.
class EndpointName {
public:
    std::string host;
    Port port;
    SocketAddress address;  // used instead of the host if there is one

    [[nodiscard]] std::string to_string() const {
        return address ? address.to_string() : (host.empty() ? "*" : host) + ":" + port.to_string();
    }
};

}  // namespace detail

/// How create_datagram_endpoint opens its socket. Defaults as asyncio's: no address, any family,
/// nothing shared; and what asyncio has not: many datagrams in one system call.
class DatagramOptions {
public:
    /// `where` is where debug mode says an endpoint was made that nobody closes.
    DatagramOptions(std::source_location where = std::source_location::current()) noexcept
        : made_at_(where) {}

    /// Binds to this host and port; an empty host is every interface, port 0 lets the system choose.
    DatagramOptions& local_address(std::string host, Port port) {
        local_ = {std::move(host), std::move(port), {}};
        return *this;
    }
    /// Binds to this address, which may be a Unix one: then a socket that lies there from earlier
    /// is removed first, anything else is not.
    DatagramOptions& local_address(SocketAddress address) {
        local_ = {{}, {}, std::move(address)};
        return *this;
    }
    /// Connects to this host and port: sendto() needs no address, nobody else's datagrams arrive,
    /// and error_received tells when nobody listens there. With allow_broadcast it is only where
    /// sendto() sends to, since answers to a broadcast come from other addresses.
    DatagramOptions& remote_address(std::string host, Port port) {
        remote_ = {std::move(host), std::move(port), {}};
        return *this;
    }
    /// The same with an address.
    DatagramOptions& remote_address(SocketAddress address) {
        remote_ = {{}, {}, std::move(address)};
        return *this;
    }
    /// Only addresses of this family. Needed when there is neither a local nor a remote address.
    DatagramOptions& family(Family family) {
        family_ = family;
        return *this;
    }
    /// SO_REUSEPORT: several loops or processes share the port and the system spreads senders over
    /// them.
    DatagramOptions& reuse_port(bool on) {
        reuse_port_ = on;
        return *this;
    }
    /// SO_BROADCAST: may send to broadcast addresses.
    DatagramOptions& allow_broadcast(bool on) {
        allow_broadcast_ = on;
        return *this;
    }
    /// IPV6_V6ONLY: whether a socket bound to "::" takes IPv4, too, whose senders are then shown as
    /// "::ffff:1.2.3.4". Unset: what the system does, on Linux usually that.
    DatagramOptions& v6_only(bool on) {
        v6_only_ = on;
        return *this;
    }

    /// The longest datagram that is received whole; what is longer is cut, see Datagram::truncated.
    /// Default: 64 KiB, of Unix sockets 256 KiB; with gro at least 64 KiB. 0 or more than limits::datagram_area_bytes:
    /// std::invalid_argument.
    SLUICE_API DatagramOptions& datagram_size(std::size_t bytes);
    /// How many datagrams one system call receives or sends at most: 1 to limits::datagram_batch
    /// (the default), else std::invalid_argument. With 1 those of recvmmsg(2) are not used.
    SLUICE_API DatagramOptions& batch(std::size_t datagrams);
    /// UDP_GRO: has the system join datagrams of one sender and one size on their way up, and the
    /// library part them again. Where it cannot, nothing changes (extra::gro tells).
    DatagramOptions& gro(bool on) {
        gro_ = on;
        return *this;
    }
    /// UDP_SEGMENT: hands gathered datagrams of one size for one address to the system as one, which
    /// costs it a fraction. They leave the machine as if sent one by one. Where the system cannot,
    /// they are sent one by one (extra::gso tells). Default: on.
    DatagramOptions& gso(bool on) {
        gso_ = on;
        return *this;
    }
    /// Fills Datagram::ecn.
    DatagramOptions& receive_ecn(bool on) {
        receive_ecn_ = on;
        return *this;
    }
    /// Fills Datagram::ttl.
    DatagramOptions& receive_ttl(bool on) {
        receive_ttl_ = on;
        return *this;
    }
    /// The time to live (IPv4) or hop limit (IPv6) of what is sent: 1 to 255, else
    /// std::invalid_argument.
    SLUICE_API DatagramOptions& ttl(int hops);
    /// The same of what is sent to multicast groups, 0 to 255; the system's default is 1: nothing
    /// passes a router.
    SLUICE_API DatagramOptions& multicast_ttl(int hops);
    /// Whether members on this machine get what is sent to a group; the system's default is yes.
    DatagramOptions& multicast_loop(bool on) {
        multicast_loop_ = on;
        return *this;
    }
    /// The interface, by index (if_nametoindex(3)), over which multicast is sent.
    DatagramOptions& multicast_interface(unsigned index) {
        multicast_interface_ = index;
        return *this;
    }

    ///@{
    /// What was set, or the default.
    [[nodiscard]] const std::optional<detail::EndpointName>& local() const noexcept {
        return local_;
    }
    [[nodiscard]] const std::optional<detail::EndpointName>& remote() const noexcept {
        return remote_;
    }
    [[nodiscard]] Family family() const noexcept { return family_; }
    [[nodiscard]] bool reuse_port() const noexcept { return reuse_port_; }
    [[nodiscard]] bool allow_broadcast() const noexcept { return allow_broadcast_; }
    [[nodiscard]] std::optional<bool> v6_only() const noexcept { return v6_only_; }
    [[nodiscard]] std::optional<std::size_t> datagram_size() const noexcept {
        return datagram_size_;
    }
    [[nodiscard]] std::size_t batch() const noexcept { return batch_; }
    [[nodiscard]] std::source_location made_at() const noexcept { return made_at_; }
    [[nodiscard]] bool gro() const noexcept { return gro_; }
    [[nodiscard]] bool gso() const noexcept { return gso_; }
    [[nodiscard]] bool receive_ecn() const noexcept { return receive_ecn_; }
    [[nodiscard]] bool receive_ttl() const noexcept { return receive_ttl_; }
    [[nodiscard]] std::optional<int> ttl() const noexcept { return ttl_; }
    [[nodiscard]] std::optional<int> multicast_ttl() const noexcept { return multicast_ttl_; }
    [[nodiscard]] std::optional<bool> multicast_loop() const noexcept { return multicast_loop_; }
    [[nodiscard]] std::optional<unsigned> multicast_interface() const noexcept {
        return multicast_interface_;
    }
    ///@}

private:
    std::optional<detail::EndpointName> local_;
    std::optional<detail::EndpointName> remote_;
    Family family_ = Family::unspecified;
    bool reuse_port_ = false;
    bool allow_broadcast_ = false;
    bool gro_ = false;
    bool gso_ = true;
    bool receive_ecn_ = false;
    bool receive_ttl_ = false;
    std::optional<bool> v6_only_;
    std::optional<bool> multicast_loop_;
    std::optional<unsigned> multicast_interface_;
    std::optional<int> ttl_;
    std::optional<int> multicast_ttl_;
    std::optional<std::size_t> datagram_size_;
    std::size_t batch_ = limits::datagram_batch;
    std::source_location made_at_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/datagram_options.ipp>
#endif
