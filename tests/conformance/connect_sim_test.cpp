// create_connection with several addresses: order, happy eyeballs, errors. On the simulated system,
// where a name has the addresses, delays and failures the case needs and time costs nothing.
#include "support/loop_fixture.hpp"
#include "support/sys_sim.hpp"

#include <cerrno>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

struct KernelFirst {
    SimKernel kernel;
};

// The kernel is a base, so that it exists before the loop of the other base and after it.
class SimConnect : private KernelFirst, public LoopTest {
protected:
    SimConnect() { before_ = kernel().open_descriptors(); }
    ~SimConnect() override { EXPECT_TRUE(kernel().violations().empty()); }
    SimKernel& kernel() noexcept { return KernelFirst::kernel; }

    // "10.0.0.1" or "fd00::1", port 80.
    static SocketAddress at(const std::string& ip) { return SocketAddress::parse(ip, 80).value(); }
    void name(std::initializer_list<std::string> ips, Duration takes = {}) {
        std::vector<SocketAddress> addresses;
        for (const std::string& ip : ips) {
            addresses.push_back(at(ip));
        }
        kernel().add_host("service.test", std::move(addresses), takes);
    }
    // A host that accepts; remembers who was reached.
    void accepting(const std::string& ip) {
        kernel().listen_peer(at(ip), [this, ip](SimPeer) { reached_.push_back(ip); });
    }
    void refusing(const std::string& ip, int error = ECONNREFUSED) {
        kernel().refuse(at(ip), error);
    }
    void black_hole(const std::string& ip) { kernel().black_hole(at(ip)); }

    TaskHandle<Connection<RecordingProtocol>> start(ConnectOptions options = ConnectOptions()) {
        return loop().create_task(loop().create_connection<RecordingProtocol>(
            "service.test", 80, std::move(options), &told_));
    }
    // The address that was connected, or what() of the exception.
    std::string outcome(TaskHandle<Connection<RecordingProtocol>> task) {
        if (!run_until([&] { return task.done(); })) {
            return "hangs";
        }
        try {
            return task.result().transport->get_extra_info(extra::peername).host();
        } catch (const AddressError& error) {
            failure_ = error.code();
            return error.what();
        }
    }
    // The connection is the only thing left open, or nothing is.
    void expect_losers_closed(std::size_t connections) {
        run_idle();
        EXPECT_EQ(kernel().open_descriptors(), before_ + connections)
            << kernel().describe_descriptors();
        EXPECT_EQ(loop().next_timeout(), std::nullopt) << "a timer is left";
    }

    Recorder& told_ = make_recorder();
    std::vector<std::string> reached_;
    std::error_code failure_;
    std::size_t before_ = 0;
};

TEST_F(SimConnect, M234_addresses_are_tried_in_order_until_one_answers) {
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    refusing("10.0.0.1");
    accepting("10.0.0.2");
    accepting("10.0.0.3");
    EXPECT_EQ(outcome(start(ConnectOptions().happy_eyeballs_delay(std::nullopt))), "10.0.0.2");
    EXPECT_EQ(reached_, std::vector<std::string>{"10.0.0.2"});
    expect_losers_closed(1);
}

TEST_F(SimConnect, M234_without_a_delay_the_second_waits_for_the_first_to_fail) {
    name({"10.0.0.1", "10.0.0.2"});
    black_hole("10.0.0.1");
    accepting("10.0.0.2");
    EXPECT_EQ(outcome(start(ConnectOptions().happy_eyeballs_delay(std::nullopt))), "10.0.0.2");
    EXPECT_GE(kernel().elapsed(), 100s) << "the system's own limit, tcp_syn_retries";
    expect_losers_closed(1);
}

TEST_F(SimConnect, M234_M250_different_errors_are_combined_into_one_text) {
    name({"10.0.0.1", "10.0.0.2"});
    refusing("10.0.0.1", ECONNREFUSED);
    refusing("10.0.0.2", EHOSTUNREACH);
    const std::string text = outcome(start());
    EXPECT_THAT(text, testing::HasSubstr("Multiple exceptions: "));
    EXPECT_THAT(text, testing::HasSubstr("10.0.0.1:80"));
    EXPECT_THAT(text, testing::HasSubstr("10.0.0.2:80"));
    EXPECT_EQ(failure_, Error::all_attempts_failed);
    expect_losers_closed(0);
}

