// Address ranges, and counting connections by network.
#include <sluice/address_range.hpp>
#include <sluice/detail/address_counts.hpp>
#include <sluice/proxy_protocol.hpp>

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace {

using sluice::AddressRange;
using sluice::ProxyProtocolOptions;
using sluice::ServerOptions;
using sluice::SocketAddress;
using sluice::detail::AddressCounts;

SocketAddress at(const char* ip, std::uint16_t port = 1) {
    return SocketAddress::parse(ip, port).value();
}

TEST(AddressRange, contains_what_begins_with_its_bits) {
    EXPECT_TRUE(AddressRange("10.0.0.0/8").contains(at("10.255.0.1")));
    EXPECT_FALSE(AddressRange("10.0.0.0/8").contains(at("11.0.0.0")));
    EXPECT_TRUE(AddressRange("192.168.1.128/25").contains(at("192.168.1.255")));
    EXPECT_FALSE(AddressRange("192.168.1.128/25").contains(at("192.168.1.127")));
    EXPECT_TRUE(AddressRange("127.0.0.1").contains(at("127.0.0.1", 9)));
    EXPECT_FALSE(AddressRange("127.0.0.1").contains(at("127.0.0.2")));
    EXPECT_TRUE(AddressRange("fd00::/9").contains(at("fd7f::1")));
    EXPECT_FALSE(AddressRange("fd00::/9").contains(at("fd80::1")));
    EXPECT_TRUE(AddressRange("::1").contains(at("::1")));
}

TEST(AddressRange, of_no_bits_contains_its_whole_family_and_only_that) {
    EXPECT_TRUE(AddressRange("0.0.0.0/0").contains(at("255.1.2.3")));
    EXPECT_FALSE(AddressRange("0.0.0.0/0").contains(at("2001:db8::1")));
    EXPECT_TRUE(AddressRange("::/0").contains(at("2001:db8::1")));
    EXPECT_FALSE(AddressRange("::/0").contains(at("10.0.0.1")));
    EXPECT_FALSE(AddressRange("::/0").contains(SocketAddress::unix_path("/a")));
    EXPECT_FALSE(AddressRange("::/0").contains(SocketAddress()));
}

TEST(AddressRange, knows_an_IPv4_address_inside_of_IPv6) {
    EXPECT_TRUE(AddressRange("10.0.0.0/8").contains(at("::ffff:10.1.2.3")));
    EXPECT_TRUE(AddressRange("::ffff:10.0.0.0/104").contains(at("10.1.2.3")));
}

TEST(AddressRange, refuses_what_is_none_and_names_it) {
    for (const std::string text :
         {"", "/8", "localhost", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1",
          "10.0.0.0/8/8", "10.0.0.0/ 8", "::/129", "::/1000", "10.0.0.1/8", "fd00::1/8", "10/8"}) {
        try {
            const AddressRange range(text);
            ADD_FAILURE() << text << " was taken as " << range.to_string();
        } catch (const std::invalid_argument& error) {
            EXPECT_NE(std::string(error.what()).find("'" + text + "'"), std::string::npos);
        }
    }
    EXPECT_EQ(AddressRange("10.0.0.0/8").to_string(), "10.0.0.0/8");
    EXPECT_EQ(AddressRange("::1").to_string(), "::1/128");
}

TEST(AddressCounts, limits_each_network_on_its_own) {
    AddressCounts counts({.most = 2, .ipv4_prefix = 32, .ipv6_prefix = 64}, 1, 2);
    EXPECT_TRUE(counts.add(at("10.0.0.1")));
    EXPECT_TRUE(counts.add(at("10.0.0.1", 7)));
    EXPECT_FALSE(counts.add(at("10.0.0.1", 8)));
    EXPECT_FALSE(counts.add(at("::ffff:10.0.0.1")));
    EXPECT_TRUE(counts.add(at("10.0.0.2")));
    EXPECT_TRUE(counts.add(at("2001:db8::1")));
    EXPECT_TRUE(counts.add(at("2001:db8::2:1")));
    EXPECT_FALSE(counts.add(at("2001:db8::ffff:1:1")));
    EXPECT_TRUE(counts.add(at("2001:db8:0:1::1")));
    counts.remove(at("10.0.0.1"));
    EXPECT_TRUE(counts.add(at("10.0.0.1")));
}

TEST(AddressCounts, keeps_nothing_of_networks_without_connections) {
    AddressCounts counts({.most = 1, .ipv4_prefix = 24, .ipv6_prefix = 48}, 3, 4);
    for (unsigned index = 0; index < 1000; ++index) {
        const SocketAddress address = SocketAddress::ipv4(
            {10, static_cast<std::uint8_t>(index >> 8), static_cast<std::uint8_t>(index), 1}, 1);
        EXPECT_TRUE(counts.add(address));
        EXPECT_FALSE(counts.add(address));
    }
    EXPECT_EQ(counts.size(), 1000U);
    for (unsigned index = 0; index < 1000; ++index) {
        counts.remove(SocketAddress::ipv4(
            {10, static_cast<std::uint8_t>(index >> 8), static_cast<std::uint8_t>(index), 200}, 9));
    }
    EXPECT_EQ(counts.size(), 0U);
}

TEST(AddressCounts, does_not_limit_what_has_no_IP_address) {
    AddressCounts counts({.most = 1, .ipv4_prefix = 32, .ipv6_prefix = 64}, 5, 6);
    for (int index = 0; index < 3; ++index) {
        EXPECT_TRUE(counts.add(SocketAddress::unix_path("/run/client")));
        EXPECT_TRUE(counts.add(SocketAddress()));
    }
    counts.remove(SocketAddress::unix_path("/run/client"));
    EXPECT_EQ(counts.size(), 0U);
}

TEST(AddressCounts, options_refuse_what_can_be_no_limit) {
    EXPECT_THROW(ServerOptions().max_connections_per_address(0), std::invalid_argument);
    EXPECT_THROW(ServerOptions().max_connections_per_address(1, 33), std::invalid_argument);
    EXPECT_THROW(ServerOptions().max_connections_per_address(1, 32, 129), std::invalid_argument);
    EXPECT_NO_THROW(ServerOptions().max_connections_per_address(1, 0, 128));
}

TEST(ProxyOptions, refuse_what_can_never_be_right) {
    using std::chrono::seconds;
    EXPECT_THROW(ProxyProtocolOptions().timeout(seconds(0)), std::invalid_argument);
    EXPECT_THROW(ProxyProtocolOptions().max_header_bytes(231), std::invalid_argument);
    EXPECT_THROW(ProxyProtocolOptions().max_header_bytes(65552), std::invalid_argument);
    EXPECT_THROW(ProxyProtocolOptions().trust("10.0.0.1/8"), std::invalid_argument);
    EXPECT_THROW(ServerOptions().idle_timeout(seconds(-1)), std::invalid_argument);
    EXPECT_THROW(ServerOptions().write_timeout(seconds(0)), std::invalid_argument);
}

TEST(ProxyOptions, trust_whom_they_name) {
    const ProxyProtocolOptions some = ProxyProtocolOptions().trust("10.0.0.0/8").trust("::1");
    EXPECT_TRUE(some.trusts(at("10.9.9.9")));
    EXPECT_TRUE(some.trusts(at("::1")));
    EXPECT_FALSE(some.trusts(at("11.0.0.1")));
    EXPECT_FALSE(some.trusts(SocketAddress::unix_path("")));
    EXPECT_FALSE(some.trusts(SocketAddress()));
    EXPECT_TRUE(ProxyProtocolOptions().trust_unix_sockets().trusts(SocketAddress::unix_path("")));
    EXPECT_FALSE(ProxyProtocolOptions().trust_unix_sockets().trusts(at("127.0.0.1")));
    EXPECT_TRUE(ProxyProtocolOptions().trust_everyone().trusts(at("1.2.3.4")));
}

}  // namespace
