// Parsing PROXY headers.
#pragma once

#include <sluice/detail/proxy_header.hpp>

#include <algorithm>
#include <array>
#include <string_view>

namespace sluice::inline v0_1::detail {

namespace proxy_format {

using namespace std::string_view_literals;

inline constexpr std::string_view signature_1 = "PROXY "sv;
inline constexpr std::string_view signature_2 = "\r\n\r\n\0\r\nQUIT\n"sv;
// "the maximum line length the receiver must support including the CRLF"
inline constexpr std::size_t line_max_bytes = 107;
inline constexpr std::size_t fixed_bytes = 16;
inline constexpr std::size_t unix_path_bytes = 108;
inline constexpr std::size_t unique_id_max_bytes = 128;
inline constexpr std::size_t tls_fixed_bytes = 5;

inline unsigned byte_at(Bytes bytes, std::size_t index) noexcept {
    return std::to_integer<unsigned>(bytes[index]);
}

inline std::uint16_t number_at(Bytes bytes, std::size_t index) noexcept {
    return static_cast<std::uint16_t>(byte_at(bytes, index) << 8 | byte_at(bytes, index + 1));
}

}  // namespace proxy_format

// ---- version 1 ----

/// A decimal number as the specification has it: no sign, no leading zero.
SLUICE_INLINE std::optional<std::uint16_t> proxy_port(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text.front() == '0' && text.size() != 1)) {
        return {};
    }
    unsigned port = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') {
            return {};
        }
        port = port * 10 + static_cast<unsigned>(digit - '0');
    }
    if (port > 0xffff) {
        return {};
    }
    return static_cast<std::uint16_t>(port);
}

/// The text between "PROXY " and the end of the line.
SLUICE_INLINE bool parse_proxy_words(std::string_view text, ProxyHeaderData& header) {
    constexpr std::string_view unknown = "UNKNOWN";
    if (text.starts_with(unknown)) {
        // "the receiver must ignore anything presented before the CRLF"
        return text.size() == unknown.size() || text[unknown.size()] == ' ';
    }
    std::array<std::string_view, 5> words;
    std::size_t count = 0;
    for (;; ++count) {
        const std::size_t space = text.find(' ');
        if (count == words.size()) {
            return false;
        }
        words[count] = text.substr(0, space);
        if (space == std::string_view::npos) {
            break;
        }
        text.remove_prefix(space + 1);
    }
    const auto& [family, source, destination, source_port, destination_port] = words;
    const std::optional<std::uint16_t> from = proxy_port(source_port);
    const std::optional<std::uint16_t> to = proxy_port(destination_port);
    if (count + 1 != words.size() || !from || !to || (family != "TCP4" && family != "TCP6")) {
        return false;
    }
    const Family wanted = family == "TCP4" ? Family::ipv4 : Family::ipv6;
    const std::optional<SocketAddress> client = SocketAddress::parse(source, *from);
    const std::optional<SocketAddress> server = SocketAddress::parse(destination, *to);
    if (!client || !server || client->family() != wanted || server->family() != wanted) {
        return false;
    }
    header.source = *client;
    header.destination = *server;
    return true;
}

SLUICE_INLINE ProxyParsing parse_proxy_line(std::string_view input, ProxyHeaderData& header) {
    const std::string_view line = input.substr(0, proxy_format::line_max_bytes);
    const std::size_t end = line.find_first_of("\r\n");
    if (end == std::string_view::npos) {
        return {line.size() < proxy_format::line_max_bytes ? ProxyVerdict::incomplete
                                                           : ProxyVerdict::too_long};
    }
    if (line[end] == '\r' && end + 1 == line.size()) {
        return {line.size() < proxy_format::line_max_bytes ? ProxyVerdict::incomplete
                                                           : ProxyVerdict::too_long};
    }
    if (line[end] != '\r' || line[end + 1] != '\n') {
        return {ProxyVerdict::malformed};
    }
    ProxyHeaderData read;
    read.version = 1;
    const std::size_t begin = proxy_format::signature_1.size();
    if (!parse_proxy_words(line.substr(begin, end - begin), read)) {
        return {ProxyVerdict::malformed};
    }
    header = std::move(read);
    return {ProxyVerdict::complete, end + 2};
}

// ---- version 2 ----