TEST_F(SimConnect, H3_a_common_reason_keeps_its_code_and_every_address_is_listed) {
    name({"10.0.0.1", "fd00::2"});
    refusing("10.0.0.1");
    refusing("fd00::2");
    const std::string text = outcome(start());
    EXPECT_THAT(text, testing::HasSubstr("10.0.0.1:80"));
    EXPECT_THAT(text, testing::HasSubstr("[fd00::2]:80"));
    EXPECT_EQ(failure_, std::errc::connection_refused);
}

TEST_F(SimConnect, M235_all_errors_lists_every_attempt_in_order) {
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    refusing("10.0.0.1", ECONNREFUSED);
    refusing("10.0.0.2", EHOSTUNREACH);
    refusing("10.0.0.3", ENETUNREACH);
    auto task = start(ConnectOptions().all_errors(true));
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    const auto error = caught<ConnectErrors>([&] { static_cast<void>(task.result()); });
    ASSERT_TRUE(error);
    ASSERT_EQ(error->errors().size(), 3U);
    EXPECT_EQ(error->errors()[0].code(), std::errc::connection_refused);
    EXPECT_EQ(error->errors()[1].code(), std::errc::host_unreachable);
    EXPECT_EQ(error->errors()[2].code(), std::errc::network_unreachable);
    EXPECT_EQ(error->errors()[1].address(), "10.0.0.2:80");
    EXPECT_THAT(error->what(), testing::HasSubstr("service.test"));
}

TEST_F(SimConnect, M236_identical_failures_are_reported_once) {
    name({"10.0.0.1", "10.0.0.1"});
    refusing("10.0.0.1");
    const std::string text = outcome(start());
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("Multiple")));
    EXPECT_THAT(text, testing::HasSubstr("10.0.0.1:80"));
    EXPECT_EQ(failure_, std::errc::connection_refused);
}

TEST_F(SimConnect, M240_a_name_without_addresses_is_an_address_error_that_names_it) {
    kernel().add_host("service.test", make_error_code(Error::no_addresses));
    EXPECT_THAT(outcome(start()), testing::HasSubstr("service.test"));
    EXPECT_EQ(failure_, Error::no_addresses);
    expect_losers_closed(0);
}

TEST_F(SimConnect, M246_no_local_address_of_any_matching_family_is_one_clear_error) {
    // asyncio: "no matching local address with family=... found", the code included.
    name({"10.0.0.1", "10.0.0.2"});
    accepting("10.0.0.1");
    accepting("10.0.0.2");
    EXPECT_THAT(outcome(start(ConnectOptions().local_address("::1"))),
                testing::HasSubstr("no matching local address"));
    EXPECT_EQ(failure_, Error::no_matching_local_address);
    expect_losers_closed(0);
}

TEST_F(SimConnect, M246_addresses_without_a_matching_local_one_are_skipped) {
    name({"fd00::1", "10.0.0.2"});
    accepting("fd00::1");
    accepting("10.0.0.2");
    EXPECT_EQ(outcome(start(ConnectOptions().local_address("127.0.0.1"))), "10.0.0.2");
    expect_losers_closed(1);
}

TEST_F(SimConnect, M249_the_next_address_starts_at_once_when_one_fails) {
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    refusing("10.0.0.1");
    refusing("10.0.0.2");
    accepting("10.0.0.3");
    EXPECT_EQ(outcome(start()), "10.0.0.3");
    EXPECT_LT(kernel().elapsed(), 250ms) << "the stagger delay was waited for";
    expect_losers_closed(1);
}

TEST_F(SimConnect, H2_a_black_holed_first_address_costs_about_the_stagger_delay) {
    name({"10.0.0.1", "10.0.0.2"});
    black_hole("10.0.0.1");
    accepting("10.0.0.2");
    EXPECT_EQ(outcome(start()), "10.0.0.2");
    EXPECT_GE(kernel().elapsed(), 250ms);
    EXPECT_LT(kernel().elapsed(), 300ms);
    expect_losers_closed(1);
}

