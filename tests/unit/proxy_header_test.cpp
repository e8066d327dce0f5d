// The parser of PROXY headers: every part of the specification, every truncation, each field wrong.
#include <sluice/detail/proxy_header.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::string_view_literals;
using sluice::Family;
using sluice::SocketAddress;
using sluice::detail::crc32c;
using sluice::detail::parse_proxy_header;
using sluice::detail::ProxyHeaderData;
using sluice::detail::ProxyParsing;
using sluice::detail::ProxyVerdict;

constexpr std::string_view signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t most = 4096;

ProxyParsing parse(std::string_view input, ProxyHeaderData& data, std::size_t max_bytes = most) {
    // In memory of exactly this size, so that AddressSanitizer sees a byte read too many.
    const std::vector<char> exact(input.begin(), input.end());
    return parse_proxy_header(sluice::as_bytes(std::string_view(exact.data(), exact.size())),
                              max_bytes, data);
}

ProxyVerdict verdict(std::string_view input, std::size_t max_bytes = most) {
    ProxyHeaderData data;
    data.version = 77;
    const ProxyParsing parsing = parse(input, data, max_bytes);
    if (parsing.verdict != ProxyVerdict::complete) {
        EXPECT_EQ(data.version, 77) << "filled before it was complete";
        EXPECT_EQ(parsing.size, 0U);
    }
    return parsing.verdict;
}

ProxyHeaderData read(std::string_view input) {
    ProxyHeaderData data;
    const ProxyParsing parsing = parse(input, data);
    EXPECT_EQ(parsing.verdict, ProxyVerdict::complete);
    EXPECT_EQ(parsing.size, input.size());
    return data;
}

