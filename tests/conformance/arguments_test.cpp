// Wrong arguments of connecting, serving and their options: refused at once, naming argument and
// value, before any descriptor is opened.
#include "support/loop_fixture.hpp"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

class Arguments : public BackendTest {
protected:
    void SetUp() override { before_ = open_descriptors(); }
    void expect_refused(const std::function<void()>& call, const std::string& argument,
                        const std::string& value) {
        EXPECT_THAT(message_of<std::invalid_argument>(call),
                    AllOf(HasSubstr(argument), HasSubstr(value)));
        EXPECT_EQ(open_descriptors(), before_);
    }
    void connect(std::string host, ConnectOptions options = ConnectOptions()) {
        auto task =
            loop().create_connection(recording_factory(), std::move(host), 80, std::move(options));
    }

private:
    std::vector<int> before_;
};
INSTANTIATE_TEST_SUITE_P(Every, Arguments, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Arguments, M244_a_port_out_of_range_is_an_error_and_not_truncated) {
    expect_refused([] { Port(65536); }, "port", "65536");
    expect_refused([] { Port(-1); }, "port", "-1");
    expect_refused([] { Port("65536"); }, "port", "65536");
    expect_refused([] { Port("99999999999999999999999"); }, "port", "99999999999999999999999");
    expect_refused([] { Port(70000LL * 70000LL); }, "port", "4900000000");
    EXPECT_EQ(Port(65535).number(), 65535);
    EXPECT_EQ(Port("65535").number(), 65535);
}

TEST_P(Arguments, M244_a_huge_unsigned_port_is_named_as_it_was_given) {
    expect_refused([] { Port(std::uint64_t{18446744073709551615U}); }, "port",
                   "18446744073709551615");
}

TEST_P(Arguments, M243_what_is_not_all_digits_is_a_service_name) {
    for (const char* text : {"http", "80x", "-1", " 80", "8 0", "+80", "0x50"}) {
        EXPECT_FALSE(Port(text).number()) << text;
        EXPECT_EQ(Port(text).service(), text);
    }
}

TEST_P(Arguments, M238_a_missing_host_is_refused) {
    expect_refused([&] { connect(""); }, "host", "empty");
}

TEST_P(Arguments, H4_impossible_hosts_are_refused) {
    expect_refused([&] { connect(std::string(254, 'a')); }, "host", "254");
    expect_refused([&] { connect(std::string("a\0b", 3)); }, "host", "NUL");
    expect_refused([&] { connect("127.0.0.1", ConnectOptions().local_address("")); }, "local host",
                   "empty");
    expect_refused(
        [&] { connect("127.0.0.1", ConnectOptions().local_address(std::string(300, 'b'))); },
        "local host", "300");
}

TEST_P(Arguments, options_of_connecting_are_checked_when_they_are_set) {
    expect_refused([] { ConnectOptions().happy_eyeballs_delay(-1ns); }, "happy_eyeballs_delay",
                   "-1");
    expect_refused([] { ConnectOptions().interleave(0); }, "interleave", "0");
    expect_refused([] { ConnectOptions().interleave(-3); }, "interleave", "-3");
    expect_refused([] { ConnectOptions().timeout(0ns); }, "timeout", "0");
    expect_refused([] { ConnectOptions().timeout(-5ns); }, "timeout", "-5");
    EXPECT_THROW(ConnectOptions().local_address("127.0.0.1", 65536), std::invalid_argument);
}

TEST_P(Arguments, N267_options_of_serving_are_checked_when_they_are_set) {
    expect_refused([] { ServerOptions().backlog(0); }, "backlog", "0");
    expect_refused([] { ServerOptions().backlog(-100); }, "backlog", "-100");
    expect_refused([] { ServerOptions().max_connections(0); }, "max_connections", "0");
}

TEST_P(Arguments, the_defaults_are_those_of_asyncio) {
    const ServerOptions server;
    EXPECT_EQ(server.backlog(), 100);
    EXPECT_TRUE(server.reuse_address());
    EXPECT_FALSE(server.reuse_port());
    EXPECT_FALSE(server.keep_alive());
    EXPECT_TRUE(server.start_serving());
    EXPECT_FALSE(server.max_connections());
    EXPECT_EQ(server.family(), Family::unspecified);
    const ConnectOptions connect;
    EXPECT_EQ(connect.happy_eyeballs_delay(), 250ms);
    EXPECT_EQ(connect.interleave(), 1);
    EXPECT_FALSE(connect.all_errors());
    EXPECT_FALSE(connect.timeout());
    EXPECT_FALSE(connect.local_host());
    EXPECT_EQ(connect.family(), Family::unspecified);
}

TEST_P(Arguments, servers_with_impossible_hosts_are_refused) {
    const auto serve_on = [&](std::vector<std::string> hosts) {
        auto task = loop().create_server(recording_factory(), std::move(hosts), 0);
    };
    expect_refused([&] { serve_on({std::string(300, 'a')}); }, "host", "300");
    expect_refused([&] { serve_on({"127.0.0.1", std::string("x\0y", 3)}); }, "host", "NUL");
    expect_refused([&] { serve_on({}); }, "host", "");
}

TEST_P(Arguments, an_empty_callback_is_refused_and_not_called) {
    // Nothing says what calling nothing means; what must not happen is a crash in the loop.
    EXPECT_THROW(loop().call_soon(nullptr), std::invalid_argument);
    EXPECT_THROW(loop().call_later(0ns, Callback()), std::invalid_argument);
    EXPECT_THROW(loop().call_soon_threadsafe(nullptr), std::invalid_argument);
    EXPECT_THROW(loop().add_reader(0, nullptr), std::invalid_argument);
    EXPECT_THROW(loop().add_signal_handler(10, nullptr), std::invalid_argument);
}

TEST_P(Arguments, a_task_that_was_moved_from_is_refused) {
    auto body = []() -> Task<void> { co_return; };
    Task<void> task = body();
    const Task<void> taken = std::move(task);
    EXPECT_THAT(message_of<std::invalid_argument>([&] { loop().create_task(std::move(task)); }),
                HasSubstr("moved from"));
}

}  // namespace
}  // namespace sluice::test
