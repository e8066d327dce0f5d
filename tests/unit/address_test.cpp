// Socket addresses as values.
#include <sluice/address.hpp>

#include <string>

#include <gtest/gtest.h>

namespace {

using sluice::Family;
using sluice::SocketAddress;

TEST(SocketAddress, is_no_address_by_default) {
    const SocketAddress none;
    EXPECT_FALSE(none);
    EXPECT_EQ(none.family(), Family::unspecified);
    EXPECT_EQ(none.to_string(), "(no address)");
}

TEST(SocketAddress, parses_literals_and_prints_them_back) {
    EXPECT_EQ(SocketAddress::parse("127.0.0.1", 80)->to_string(), "127.0.0.1:80");
    EXPECT_EQ(SocketAddress::parse("::1", 443)->to_string(), "[::1]:443");
    EXPECT_EQ(SocketAddress::parse("2001:DB8:0::1", 1)->host(), "2001:db8::1");
}

TEST(SocketAddress, refuses_everything_that_is_not_a_literal) {
    using namespace std::string_view_literals;
    for (const std::string_view text :
         {"localhost"sv, ""sv, "1.2.3"sv, "1.2.3.4.5"sv, "0x7f.1"sv, "127.1"sv, "fe80::1%lo"sv,
          "[::1]"sv, "127.0.0.1 "sv, "127.0.0.1\0.evil"sv, ":::"sv}) {
        EXPECT_FALSE(SocketAddress::parse(text, 1)) << text;
    }
    EXPECT_FALSE(SocketAddress::parse(std::string(1000, '1'), 1));
}

TEST(SocketAddress, compares_by_value_including_port_and_scope) {
    EXPECT_EQ(SocketAddress::parse("::1", 5), SocketAddress::parse("0::1", 5));
    EXPECT_NE(SocketAddress::parse("::1", 5), SocketAddress::parse("::1", 6));
    EXPECT_NE(SocketAddress::ipv6({}, 1, 2), SocketAddress::ipv6({}, 1, 3));
    EXPECT_EQ(SocketAddress::parse("::1", 5)->with_port(6), SocketAddress::parse("::1", 6));
}

TEST(SocketAddress, shows_the_scope_of_a_link_local_address) {
    EXPECT_EQ(SocketAddress::ipv6({0xfe, 0x80}, 9, 2).to_string(), "[fe80::%2]:9");
}

TEST(SocketAddress, keeps_unix_paths_and_abstract_names_apart) {
    EXPECT_EQ(SocketAddress::unix_path("/run/x.sock").to_string(), "/run/x.sock");
    EXPECT_EQ(SocketAddress::unix_path(std::string_view("\0name", 5)).to_string(), "@name");
    EXPECT_EQ(SocketAddress::unix_path("").to_string(), "(unnamed unix socket)");
    EXPECT_EQ(SocketAddress::unix_path(std::string(107, 'p')).path().size(), 107U);
}

TEST(SocketAddress, refuses_a_unix_path_that_does_not_fit_and_names_it) {
    try {
        SocketAddress::unix_path(std::string(108, 'p'));
        FAIL() << "accepted";
    } catch (const std::invalid_argument& error) {
        EXPECT_NE(std::string(error.what()).find("108"), std::string::npos);
    }
}

}  // namespace