std::string number(std::size_t value) {
    return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

std::string binary(unsigned command, unsigned family, std::string_view block) {
    std::string header(signature);
    header += static_cast<char>(command);
    header += static_cast<char>(family);
    header += number(block.size());
    header += block;
    return header;
}

std::string tlv(unsigned type, std::string_view value) {
    return static_cast<char>(type) + number(value.size()) + std::string(value);
}

const std::string four =
    std::string("\x0a\x01\x02\x03\xc0\xa8\x00\x01", 8) + number(50000) + number(443);
std::string six() {
    std::string block(36, '\0');
    block.replace(0, 4, "\x20\x01\x0d\xb8");
    block[15] = 7;
    block[31] = 1;
    block.replace(32, 4, number(65535) + number(0));
    return block;
}

/// A header with a checksum somewhere among its additions.
std::string with_checksum(const std::string& before, const std::string& after) {
    std::string header = binary(0x21, 0x11, four + before + tlv(3, "\0\0\0\0"sv) + after);
    const std::uint32_t sum = crc32c(sluice::as_bytes(std::string_view(header)));
    header.replace(16 + four.size() + before.size() + 3, 4,
                   number(sum >> 16) + number(sum & 0xffff));
    return header;
}

// ---- version 1 ----

TEST(ProxyHeader, version_1_announces_IPv4_and_IPv6) {
    const ProxyHeaderData ip4 = read("PROXY TCP4 10.1.2.3 192.168.0.1 50000 443\r\n");
    EXPECT_EQ(ip4.version, 1);
    EXPECT_EQ(ip4.source.to_string(), "10.1.2.3:50000");
    EXPECT_EQ(ip4.destination.to_string(), "192.168.0.1:443");
    EXPECT_FALSE(ip4.is_local);
    const ProxyHeaderData ip6 = read("PROXY TCP6 2001:DB8::7 ::1 0 65535\r\n");
    EXPECT_EQ(ip6.source.to_string(), "[2001:db8::7]:0");
    EXPECT_EQ(ip6.destination.to_string(), "[::1]:65535");
}

TEST(ProxyHeader, version_1_UNKNOWN_announces_nothing_whatever_follows) {
    for (const std::string_view line :
         {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN ff::1 ff::1 65535 65535\r\n",
          "PROXY UNKNOWN TCP4 1.2.3.4 nonsense\r\n"}) {
        const ProxyHeaderData data = read(line);
        EXPECT_EQ(data.version, 1);
        EXPECT_FALSE(data.source) << line;
        EXPECT_FALSE(data.destination) << line;
    }
}

TEST(ProxyHeader, version_1_ends_where_its_line_ends) {
    const std::string line = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n";
    for (const std::string_view behind : {"\r\n"sv, "GET /"sv, "\x16\x03\x01"sv, "PROXY "sv}) {
        ProxyHeaderData data;
        const ProxyParsing parsing = parse(line + std::string(behind), data);
        EXPECT_EQ(parsing.verdict, ProxyVerdict::complete);
        EXPECT_EQ(parsing.size, line.size());
    }
}

TEST(ProxyHeader, every_beginning_of_a_version_1_header_asks_for_more) {
    const std::string line = "PROXY TCP6 2001:db8::7 ::1 50000 443\r\n";
    for (std::size_t size = 0; size < line.size(); ++size) {
        EXPECT_EQ(verdict(line.substr(0, size)),
                  size < 6 ? ProxyVerdict::undecided : ProxyVerdict::incomplete)
            << size;
    }
}

TEST(ProxyHeader, version_1_is_107_bytes_long_at_most) {
    const std::string longest = "PROXY UNKNOWN " + std::string(91, 'f') + "\r\n";
    ASSERT_EQ(longest.size(), 107U);
    EXPECT_EQ(verdict(longest), ProxyVerdict::complete);
    EXPECT_EQ(verdict(longest.substr(0, 106)), ProxyVerdict::incomplete);
    EXPECT_EQ(verdict("PROXY UNKNOWN " + std::string(92, 'f') + "\r\n"), ProxyVerdict::too_long);
    EXPECT_EQ(verdict("PROXY UNKNOWN " + std::string(92, 'f') + "\r"), ProxyVerdict::too_long);
    EXPECT_EQ(verdict("PROXY " + std::string(101, ' ')), ProxyVerdict::too_long);
    EXPECT_EQ(verdict("PROXY " + std::string(100, ' ')), ProxyVerdict::incomplete);
}

TEST(ProxyHeader, what_version_1_does_not_allow_is_malformed) {
    for (const std::string_view line : {
             "PROXY \r\n"sv,
             "PROXY TCP4\r\n"sv,
             "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4\t1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8\r\n"sv,
             "PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4 ::1 ::2 1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 ::2 1 2\r\n"sv,
             "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP6 ::1 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"sv,
             "PROXY TCP6 :::1 ::1 1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 100000 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 0x1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8  2\r\n"sv,
             "PROXY TCP4 1.2.3.4\0 5.6.7.8 1 2\r\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX"sv,
             "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n"sv,
             "PROXY UNKNOWNX\r\n"sv,
             "PROXY unknown\r\n"sv,
             "PROXY UNKNOWN\n"sv,
             "PROXY UNKNOWN \rGET\r\n"sv,
         }) {
        EXPECT_EQ(verdict(line), ProxyVerdict::malformed) << line;
    }
}

// ---- neither ----

TEST(ProxyHeader, what_no_header_begins_with_is_absent) {
    for (const std::string_view input :
         {"GET / HTTP/1.1\r\n"sv, "proxy TCP4"sv, "PROXYX"sv, "PROXZ"sv, "\x16\x03\x01\x02"sv,
          "\r\n\r\n\r\n"sv, "\n"sv, "\0"sv, " PROXY"sv, "\r\n\r\n\0\r\nQUIT\r"sv}) {
        EXPECT_EQ(verdict(input), ProxyVerdict::absent) << input;
    }
}

// ---- version 2 ----

TEST(ProxyHeader, version_2_announces_every_kind_of_address) {
    const ProxyHeaderData ip4 = read(binary(0x21, 0x11, four));
    EXPECT_EQ(ip4.version, 2);
    EXPECT_EQ(ip4.source.to_string(), "10.1.2.3:50000");
    EXPECT_EQ(ip4.destination.to_string(), "192.168.0.1:443");
    EXPECT_FALSE(ip4.is_datagram);
    const ProxyHeaderData ip6 = read(binary(0x21, 0x21, six()));
    EXPECT_EQ(ip6.source.to_string(), "[2001:db8::7]:65535");
    EXPECT_EQ(ip6.destination.to_string(), "[::1]:0");
    EXPECT_TRUE(read(binary(0x21, 0x12, four)).is_datagram);
    EXPECT_TRUE(read(binary(0x21, 0x22, six())).is_datagram);
}

TEST(ProxyHeader, version_2_announces_unix_paths_names_and_sockets_without_one) {
    std::string block(216, '\0');
    block.replace(0, 9, "/run/a.so");
    block.replace(109, 4, "name");  // behind a NUL: abstract
    const ProxyHeaderData named = read(binary(0x21, 0x31, block));
    EXPECT_EQ(named.source.path(), "/run/a.so");
    EXPECT_EQ(named.destination.path(), "\0name"sv);
    const ProxyHeaderData unnamed = read(binary(0x21, 0x32, std::string(216, '\0')));
    EXPECT_EQ(unnamed.source.family(), Family::unix_domain);
    EXPECT_EQ(unnamed.source.path(), "");
    block.replace(0, 108, std::string(108, 'x'));
    EXPECT_EQ(verdict(binary(0x21, 0x31, block)), ProxyVerdict::malformed);
}

TEST(ProxyHeader, LOCAL_and_UNSPEC_announce_nothing_and_their_block_is_skipped) {
    for (const std::string& header :
         {binary(0x20, 0x00, ""), binary(0x20, 0x11, four), binary(0x20, 0xff, "anything at all"),
          binary(0x21, 0x00, ""), binary(0x21, 0x00, "of an unknown form")}) {
        const ProxyHeaderData data = read(header);
        EXPECT_FALSE(data.source);
        EXPECT_FALSE(data.destination);
        EXPECT_TRUE(data.additions.empty());
        EXPECT_EQ(data.is_local, (header[12] & 0xf) == 0);
    }
}

TEST(ProxyHeader, every_beginning_of_a_version_2_header_asks_for_more) {
    const std::string header = with_checksum(tlv(2, "example.test"), tlv(4, "padding"));
    for (std::size_t size = 0; size < header.size(); ++size) {
        EXPECT_EQ(verdict(header.substr(0, size)),
                  size < signature.size() ? ProxyVerdict::undecided : ProxyVerdict::incomplete)
            << size;
    }
    ProxyHeaderData data;
    const ProxyParsing parsing = parse(header + "what follows", data);
    EXPECT_EQ(parsing.verdict, ProxyVerdict::complete);
    EXPECT_EQ(parsing.size, header.size());
}

TEST(ProxyHeader, every_other_version_command_and_family_is_malformed_at_once) {
    for (unsigned value = 0; value < 256; ++value) {
        if (value != 0x20 && value != 0x21) {
            EXPECT_EQ(verdict(binary(value, 0x11, four).substr(0, 13)), ProxyVerdict::malformed)
                << value;
        }
        constexpr std::array<unsigned, 7> known = {0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32};
        if (std::ranges::find(known, value) == known.end()) {
            EXPECT_EQ(verdict(binary(0x21, value, "").substr(0, 14)), ProxyVerdict::malformed)
                << value;
        }
    }
}

TEST(ProxyHeader, a_block_that_is_too_small_for_its_addresses_is_malformed) {
    const std::vector<std::pair<unsigned, std::size_t>> needs = {
        {0x11, 12}, {0x12, 12}, {0x21, 36}, {0x22, 36}, {0x31, 216}, {0x32, 216}};
    for (const auto& [family, bytes] : needs) {
        for (std::size_t size = 0; size < bytes; ++size) {
            EXPECT_EQ(verdict(binary(0x21, family, std::string(size, '\1'))),
                      ProxyVerdict::malformed);
        }
    }
}

TEST(ProxyHeader, a_header_longer_than_allowed_is_refused_by_its_first_16_bytes) {
    const std::string header = binary(0x21, 0x11, four + tlv(0xe0, std::string(300, 'x')));
    EXPECT_EQ(verdict(header, header.size()), ProxyVerdict::complete);
    EXPECT_EQ(verdict(header.substr(0, 16), header.size() - 1), ProxyVerdict::too_long);
    EXPECT_EQ(verdict(std::string(signature) + "\x21\x11\xff\xff"), ProxyVerdict::too_long);
    EXPECT_EQ(verdict(std::string(signature) + "\x21\x11\xff\xff", 65551),
              ProxyVerdict::incomplete);
}

// ---- additions ----

TEST(ProxyHeader, additions_that_do_not_fit_are_malformed) {
    const std::string good = tlv(0xe0, "abc");
    for (std::size_t cut = 1; cut < good.size(); ++cut) {
        EXPECT_EQ(verdict(binary(0x21, 0x11, four + good.substr(0, cut))), ProxyVerdict::malformed)
            << cut;
        EXPECT_EQ(verdict(binary(0x21, 0x11, four + good + good.substr(0, cut))),
                  ProxyVerdict::malformed)
            << cut;
    }
    const ProxyHeaderData data = read(binary(0x21, 0x11, four + good + tlv(0x04, "")));
    EXPECT_EQ(data.additions.size(), good.size() + 3);
}

TEST(ProxyHeader, a_unique_id_has_at_most_128_bytes) {
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(5, std::string(128, 'i')))),
              ProxyVerdict::complete);
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(5, std::string(129, 'i')))),
              ProxyVerdict::malformed);
}