SLUICE_INLINE std::uint32_t crc32c(Bytes data, std::uint32_t before) noexcept {
    static constexpr std::array<std::uint32_t, 256> table = [] {
        std::array<std::uint32_t, 256> made{};
        for (std::uint32_t index = 0; index < made.size(); ++index) {
            std::uint32_t value = index;
            for (int bit = 0; bit < 8; ++bit) {
                value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78U : 0U);
            }
            made[index] = value;
        }
        return made;
    }();
    std::uint32_t sum = ~before;
    for (const std::byte byte : data) {
        sum = (sum >> 8) ^ table[(sum ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
    }
    return ~sum;
}

SLUICE_INLINE std::optional<ProxyTlv> take_tlv(Bytes& block) noexcept {
    constexpr std::size_t head_bytes = 3;
    if (block.size() < head_bytes) {
        return {};
    }
    const std::size_t size = proxy_format::number_at(block, 1);
    if (block.size() - head_bytes < size) {
        return {};
    }
    const ProxyTlv taken{static_cast<std::uint8_t>(proxy_format::byte_at(block, 0)),
                         block.subspan(head_bytes, size)};
    block = block.subspan(head_bytes + size);
    return taken;
}

SLUICE_INLINE bool are_tlvs(Bytes block) noexcept {
    while (!block.empty()) {
        if (!take_tlv(block)) {
            return false;
        }
    }
    return true;
}

/// True if the sum in `value`, a part of `whole`, is that of `whole` with zeros in its place.
SLUICE_INLINE bool checksum_holds(Bytes whole, Bytes value) noexcept {
    constexpr std::array<std::byte, 4> zeros{};
    const auto at = static_cast<std::size_t>(value.data() - whole.data());
    std::uint32_t sum = crc32c(whole.first(at));
    sum = crc32c(zeros, sum);
    sum = crc32c(whole.subspan(at + zeros.size()), sum);
    const std::uint32_t said = static_cast<std::uint32_t>(proxy_format::number_at(value, 0)) << 16 |
                               proxy_format::number_at(value, 2);
    return sum == said;
}

/// Checks the TLVs in `block`, a part of the header `whole`.
SLUICE_INLINE bool check_additions(Bytes whole, Bytes block, ProxyHeaderData& header) noexcept {
    while (!block.empty()) {
        const std::optional<ProxyTlv> tlv = take_tlv(block);
        if (!tlv) {
            return false;
        }
        const Bytes value = tlv->value;
        bool good = true;
        if (tlv->type == proxy_tlv::crc32c) {
            good = !header.has_checksum && value.size() == 4 && checksum_holds(whole, value);
            header.has_checksum = true;
        } else if (tlv->type == proxy_tlv::unique_id) {
            good = value.size() <= proxy_format::unique_id_max_bytes;
        } else if (tlv->type == proxy_tlv::tls) {
            good = value.size() >= proxy_format::tls_fixed_bytes &&
                   are_tlvs(value.subspan(proxy_format::tls_fixed_bytes));
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

/// A path in 108 bytes, with zeros behind it; one that begins with a zero is an abstract name.
SLUICE_INLINE std::optional<SocketAddress> proxy_path(Bytes bytes) {
    std::string_view path = as_text(bytes);
    const std::size_t last = path.find_last_not_of('\0');
    if (last == std::string_view::npos) {
        return SocketAddress::unix_path({});
    }
    const bool is_abstract = path.front() == '\0';
    path = is_abstract ? path.substr(0, last + 1) : path.substr(0, path.find('\0'));
    // One byte less than the kernel could take in theory, as everywhere in the library.
    if (path.size() == bytes.size()) {
        return {};
    }
    return SocketAddress::unix_path(path);
}

/// The bytes of the addresses of this family and protocol; nothing if there is no such thing.
SLUICE_INLINE std::optional<std::size_t> proxy_address_bytes(unsigned family) noexcept {
    switch (family) {
        case 0x00:
            return 0;
        case 0x11:
        case 0x12:
            return 12;
        case 0x21:
        case 0x22:
            return 36;
        case 0x31:
        case 0x32:
            return 2 * proxy_format::unix_path_bytes;
        default:
            return {};
    }
}

SLUICE_INLINE bool read_proxy_addresses(unsigned family, Bytes block, ProxyHeaderData& header) {
    const auto ip = [block]<std::size_t Size>(std::array<std::uint8_t, Size> bytes,
                                              std::size_t at) {
        std::ranges::transform(block.subspan(at, Size), bytes.begin(),
                               [](std::byte byte) { return std::to_integer<std::uint8_t>(byte); });
        return bytes;
    };
    using IPv4 = std::array<std::uint8_t, 4>;
    using IPv6 = std::array<std::uint8_t, 16>;
    switch (family >> 4) {
        case 1:
            header.source = SocketAddress::ipv4(ip(IPv4{}, 0), proxy_format::number_at(block, 8));
            header.destination =
                SocketAddress::ipv4(ip(IPv4{}, 4), proxy_format::number_at(block, 10));
            return true;
        case 2:
            header.source = SocketAddress::ipv6(ip(IPv6{}, 0), proxy_format::number_at(block, 32));
            header.destination =
                SocketAddress::ipv6(ip(IPv6{}, 16), proxy_format::number_at(block, 34));
            return true;
        default:
            break;
    }
    const auto source = proxy_path(block.first(proxy_format::unix_path_bytes));
    const auto destination =
        proxy_path(block.subspan(proxy_format::unix_path_bytes, proxy_format::unix_path_bytes));
    if (!source || !destination) {
        return false;
    }
    header.source = *source;
    header.destination = *destination;
    return true;
}

/// A whole header of version 2 whose fixed part has been checked.
SLUICE_INLINE bool read_proxy_block(Bytes whole, ProxyHeaderData& header) {
    constexpr unsigned local = 0;
    header.version = 2;
    header.is_local = (proxy_format::byte_at(whole, 12) & 0xf) == local;
    const unsigned family = proxy_format::byte_at(whole, 13);
    if (header.is_local || family == 0) {
        // "discard the protocol block": what is in there has no form to rely on.
        return true;
    }
    const Bytes block = whole.subspan(proxy_format::fixed_bytes);
    const std::size_t address_bytes = *proxy_address_bytes(family);
    if (block.size() < address_bytes || !read_proxy_addresses(family, block, header)) {
        return false;
    }
    header.is_datagram = (family & 0xf) == 2;
    const Bytes additions = block.subspan(address_bytes);
    if (!check_additions(whole, additions, header)) {
        return false;
    }
    header.additions.assign(additions.begin(), additions.end());
    return true;
}

SLUICE_INLINE ProxyParsing parse_proxy_binary(Bytes input, std::size_t max_bytes,
                                              ProxyHeaderData& header) {
    // Each byte is judged as soon as it is there, so that nobody waits for what cannot become right.
    if (input.size() > 12) {
        const unsigned version_and_command = proxy_format::byte_at(input, 12);
        if (version_and_command != 0x20 && version_and_command != 0x21) {
            return {ProxyVerdict::malformed};
        }
    }
    if (input.size() > 13 && proxy_format::byte_at(input, 12) == 0x21 &&
        !proxy_address_bytes(proxy_format::byte_at(input, 13))) {
        return {ProxyVerdict::malformed};
    }
    if (input.size() < proxy_format::fixed_bytes) {
        return {ProxyVerdict::incomplete};
    }
    const std::size_t size = proxy_format::fixed_bytes + proxy_format::number_at(input, 14);
    if (size > max_bytes) {
        return {ProxyVerdict::too_long};
    }
    if (input.size() < size) {
        return {ProxyVerdict::incomplete};
    }
    ProxyHeaderData read;
    if (!read_proxy_block(input.first(size), read)) {
        return {ProxyVerdict::malformed};
    }
    header = std::move(read);
    return {ProxyVerdict::complete, size};
}

// ---- both ----

SLUICE_INLINE ProxyParsing parse_proxy_header(Bytes input, std::size_t max_bytes,
                                              ProxyHeaderData& header) {
    const std::string_view text = as_text(input);
    if (text.starts_with(proxy_format::signature_1)) {
        return parse_proxy_line(text, header);
    }
    if (text.starts_with(proxy_format::signature_2)) {
        return parse_proxy_binary(input, max_bytes, header);
    }
    const bool may_become_one =
        proxy_format::signature_1.starts_with(text) || proxy_format::signature_2.starts_with(text);
    return {may_become_one ? ProxyVerdict::undecided : ProxyVerdict::absent};
}

}  // namespace sluice::inline v0_1::detail
