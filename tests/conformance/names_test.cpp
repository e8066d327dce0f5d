// getaddrinfo and getnameinfo. No case asks a name server: names are literals, "localhost", or such
// that the C library refuses by itself.
#include "support/latch.hpp"
#include "support/loop_fixture.hpp"

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Names : public BackendTest {
protected:
    using Addresses = std::vector<SocketAddress>;
    Addresses resolve(std::string host, Port port, Family family = Family::unspecified) {
        return run(loop().getaddrinfo(std::move(host), std::move(port), family));
    }
    // A look-up that waits behind as many blocked jobs as the pool can have threads.
    void block_every_thread() {
        for (unsigned i = 0; i < limits::executor_threads_max; ++i) {
            loop().run_in_executor([release = release_] { release->wait(); });
        }
    }
    void unblock() { release_->count_down(); }

private:
    std::shared_ptr<Latch> release_ = std::make_shared<Latch>(1);
};
INSTANTIATE_TEST_SUITE_P(Every, Names, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Names, T400_literal_addresses_with_numeric_ports_need_no_thread) {
    ASSERT_TRUE(run(loop().shutdown_default_executor()));
    const Addresses four = resolve("127.0.0.1", 80);
    ASSERT_EQ(four.size(), 1U);
    EXPECT_EQ(four[0].to_string(), "127.0.0.1:80");
    const Addresses six = resolve("::1", "443");
    ASSERT_EQ(six.size(), 1U);
    EXPECT_EQ(six[0].to_string(), "[::1]:443");
    EXPECT_EQ(resolve("127.0.0.1", "").at(0).port(), 0);
}

TEST_P(Names, T400_names_and_services_go_through_the_resolver) {
    ASSERT_TRUE(run(loop().shutdown_default_executor()));
    EXPECT_THROW(resolve("localhost", 80), std::logic_error) << "the executor refuses jobs";
    EXPECT_THROW(resolve("127.0.0.1", "http"), std::logic_error);
}

TEST_P(Names, T400_a_name_gives_the_addresses_of_the_wanted_family) {
    const Addresses any = resolve("localhost", 8080);
    ASSERT_FALSE(any.empty());
    for (const SocketAddress& address : any) {
        EXPECT_EQ(address.port(), 8080);
        EXPECT_TRUE(address.host() == "127.0.0.1" || address.host() == "::1") << address.host();
    }
    for (const SocketAddress& address : resolve("localhost", 1, Family::ipv4)) {
        EXPECT_EQ(address.family(), Family::ipv4);
    }
}

TEST_P(Names, T400_an_empty_host_means_the_loopback) {
    for (const SocketAddress& address : resolve("", 5)) {
        EXPECT_TRUE(address.host() == "127.0.0.1" || address.host() == "::1") << address.host();
    }
}

TEST_P(Names, T400_service_names_are_looked_up) {
    EXPECT_EQ(resolve("127.0.0.1", "http").at(0).port(), 80);
    const auto error = caught<AddressError>([&] { resolve("127.0.0.1", "no-such-service"); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::host_not_found);
    EXPECT_THAT(error->what(), testing::HasSubstr("no-such-service"));
    EXPECT_THAT(error->address(), testing::HasSubstr("127.0.0.1"));
}

TEST_P(Names, T400_a_literal_of_the_wrong_family_is_not_found) {
    EXPECT_THROW(resolve("127.0.0.1", 80, Family::ipv6), AddressError);
    EXPECT_THROW(resolve("::1", 80, Family::ipv4), AddressError);
}

TEST_P(Names, T400_a_name_that_cannot_exist_is_an_address_error_that_names_it) {
    // A label of 64 characters (RFC 1035: 63): refused before any packet.
    const std::string name(64, 'a');
    const auto error = caught<AddressError>([&] { resolve(name, 80); });
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), testing::HasSubstr(name));
    EXPECT_TRUE(error->code());
}

TEST_P(Names, H4_hosts_that_can_be_none_are_refused_at_once_and_nothing_is_truncated) {
    const std::string long_name(300, 'a');
    EXPECT_THAT(
        message_of<std::invalid_argument>([&] { auto task = loop().getaddrinfo(long_name, 1); }),
        testing::AllOf(testing::HasSubstr("host"), testing::HasSubstr("300")));
    const std::string with_nul("127.0.0.1\0evil", 14);
    EXPECT_THAT(
        message_of<std::invalid_argument>([&] { auto task = loop().getaddrinfo(with_nul, 1); }),
        testing::HasSubstr("NUL"));
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    auto task = loop().create_connection<RecordingProtocol>(
                        "", 80, ConnectOptions(), static_cast<Recorder*>(nullptr));
                }),
                testing::HasSubstr("host"));
    const std::string service_with_nul(
        "80\0"
        "1",
        4);
    EXPECT_THROW(Port{service_with_nul}, std::invalid_argument);
}