TEST_F(SimConnect, H2_each_further_address_starts_one_delay_later) {
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"});
    black_hole("10.0.0.1");
    black_hole("10.0.0.2");
    black_hole("10.0.0.3");
    accepting("10.0.0.4");
    EXPECT_EQ(outcome(start(ConnectOptions().happy_eyeballs_delay(10ms))), "10.0.0.4");
    EXPECT_GE(kernel().elapsed(), 30ms);
    EXPECT_LT(kernel().elapsed(), 60ms);
    expect_losers_closed(1);
}

TEST_F(SimConnect, the_first_address_may_still_win_while_others_are_tried) {
    name({"10.0.0.1", "10.0.0.2"});
    kernel().faults.slow_connect = 1000;
    kernel().faults.delay_most = 1s;
    accepting("10.0.0.1");
    accepting("10.0.0.2");
    EXPECT_THAT(outcome(start(ConnectOptions().happy_eyeballs_delay(1ms))),
                testing::StartsWith("10.0.0."));
    kernel().faults.slow_connect = 0;
    expect_losers_closed(1);
}

TEST_F(SimConnect, two_attempts_that_succeed_in_one_iteration_leave_one_socket) {
    // A delay of zero starts all at once; the clock stands still until everybody waits.
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    kernel().faults.slow_connect = 1000;
    kernel().faults.delay_most = 1ns;
    for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
        accepting(ip);
    }
    EXPECT_THAT(outcome(start(ConnectOptions().happy_eyeballs_delay(0ns))),
                testing::StartsWith("10.0.0."));
    kernel().faults.slow_connect = 0;
    expect_losers_closed(1);
}

