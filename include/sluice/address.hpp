// SocketAddress: an IPv4, IPv6 or Unix-domain address as a value, without any platform header.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::inline v0_1 {

/// What kind of address; `unspecified` is none, or any where one is asked for.
enum class Family : std::uint8_t { unspecified, ipv4, ipv6, unix_domain };

/// An address of a socket: IPv4, IPv6 or a Unix path, or none. A value: copying it costs no allocation.
class SocketAddress {
public:
    /// No address; `family()` is unspecified. Also what getpeername gives for a peer that is
    /// already gone.
    SocketAddress() noexcept = default;

    /// An address of four bytes in network order.
    SLUICE_API static SocketAddress ipv4(std::array<std::uint8_t, 4> ip,
                                         std::uint16_t port) noexcept;
    /// An address of sixteen bytes in network order.
    SLUICE_API static SocketAddress ipv6(const std::array<std::uint8_t, 16>& ip, std::uint16_t port,
                                         std::uint32_t scope_id = 0,
                                         std::uint32_t flow_info = 0) noexcept;
    /// A path, or an abstract name when the first character is NUL. At most 107 characters, with
    /// that NUL 108 (unix(7)); longer: std::invalid_argument.
    SLUICE_API static SocketAddress unix_path(std::string_view path);
    /// A literal IPv4 or IPv6 address, as "127.0.0.1" or "::1"; a zone ("fe80::1%eth0") is not a
    /// literal here, since it needs the system to resolve it. Nothing for anything else.
    SLUICE_API static std::optional<SocketAddress> parse(std::string_view ip,
                                                         std::uint16_t port) noexcept;

    /// The kind of address.
    [[nodiscard]] Family family() const noexcept { return family_; }
    /// False for no address.
    explicit operator bool() const noexcept { return family_ != Family::unspecified; }
    /// The port; 0 for Unix addresses.
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// The zone of an IPv6 address as the system numbers it; 0 for none.
    [[nodiscard]] std::uint32_t scope_id() const noexcept { return scope_id_; }
    /// The flow label of an IPv6 address (RFC 6437); 0 for none.
    [[nodiscard]] std::uint32_t flow_info() const noexcept { return flow_info_; }
    /// The 4 or 16 bytes of an IP address, in network order; empty for others.
    [[nodiscard]] SLUICE_API std::span<const std::uint8_t> ip_bytes() const noexcept;
    /// The path of a Unix address; starts with NUL when it is abstract; empty when the socket has
    /// no name.
    [[nodiscard]] std::string_view path() const noexcept {
        return path_ == nullptr ? std::string_view() : std::string_view(*path_);
    }

    /// The numeric host, without port ("127.0.0.1", "fe80::1%2"), or the Unix path with a leading
    /// NUL shown as '@'.
    [[nodiscard]] SLUICE_API std::string host() const;
    /// "127.0.0.1:80", "[::1]:80", a path, or "(no address)".
    [[nodiscard]] SLUICE_API std::string to_string() const;
    /// The same address with another port.
    [[nodiscard]] SLUICE_API SocketAddress with_port(std::uint16_t port) const;

    SLUICE_API friend bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept;

private:
    Family family_ = Family::unspecified;
    std::uint16_t port_ = 0;
    std::uint32_t scope_id_ = 0;
    std::uint32_t flow_info_ = 0;
    std::array<std::uint8_t, 16> ip_{};
    // Shared, so that an IP address, of which every connection has two, does not pay for a string.
    std::shared_ptr<const std::string> path_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/address.ipp>
#endif
