// Ports and options: what is refused, and that the message names the value.
#include <sluice/options.hpp>

#include <functional>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using sluice::ConnectOptions;
using sluice::Port;
using sluice::ServerOptions;

std::string refusal(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "(accepted)";
}

TEST(Port, takes_numbers_digits_and_service_names) {
    EXPECT_EQ(Port(0).number(), 0);
    EXPECT_EQ(Port(65535).number(), 65535);
    EXPECT_EQ(Port("8080").number(), 8080);
    EXPECT_EQ(Port("").number(), 0);
    EXPECT_EQ(Port("https").number(), std::nullopt);
    EXPECT_EQ(Port("https").service(), "https");
    EXPECT_EQ(Port("https").to_string(), "https");
}

TEST(Port, refuses_numbers_out_of_range_instead_of_truncating_them) {
    EXPECT_EQ(refusal([] { Port(65536); }), "port 65536 is not between 0 and 65535");
    EXPECT_EQ(refusal([] { Port(-1); }), "port -1 is not between 0 and 65535");
    EXPECT_EQ(refusal([] { Port("65616"); }), "port 65616 is not between 0 and 65535");
    EXPECT_EQ(refusal([] { Port("99999999999999999999"); }),
              "port 99999999999999999999 is not between 0 and 65535");
    EXPECT_NE(refusal([] { Port(std::string_view("ht\0tp", 5)); }), "(accepted)");
}

TEST(ConnectOptions, refuses_values_that_make_no_sense) {
    EXPECT_EQ(refusal([] { ConnectOptions().timeout(0ns); }), "timeout of 0 ns is not positive");
    EXPECT_EQ(refusal([] { ConnectOptions().timeout(-5ns); }), "timeout of -5 ns is not positive");
    EXPECT_EQ(refusal([] { ConnectOptions().interleave(0); }),
              "interleave must be at least 1, not 0");
    EXPECT_EQ(refusal([] { ConnectOptions().happy_eyeballs_delay(-1ns); }),
              "happy_eyeballs_delay of -1 ns is negative");
    EXPECT_EQ(refusal([] {
                  ConnectOptions().happy_eyeballs_delay(std::nullopt).interleave(2).timeout(1s);
              }),
              "(accepted)");
}

TEST(ServerOptions, refuses_values_that_make_no_sense) {
    EXPECT_EQ(refusal([] { ServerOptions().backlog(0); }), "backlog must be at least 1, not 0");
    EXPECT_EQ(refusal([] { ServerOptions().max_connections(0); }),
              "max_connections must be at least 1, not 0");
}

TEST(Hosts, are_refused_when_they_cannot_be_names) {
    using sluice::detail::check_host;
    EXPECT_EQ(refusal([] { check_host("", "host"); }), "host is empty");
    EXPECT_EQ(refusal([] { check_host(std::string(254, 'a'), "host"); }),
              "host of 254 characters is longer than a host name can be (253)");
    EXPECT_EQ(refusal([] { check_host(std::string_view("a\0b", 3), "local host"); }),
              "local host contains a NUL character");
    EXPECT_EQ(refusal([] { check_host(std::string(253, 'a'), "host"); }), "(accepted)");
}

}  // namespace