TEST_F(SimConnect, a_cancel_in_the_middle_of_the_race_closes_every_attempt) {
    name({"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    black_hole("10.0.0.1");
    black_hole("10.0.0.2");
    black_hole("10.0.0.3");
    auto task = start(ConnectOptions().happy_eyeballs_delay(1ms));
    ASSERT_TRUE(run_until([&] { return kernel().open_descriptors() == before_ + 3; }));
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    expect_losers_closed(0);
}

TEST_F(SimConnect, M237_the_timeout_covers_all_attempts_together) {
    name({"10.0.0.1", "10.0.0.2"});
    black_hole("10.0.0.1");
    black_hole("10.0.0.2");
    EXPECT_THAT(outcome(start(ConnectOptions().timeout(5s))),
                testing::HasSubstr("service.test:80"));
    EXPECT_EQ(failure_, std::errc::timed_out);
    EXPECT_GE(kernel().elapsed(), 5s);
    EXPECT_LT(kernel().elapsed(), 6s);
    expect_losers_closed(0);
}

TEST_F(SimConnect, M237_without_a_timeout_the_systems_own_is_an_error_of_the_same_kind) {
    name({"10.0.0.1"});
    black_hole("10.0.0.1");
    EXPECT_THAT(outcome(start()), testing::HasSubstr("10.0.0.1:80"));
    EXPECT_EQ(failure_, std::errc::timed_out);
    expect_losers_closed(0);
}

// ---- interleaving: the order shows in the failures ----

TEST_F(SimConnect, M252_families_alternate_after_the_wanted_count_of_the_first) {
    const auto order = [&](ConnectOptions options) {
        auto task = start(options.all_errors(true));
        EXPECT_TRUE(run_until([&] { return task.done(); }));
        std::string tried;
        const auto error = caught<ConnectErrors>([&] { static_cast<void>(task.result()); });
        for (const AddressError& each : error.value().errors()) {
            tried += each.address().find("fd00") != std::string::npos ? '6' : '4';
        }
        return tried;
    };
    name({"fd00::1", "fd00::2", "fd00::3", "10.0.0.1", "10.0.0.2"});
    for (const char* ip : {"fd00::1", "fd00::2", "fd00::3", "10.0.0.1", "10.0.0.2"}) {
        refusing(ip);
    }
    EXPECT_EQ(order(ConnectOptions()), "64646");
    EXPECT_EQ(order(ConnectOptions().interleave(2)), "66464");
    EXPECT_EQ(order(ConnectOptions().interleave(3)), "66644");
    EXPECT_EQ(order(ConnectOptions().interleave(9)), "66644");
    EXPECT_EQ(order(ConnectOptions().happy_eyeballs_delay(std::nullopt)), "66644")
        << "without a delay: the resolver's order";
    EXPECT_EQ(order(ConnectOptions().happy_eyeballs_delay(std::nullopt).interleave(2)), "66464")
        << "interleave without a delay is allowed";
}

// ---- a listener short of resources, with all the time in the world ----

TEST_F(SimConnect, B1_ten_seconds_without_descriptors_cost_a_few_attempts_and_one_report) {
    auto factory = [this] { return std::make_unique<RecordingProtocol>(&told_); };
    auto creating = loop().create_task(loop().create_server(factory, "127.0.0.1", 0));
    ASSERT_TRUE(run_until([&] { return creating.done(); }));
    const Ref<Server> server = creating.result();
    kernel().set_descriptor_limit(kernel().open_descriptors());
    const auto client = kernel().connect_peer(server->sockets().at(0).local_address());
    ASSERT_TRUE(client);
    const std::uint64_t calls = kernel().calls(SimCall::accept);
    const TimePoint start_time = kernel().now();
    ASSERT_TRUE(run_until([&] { return kernel().now() - start_time > 10s; }));
    EXPECT_EQ(take_reports().size(), 1U);
    EXPECT_LE(kernel().calls(SimCall::accept) - calls, 12U) << "more than about one a second";
    kernel().set_descriptor_limit(100);
    ASSERT_TRUE(run_until([&] { return told_.made(); }));
    told_.transport().abort();
    server->close();
    ASSERT_TRUE(run_until([&] { return told_.lost(); }));
}

TEST_F(SimConnect, an_aborted_connection_in_the_queue_does_not_stop_accepting) {
    auto factory = [this] { return std::make_unique<RecordingProtocol>(&told_); };
    auto creating = loop().create_task(loop().create_server(factory, "127.0.0.1", 0));
    ASSERT_TRUE(run_until([&] { return creating.done(); }));
    const Ref<Server> server = creating.result();
    kernel().fail_call(SimCall::accept, 1, ECONNABORTED);
    const auto client = kernel().connect_peer(server->sockets().at(0).local_address());
    ASSERT_TRUE(client);
    loop().run_once();
    EXPECT_TRUE(kernel().failure_hit());
    EXPECT_EQ(server->connection_count(), 1U) << "it went on with the next in the same burst";
    ASSERT_TRUE(run_until([&] { return told_.made(); }));
    told_.transport().abort();
    server->close();
    ASSERT_TRUE(run_until([&] { return told_.lost(); }));
}

TEST_F(SimConnect, N273_another_error_of_accept_is_reported_and_accepting_resumes) {
    auto factory = [this] { return std::make_unique<RecordingProtocol>(&told_); };
    auto creating = loop().create_task(loop().create_server(factory, "127.0.0.1", 0));
    ASSERT_TRUE(run_until([&] { return creating.done(); }));
    const Ref<Server> server = creating.result();
    kernel().fail_call(SimCall::accept, 1, EINVAL);
    const auto client = kernel().connect_peer(server->sockets().at(0).local_address());
    ASSERT_TRUE(client);
    ASSERT_TRUE(run_until([&] { return told_.made(); }));
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].error, std::errc::invalid_argument);
    told_.transport().abort();
    server->close();
    ASSERT_TRUE(run_until([&] { return told_.lost(); }));
}

TEST_F(SimConnect, N263_when_nothing_can_be_bound_every_address_is_listed) {
    kernel().add_host("many.test", {at("10.0.0.1"), at("10.0.0.2")});
    auto factory = [this] { return std::make_unique<RecordingProtocol>(&told_); };
    auto creating = loop().create_task(loop().create_server(factory, "many.test", 80));
    ASSERT_TRUE(run_until([&] { return creating.done(); }));
    const auto error = caught<AddressError>([&] { static_cast<void>(creating.result()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_not_available);
    EXPECT_THAT(error->what(), testing::HasSubstr("[10.0.0.1:80, 10.0.0.2:80]"));
    expect_losers_closed(0);
}

}  // namespace
}  // namespace sluice::test