TEST_P(Names, H4_old_notations_of_an_address_are_not_literals_but_the_system_may_know_them) {
    EXPECT_FALSE(SocketAddress::parse("0x7f.1", 80));
    EXPECT_FALSE(SocketAddress::parse("127.1", 80));
    EXPECT_FALSE(SocketAddress::parse("017700000001", 80));
    EXPECT_EQ(resolve("0x7f.1", 80).at(0).host(), "127.0.0.1");
}

TEST_P(Names, M241_a_zone_index_is_kept) {
    const Addresses addresses = resolve("::1%1", 80);
    ASSERT_EQ(addresses.size(), 1U);
    EXPECT_EQ(addresses[0].host().substr(0, 3), "::1");
    const Addresses link_local = resolve("fe80::1%1", 80);
    ASSERT_EQ(link_local.size(), 1U);
    EXPECT_EQ(link_local[0].scope_id(), 1U);
}

TEST_P(Names, H1_a_slow_answer_delays_nothing_and_cancelling_does_not_wait_for_it) {
    block_every_thread();
    TaskHandle<Addresses> looking = loop().create_task(loop().getaddrinfo("localhost", 80));
    run_idle();
    EXPECT_FALSE(looking.done());
    bool timer = false;
    loop().call_later(1ms, [&] { timer = true; });
    ASSERT_TRUE(run_until([&] { return timer; }));
    EXPECT_FALSE(looking.done());
    looking.cancel();
    ASSERT_TRUE(run_until([&] { return looking.done(); }));
    EXPECT_TRUE(looking.cancelled());
    unblock();
    EXPECT_TRUE(run(loop().shutdown_default_executor())) << "the late answer is ignored";
}

TEST_P(Names, H1_the_timeout_of_create_connection_covers_the_resolver) {
    block_every_thread();
    Recorder& told = make_recorder();
    const auto error = caught<AddressError>([&] {
        run(loop().create_connection<RecordingProtocol>("localhost", 80,
                                                        ConnectOptions().timeout(2ms), &told));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::timed_out);
    EXPECT_EQ(error->address(), "localhost:80");
    unblock();
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
    EXPECT_EQ(told.created(), 0U);
}

TEST_P(Names, T400_H5_the_loop_may_be_destroyed_while_a_look_up_is_pending) {
    block_every_thread();
    // A name that the C library answers without opening a file, since nobody can wait for the late
    // answer and the fixture counts descriptors.
    TaskHandle<Addresses> looking = loop().create_task(loop().getaddrinfo("0x7f.1", 80));
    run_idle();
    destroy_loop();
    EXPECT_TRUE(looking.done());
    unblock();
}

TEST_P(Names, T401_getnameinfo_gives_names_or_numbers) {
    const SocketAddress address = SocketAddress::ipv4({127, 0, 0, 1}, 80);
    const HostAndService numbers = run(loop().getnameinfo(address, true));
    EXPECT_EQ(numbers.host, "127.0.0.1");
    EXPECT_EQ(numbers.service, "80");
    const HostAndService names = run(loop().getnameinfo(address));
    EXPECT_EQ(names.host, "localhost");
    EXPECT_EQ(names.service, "http");
    const HostAndService six = run(loop().getnameinfo(*SocketAddress::parse("::1", 65535), true));
    EXPECT_EQ(six.host, "::1");
    EXPECT_EQ(six.service, "65535");
}

TEST_P(Names, T401_getnameinfo_refuses_what_is_no_ip_address) {
    EXPECT_THROW(auto task = loop().getnameinfo(SocketAddress()), std::invalid_argument);
    EXPECT_THAT(message_of<std::invalid_argument>(
                    [&] { auto task = loop().getnameinfo(SocketAddress::unix_path("/tmp/x")); }),
                testing::HasSubstr("/tmp/x"));
}

TEST_P(Names, T401_getnameinfo_can_be_cancelled) {
    block_every_thread();
    TaskHandle<HostAndService> asking =
        loop().create_task(loop().getnameinfo(SocketAddress::ipv4({127, 0, 0, 1}, 80)));
    run_idle();
    EXPECT_TRUE(asking.cancel());
    ASSERT_TRUE(run_until([&] { return asking.done(); }));
    EXPECT_TRUE(asking.cancelled());
    unblock();
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
}

}  // namespace
}  // namespace sluice::test
