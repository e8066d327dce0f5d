// Reading networks and comparing addresses by their first bits.
#pragma once

#include <sluice/address_range.hpp>

#include <algorithm>
#include <optional>
#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

inline constexpr std::array<std::uint8_t, 12> ipv4_in_ipv6 = {0, 0, 0, 0, 0,    0,
                                                              0, 0, 0, 0, 0xff, 0xff};

SLUICE_INLINE AddressBytes address_bytes(const SocketAddress& address) noexcept {
    AddressBytes bytes{};
    if (address.family() == Family::ipv4) {
        std::ranges::copy(address.ip_bytes(), std::ranges::copy(ipv4_in_ipv6, bytes.begin()).out);
    } else {
        std::ranges::copy(address.ip_bytes(), bytes.begin());
    }
    return bytes;
}

SLUICE_INLINE bool is_ipv4(const AddressBytes& bytes) noexcept {
    return std::equal(ipv4_in_ipv6.begin(), ipv4_in_ipv6.end(), bytes.begin());
}

SLUICE_INLINE AddressBytes masked(AddressBytes bytes, unsigned prefix) noexcept {
    for (unsigned index = 0; index < bytes.size(); ++index) {
        const unsigned kept = std::clamp(prefix, index * 8, index * 8 + 8) - index * 8;
        bytes[index] = static_cast<std::uint8_t>(bytes[index] & (0xff00U >> kept));
    }
    return bytes;
}

}  // namespace detail

SLUICE_INLINE AddressRange::AddressRange(std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::optional<SocketAddress> address = SocketAddress::parse(text.substr(0, slash), 0);
    if (!address) {
        throw std::invalid_argument("address range '" + std::string(text) +
                                    "' does not begin with an IP address");
    }
    const bool is_ipv4 = address->family() == Family::ipv4;
    const unsigned bits = is_ipv4 ? 32 : 128;
    unsigned prefix = bits;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        const bool number =
            !digits.empty() && digits.size() <= 3 && (digits == "0" || digits.front() != '0') &&
            std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
        prefix = 0;
        for (const char digit : number ? digits : std::string_view()) {
            prefix = prefix * 10 + static_cast<unsigned>(digit - '0');
        }
        if (!number || prefix > bits) {
            throw std::invalid_argument("address range '" + std::string(text) +
                                        "': the prefix is no number from 0 to " +
                                        std::to_string(bits));
        }
    }
    first_ = *address;
    prefix_ = prefix + (is_ipv4 ? detail::ipv4_offset_bits : 0);
    const detail::AddressBytes bytes = detail::address_bytes(first_);
    if (detail::masked(bytes, prefix_) != bytes) {
        throw std::invalid_argument("address range '" + std::string(text) +
                                    "' has bits set behind its prefix");
    }
}

SLUICE_INLINE bool AddressRange::contains(const SocketAddress& address) const noexcept {
    if (address.ip_bytes().empty()) {
        return false;
    }
    const detail::AddressBytes bytes = detail::address_bytes(address);
    // "::/0" means every IPv6 address and no IPv4 one, however that is written.
    return detail::is_ipv4(bytes) == detail::is_ipv4(detail::address_bytes(first_)) &&
           detail::masked(bytes, prefix_) == detail::address_bytes(first_);
}

SLUICE_INLINE std::string AddressRange::to_string() const {
    const bool is_ipv4 = first_.family() == Family::ipv4;
    return first_.host() + "/" + std::to_string(prefix_ - (is_ipv4 ? detail::ipv4_offset_bits : 0));
}

}  // namespace sluice::inline v0_1
