// The public face of PROXY headers: options and what is asked of a header.
#pragma once

#include <sluice/detail/positive.hpp>
#include <sluice/detail/proxy_header.hpp>
#include <sluice/proxy_protocol.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

SLUICE_INLINE ProxyProtocolOptions& ProxyProtocolOptions::timeout(std::chrono::nanoseconds limit) {
    timeout_ = detail::positive(limit, "timeout of the PROXY header");
    return *this;
}

SLUICE_INLINE ProxyProtocolOptions& ProxyProtocolOptions::max_header_bytes(std::size_t bytes) {
    if (bytes < limits::proxy_header_min_bytes || bytes > limits::proxy_header_max_bytes) {
        throw std::invalid_argument("max_header_bytes of " + std::to_string(bytes) +
                                    " is not between " +
                                    std::to_string(limits::proxy_header_min_bytes) + " and " +
                                    std::to_string(limits::proxy_header_max_bytes));
    }
    max_header_bytes_ = bytes;
    return *this;
}

SLUICE_INLINE bool ProxyProtocolOptions::trusts(const SocketAddress& peer) const noexcept {
    if (peer.family() == Family::unix_domain) {
        return trusts_unix_ || trusts_everyone_;
    }
    return trusts_everyone_ || std::ranges::any_of(trusted_, [&peer](const AddressRange& range) {
               return range.contains(peer);
           });
}

SLUICE_INLINE int ProxyHeader::version() const noexcept {
    return data_ != nullptr ? data_->version : 0;
}

SLUICE_INLINE bool ProxyHeader::is_local() const noexcept {
    return data_ != nullptr && data_->is_local;
}

SLUICE_INLINE bool ProxyHeader::is_datagram() const noexcept {
    return data_ != nullptr && data_->is_datagram;
}

SLUICE_INLINE SocketAddress ProxyHeader::source() const noexcept {
    return data_ != nullptr ? data_->source : SocketAddress();
}

SLUICE_INLINE SocketAddress ProxyHeader::destination() const noexcept {
    return data_ != nullptr ? data_->destination : SocketAddress();
}

SLUICE_INLINE SocketAddress ProxyHeader::real_peer() const noexcept {
    return data_ != nullptr ? data_->real_peer : SocketAddress();
}

SLUICE_INLINE SocketAddress ProxyHeader::real_local() const noexcept {
    return data_ != nullptr ? data_->real_local : SocketAddress();
}

SLUICE_INLINE std::vector<ProxyAddition> ProxyHeader::additions() const {
    std::vector<ProxyAddition> found;
    Bytes rest = data_ != nullptr ? Bytes(data_->additions) : Bytes();
    while (const std::optional<detail::ProxyTlv> tlv = detail::take_tlv(rest)) {
        if (tlv->type != detail::proxy_tlv::no_operation &&
            tlv->type != detail::proxy_tlv::crc32c) {
            found.push_back({tlv->type, tlv->value});
        }
    }
    return found;
}

SLUICE_INLINE std::optional<Bytes> ProxyHeader::addition(std::uint8_t type) const noexcept {
    Bytes rest = data_ != nullptr ? Bytes(data_->additions) : Bytes();
    while (const std::optional<detail::ProxyTlv> tlv = detail::take_tlv(rest)) {
        if (tlv->type == type) {
            return tlv->value;
        }
    }
    return {};
}

SLUICE_INLINE std::optional<std::string_view> ProxyHeader::alpn() const noexcept {
    const std::optional<Bytes> value = addition(detail::proxy_tlv::alpn);
    return value ? std::optional(as_text(*value)) : std::nullopt;
}

SLUICE_INLINE std::optional<std::string_view> ProxyHeader::authority() const noexcept {
    const std::optional<Bytes> value = addition(detail::proxy_tlv::authority);
    return value ? std::optional(as_text(*value)) : std::nullopt;
}

SLUICE_INLINE std::optional<Bytes> ProxyHeader::unique_id() const noexcept {
    return addition(detail::proxy_tlv::unique_id);
}

SLUICE_INLINE std::optional<Bytes> ProxyHeader::tls() const noexcept {
    return addition(detail::proxy_tlv::tls);
}

SLUICE_INLINE bool ProxyHeader::has_checksum() const noexcept {
    return data_ != nullptr && data_->has_checksum;
}

}  // namespace sluice::inline v0_1