TEST(ProxyHeader, the_additions_inside_of_TLS_are_checked) {
    const std::string fixed("\x01\0\0\0\0", 5);
    const std::string inner = tlv(0x21, "TLSv1.3") + tlv(0x22, "client");
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(0x20, fixed))), ProxyVerdict::complete);
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(0x20, fixed + inner))), ProxyVerdict::complete);
    for (std::size_t size = 0; size < 5; ++size) {
        EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(0x20, fixed.substr(0, size)))),
                  ProxyVerdict::malformed);
    }
    EXPECT_EQ(
        verdict(binary(0x21, 0x11, four + tlv(0x20, fixed + inner.substr(0, inner.size() - 1)))),
        ProxyVerdict::malformed);
}

// RFC 3720, appendix B.4.
TEST(ProxyHeader, the_checksum_is_CRC32c) {
    EXPECT_EQ(crc32c({}), 0U);
    EXPECT_EQ(crc32c(sluice::as_bytes("123456789"sv)), 0xe3069283U);
    const std::string zeros(32, '\0');
    EXPECT_EQ(crc32c(sluice::as_bytes(std::string_view(zeros))), 0x8a9136aaU);
    const std::string_view text = "in two pieces";
    EXPECT_EQ(crc32c(sluice::as_bytes(text.substr(6)), crc32c(sluice::as_bytes(text.substr(0, 6)))),
              crc32c(sluice::as_bytes(text)));
}

