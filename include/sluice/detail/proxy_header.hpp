// The parser of PROXY headers, versions 1 and 2: bytes in, a verdict out. It knows no socket, no
// option and no clock, and never looks further than the header.
//
// It is strict: what the specification does not allow is malformed, since a proxy and a server that
// read the same bytes differently are how addresses get forged.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace sluice::inline v0_1::detail {

/// What a header said, and over which connection.
class ProxyHeaderData {
public:
    int version = 0;
    bool is_local = false;
    bool is_datagram = false;
    bool has_checksum = false;
    SocketAddress source;  // announced; none for LOCAL, UNKNOWN and UNSPEC
    SocketAddress destination;
    SocketAddress real_peer;
    SocketAddress real_local;
    std::vector<std::byte> additions;  // TLVs, checked
};

enum class ProxyVerdict : std::uint8_t {
    undecided,   // the beginning of a header's signature, or nothing yet
    absent,      // not a header
    incomplete,  // all of it belongs to a header, and more will
    complete,
    malformed,
    too_long,
};

struct ProxyParsing {
    ProxyVerdict verdict;
    std::size_t size = 0;  // of the header in bytes, once complete
};

/// Reads the header that `input` begins with, which may be at most `max_bytes` long. Fills `header`
/// only when it is complete. Throws std::bad_alloc only.
ProxyParsing parse_proxy_header(Bytes input, std::size_t max_bytes, ProxyHeaderData& header);

/// One TLV.
struct ProxyTlv {
    std::uint8_t type;
    Bytes value;
};
/// Takes the first one out of `block`; nothing if it does not fit in there.
std::optional<ProxyTlv> take_tlv(Bytes& block) noexcept;

/// Types that have a meaning here.
namespace proxy_tlv {
inline constexpr std::uint8_t alpn = 0x01;
inline constexpr std::uint8_t authority = 0x02;
inline constexpr std::uint8_t crc32c = 0x03;
inline constexpr std::uint8_t no_operation = 0x04;
inline constexpr std::uint8_t unique_id = 0x05;
inline constexpr std::uint8_t tls = 0x20;
}  // namespace proxy_tlv

/// CRC-32C (RFC 3720, appendix B.4) of `data`, going on from the checksum of what came before; 0 for
/// nothing.
std::uint32_t crc32c(Bytes data, std::uint32_t before = 0) noexcept;

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/proxy_header.ipp>
#endif
