// AddressRange: the IP addresses that begin with the same bits, "10.0.0.0/8".
#pragma once

#include <sluice/address.hpp>
#include <sluice/config.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::inline v0_1 {

/// A network, or a single address. A value.
class AddressRange {
public:
    /// "10.0.0.0/8", "fd00::/8", or an address alone. Throws std::invalid_argument for anything else,
    /// also when bits behind the prefix are set, since that is how a typing mistake looks.
    SLUICE_API explicit AddressRange(std::string_view text);
    ///@{
    /// The same.
    AddressRange(const char* text) : AddressRange(std::string_view(text)) {}
    AddressRange(const std::string& text) : AddressRange(std::string_view(text)) {}
    ///@}

    /// Is it one of them? Ports and zones do not count. An IPv4 address inside of IPv6 (RFC 4291,
    /// 2.5.5.2), as a socket for both families gives, is that IPv4 address.
    [[nodiscard]] SLUICE_API bool contains(const SocketAddress& address) const noexcept;
    /// "10.0.0.0/8".
    [[nodiscard]] SLUICE_API std::string to_string() const;

private:
    SocketAddress first_;
    unsigned prefix_ = 0;  // bits
};

namespace detail {

/// An IP address in the 16 bytes of IPv6, IPv4 as ::ffff:a.b.c.d, so that both have one form.
using AddressBytes = std::array<std::uint8_t, 16>;
/// Zeros for what is no IP address.
AddressBytes address_bytes(const SocketAddress& address) noexcept;
bool is_ipv4(const AddressBytes& bytes) noexcept;
/// The same with zeros behind the first `prefix` bits of the 128.
AddressBytes masked(AddressBytes bytes, unsigned prefix) noexcept;
/// Where the 32 bits of IPv4 begin.
inline constexpr unsigned ipv4_offset_bits = 96;

}  // namespace detail
}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/address_range.ipp>
#endif