TEST(ProxyHeader, a_right_checksum_is_noticed_and_any_flipped_bit_makes_it_wrong) {
    const std::string header = with_checksum(tlv(1, "h2"), tlv(2, "example.test"));
    EXPECT_TRUE(read(header).has_checksum);
    EXPECT_FALSE(read(binary(0x21, 0x11, four)).has_checksum);
    // From the addresses on: what is before has a meaning that changes the verdict otherwise.
    for (std::size_t bit = 16 * 8; bit < header.size() * 8; ++bit) {
        std::string flipped = header;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
        ProxyHeaderData data;
        const ProxyParsing parsing = parse(flipped, data);
        // A flipped bit of the checksum's own type makes it another addition.
        EXPECT_TRUE(parsing.verdict == ProxyVerdict::malformed || !data.has_checksum) << bit;
    }
}

TEST(ProxyHeader, a_checksum_of_another_size_or_a_second_one_is_malformed) {
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(3, "abc"))), ProxyVerdict::malformed);
    EXPECT_EQ(verdict(binary(0x21, 0x11, four + tlv(3, "abcde"))), ProxyVerdict::malformed);
    const std::string good = with_checksum("", "");
    EXPECT_EQ(verdict(binary(0x21, 0x11, good.substr(16) + good.substr(28))),
              ProxyVerdict::malformed);
}

}  // namespace
