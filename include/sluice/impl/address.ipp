// Text and value forms of socket addresses. Conversion to the system's structures is in sys.
#pragma once

#include <sluice/address.hpp>

#include <algorithm>
#include <stdexcept>

#ifdef _WIN32
#include <sluice/impl/windows_headers.ipp>

#include <afunix.h>
#else
#include <arpa/inet.h>
#include <sys/un.h>
#endif

namespace sluice::inline v0_1 {

SLUICE_INLINE SocketAddress SocketAddress::ipv4(std::array<std::uint8_t, 4> ip,
                                                std::uint16_t port) noexcept {
    SocketAddress address;
    address.family_ = Family::ipv4;
    address.port_ = port;
    std::ranges::copy(ip, address.ip_.begin());
    return address;
}

SLUICE_INLINE SocketAddress SocketAddress::ipv6(const std::array<std::uint8_t, 16>& ip,
                                                std::uint16_t port, std::uint32_t scope_id,
                                                std::uint32_t flow_info) noexcept {
    SocketAddress address;
    address.family_ = Family::ipv6;
    address.port_ = port;
    address.scope_id_ = scope_id;
    address.flow_info_ = flow_info;
    address.ip_ = ip;
    return address;
}

SLUICE_INLINE SocketAddress SocketAddress::unix_path(std::string_view path) {
    // A path ends with a NUL, which the system would add where there is room for none (unix(7)).
    const bool is_abstract = !path.empty() && path.front() == '\0';
    if (path.size() + (is_abstract ? 0 : 1) > sizeof(sockaddr_un::sun_path)) {
        throw std::invalid_argument("unix socket path of " + std::to_string(path.size()) +
                                    " characters is too long: " + std::string(path));
    }
    SocketAddress address;
    address.family_ = Family::unix_domain;
    if (!path.empty()) {
        address.path_ = std::make_shared<const std::string>(path);
    }
    return address;
}

SLUICE_INLINE bool operator==(const SocketAddress& a, const SocketAddress& b) noexcept {
    return a.family_ == b.family_ && a.port_ == b.port_ && a.scope_id_ == b.scope_id_ &&
           a.flow_info_ == b.flow_info_ && a.ip_ == b.ip_ && a.path() == b.path();
}

SLUICE_INLINE std::optional<SocketAddress> SocketAddress::parse(std::string_view ip,
                                                                std::uint16_t port) noexcept {
    char text[INET6_ADDRSTRLEN] = {};
    if (ip.size() >= sizeof text || ip.find('\0') != std::string_view::npos) {
        return {};
    }
    std::ranges::copy(ip, text);
    std::array<std::uint8_t, 16> bytes{};
    if (::inet_pton(AF_INET, text, bytes.data()) == 1) {
        return ipv4({bytes[0], bytes[1], bytes[2], bytes[3]}, port);
    }
    if (::inet_pton(AF_INET6, text, bytes.data()) == 1) {
        return ipv6(bytes, port);
    }
    return {};
}

SLUICE_INLINE std::span<const std::uint8_t> SocketAddress::ip_bytes() const noexcept {
    switch (family_) {
        case Family::ipv4:
            return {ip_.data(), 4};
        case Family::ipv6:
            return ip_;
        default:
            return {};
    }
}

SLUICE_INLINE std::string SocketAddress::host() const {
    char text[INET6_ADDRSTRLEN] = {};
    switch (family_) {
        case Family::ipv4:
            return ::inet_ntop(AF_INET, ip_.data(), text, sizeof text);
        case Family::ipv6: {
            std::string host = ::inet_ntop(AF_INET6, ip_.data(), text, sizeof text);
            return scope_id_ == 0 ? host : host + "%" + std::to_string(scope_id_);
        }
        case Family::unix_domain: {
            std::string shown(path());
            std::ranges::replace(shown, '\0', '@');
            return shown;
        }
        case Family::unspecified:
            break;
    }
    return {};
}

SLUICE_INLINE std::string SocketAddress::to_string() const {
    switch (family_) {
        case Family::ipv4:
            return host() + ":" + std::to_string(port_);
        case Family::ipv6:
            // Appending, since GCC 12 warns falsely about a literal plus a string (-Wrestrict).
            return std::string("[").append(host()).append("]:").append(std::to_string(port_));
        case Family::unix_domain:
            return path().empty() ? "(unnamed unix socket)" : host();
        case Family::unspecified:
            break;
    }
    return "(no address)";
}

SLUICE_INLINE SocketAddress SocketAddress::with_port(std::uint16_t port) const {
    SocketAddress copy = *this;
    copy.port_ = port;
    return copy;
}

}  // namespace sluice::inline v0_1
