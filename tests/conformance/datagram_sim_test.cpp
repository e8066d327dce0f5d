// Datagram endpoints on the simulated system: what the network and the kernel refuse, when they
// refuse it, and how much is kept meanwhile.
#include "support/datagram_fixture.hpp"
#include "support/sys_sim.hpp"

#include <cerrno>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

struct DatagramKernelFirst {
    SimKernel kernel;
};

// The kernel is a base, so that it exists before the loop of the other base and after it.
class SimDatagrams : private DatagramKernelFirst, public DatagramTest {
protected:
    ~SimDatagrams() override { EXPECT_TRUE(kernel().violations().empty()); }
    SimKernel& kernel() noexcept { return DatagramKernelFirst::kernel; }

    /// Two endpoints; what the first sends the second is told in there_.
    void open_both(DatagramOptions options = DatagramOptions()) {
        here = &open(options.local_address("127.0.0.1", 0));
        there = &open(DatagramOptions().local_address("127.0.0.1", 0), there_told_);
    }
    int fd() const { return here->get_extra_info(extra::socket).fd(); }
    void send(const std::string& data) { here->sendto(data, address(*there)); }
    void send_all(std::initializer_list<const char*> all) {
        in_callback([&] {
            for (const char* data : all) {
                send(data);
            }
        });
    }
    void expect_arrived(std::vector<std::string> expected) {
        run_until([&] { return there_told_.received.size() >= expected.size(); });
        run_idle();
        EXPECT_EQ(there_told_.received, expected);
    }

    DatagramTransport* here = nullptr;
    DatagramTransport* there = nullptr;
    DatagramRecorder there_told_;
};

// ---- sending ----

TEST_F(SimDatagrams, what_one_callback_sends_leaves_in_one_call) {
    open_both();
    const std::uint64_t before = kernel().calls(SimCall::send_datagrams);
    send_all({"one", "two", "three", "four"});
    EXPECT_EQ(kernel().calls(SimCall::send_datagrams), before + 1);
    expect_arrived({"one", "two", "three", "four"});
}

TEST_F(SimDatagrams, P309_P310_what_would_block_waits_in_order_as_a_copy) {
    open_both();
    kernel().block_datagrams(fd(), true);
    in_callback([&] {
        std::string text = "first";
        send(text);
        text = "12345";
    });
    send("second");
    EXPECT_EQ(here->get_write_buffer_size(), 5U + 6U + 16U);
    run_idle();
    EXPECT_TRUE(there_told_.received.empty());
    kernel().block_datagrams(fd(), false);
    expect_arrived({"first", "second"});
    EXPECT_EQ(here->get_write_buffer_size(), 0U);
    EXPECT_TRUE(told_.errors.empty());
}

TEST_F(SimDatagrams, P312_a_refused_datagram_in_the_queue_is_dropped_and_the_rest_goes_on) {
    open_both(DatagramOptions().gso(false));
    kernel().block_datagrams(fd(), true);
    send_all({"one", "two", "three"});
    kernel().block_datagrams(fd(), false);
    kernel().fail_call(SimCall::send_datagrams, 1, ENETUNREACH);
    expect_arrived({"two", "three"});
    ASSERT_EQ(told_.errors.size(), 1U);
    EXPECT_EQ(told_.errors[0], std::errc::network_unreachable);
    EXPECT_EQ(counters(*here).send_errors, 1U);
    EXPECT_EQ(counters(*here).sent, 2U);
}

TEST_F(SimDatagrams, P312_an_error_of_a_datagram_sent_at_once_comes_from_the_loop) {
    open_both();
    kernel().fail_call(SimCall::send_datagrams, 1, EPERM);
    send("outside of any callback");
    EXPECT_TRUE(told_.errors.empty());
    ASSERT_TRUE(run_until([&] { return !told_.errors.empty(); }));
    EXPECT_EQ(told_.errors[0], std::errc::operation_not_permitted);
    EXPECT_FALSE(here->is_closing());
}

TEST_F(SimDatagrams, errors_that_wait_are_told_before_connection_lost_but_not_after_abort) {
    open_both();
    kernel().fail_call(SimCall::send_datagrams, 1, EPERM);
    send("refused");
    here->close();
    run_until_lost();
    EXPECT_EQ(told_.trace, "MEL");

    there->sendto("x", address(*there));
    kernel().fail_call(SimCall::send_datagrams, 1, EPERM);
    there->sendto("refused", address(*there));
    there->abort();
    ASSERT_TRUE(run_until([&] { return there_told_.lost.has_value(); }));
    EXPECT_EQ(there_told_.trace, "ML");
}

TEST_F(SimDatagrams, an_error_received_that_sends_what_is_refused_again_does_not_stop_the_loop) {
    open_both();
    const std::string too_long(70'000, 'x');
    told_.on_error = [&](std::error_code) { send(too_long); };
    send(too_long);
    bool timer_ran = false;
    loop().call_later(1ms, [&] { timer_ran = true; });
    ASSERT_TRUE(run_until([&] { return timer_ran; }));
    EXPECT_GT(told_.errors.size(), 1U);
}

TEST_F(SimDatagrams, more_errors_than_are_kept_are_counted_all_the_same) {
    open_both();
    in_callback([&] {
        for (std::size_t i = 0; i < 3 * limits::datagram_errors_kept; ++i) {
            send(std::string(70'000, 'x'));
        }
    });
    run_idle();
    EXPECT_EQ(told_.errors.size(), limits::datagram_errors_kept);
    EXPECT_EQ(counters(*here).send_errors, 3 * limits::datagram_errors_kept);
}

// ---- joined datagrams ----

TEST_F(SimDatagrams, datagrams_of_one_size_for_one_address_are_handed_over_as_one) {
    kernel().datagram_segmentation = true;
    open_both();
    send_all({"aaa", "bbb", "ccc", "d", "eeee", "ffff"});
    expect_arrived({"aaa", "bbb", "ccc", "d", "eeee", "ffff"});
    EXPECT_EQ(counters(*here).sent, 6U);
}

TEST_F(SimDatagrams, joining_that_the_device_refuses_is_given_up_without_loss) {
    for (const int error : {EIO, EOPNOTSUPP, ENOPROTOOPT, EINVAL, EMSGSIZE}) {
        kernel().datagram_segmentation = true;
        there_told_.received.clear();
        open_both();
        kernel().fail_call(SimCall::send_datagrams, 1, error);
        send_all({"aaa", "bbb", "ccc"});
        expect_arrived({"aaa", "bbb", "ccc"});
        EXPECT_TRUE(told_.errors.empty()) << error;
        const bool for_good = error != EINVAL && error != EMSGSIZE;
        EXPECT_EQ(here->get_extra_info(extra::gso), !for_good) << error;
    }
}

TEST_F(SimDatagrams, another_error_of_joined_datagrams_costs_the_first_of_them_only) {
    kernel().datagram_segmentation = true;
    open_both();
    kernel().fail_call(SimCall::send_datagrams, 1, ECONNREFUSED);
    send_all({"aaa", "bbb", "ccc"});
    expect_arrived({"bbb", "ccc"});
    EXPECT_EQ(told_.errors.size(), 1U);
}

// ---- flow control ----

TEST_F(SimDatagrams, pause_writing_comes_above_the_mark_and_resume_writing_at_the_low_one) {
    open_both();
    here->set_write_buffer_limits(100, 50);
    kernel().block_datagrams(fd(), true);
    send(std::string(92, 'a'));
    EXPECT_EQ(told_.trace, "M") << "100 bytes are not above 100";
    send("");
    EXPECT_EQ(told_.trace, "MP") << "inside the call that crosses it";
    send("more is taken all the same");
    kernel().block_datagrams(fd(), false);
    ASSERT_TRUE(run_until([&] { return told_.trace == "MPR"; }));
    EXPECT_EQ(here->get_write_buffer_size(), 0U);
}

TEST_F(SimDatagrams, a_high_mark_of_zero_pauses_whenever_anything_waits) {
    open_both();
    here->set_write_buffer_limits(0);
    in_callback([&] {
        send("at once");
        EXPECT_EQ(here->get_write_buffer_size(), 0U) << "nothing is gathered";
        kernel().block_datagrams(fd(), true);
        send("");
        EXPECT_EQ(told_.trace, "MP");
    });
    kernel().block_datagrams(fd(), false);
    ASSERT_TRUE(run_until([&] { return told_.trace == "MPR"; }));
}

TEST_F(SimDatagrams, changed_limits_take_effect_from_the_loop) {
    open_both();
    kernel().block_datagrams(fd(), true);
    send(std::string(1000, 'x'));
    here->set_write_buffer_limits(500);
    EXPECT_EQ(told_.trace, "M");
    ASSERT_TRUE(run_until([&] { return told_.trace == "MP"; }));
    here->set_write_buffer_limits(10'000);
    ASSERT_TRUE(run_until([&] { return told_.trace == "MPR"; }));
}

TEST_F(SimDatagrams, I5_beyond_the_cap_datagrams_are_dropped_and_counted) {
    open_both();
    here->set_write_buffer_cap(50);
    kernel().block_datagrams(fd(), true);
    for (int i = 0; i < 10; ++i) {
        send("0123456789");
    }
    EXPECT_EQ(here->get_write_buffer_size(), 36U);
    EXPECT_EQ(counters(*here).dropped, 8U);
    kernel().block_datagrams(fd(), false);
    expect_arrived({"0123456789", "0123456789"});
}

TEST_F(SimDatagrams, a_long_backlog_drains_in_order_and_is_bounded_by_what_waits) {
    open_both();
    kernel().block_datagrams(fd(), true);
    std::vector<std::string> expected;
    for (int i = 0; i < 500; ++i) {
        expected.push_back(std::to_string(i));
        send(expected.back());
    }
    kernel().block_datagrams(fd(), false);
    expect_arrived(expected);
}

// ---- ending ----

TEST_F(SimDatagrams, P322_close_waits_for_the_queue_and_connection_lost_follows_the_last_one) {
    open_both();
    kernel().block_datagrams(fd(), true);
    send_all({"one", "two"});
    here->close();
    send("dropped");
    run_idle();
    EXPECT_FALSE(told_.lost);
    kernel().block_datagrams(fd(), false);
    run_until_lost();
    EXPECT_EQ(told_.trace, "ML");
    expect_arrived({"one", "two"});
}

TEST_F(SimDatagrams, P322_abort_after_close_cuts_the_waiting_short) {
    open_both();
    const Ref<DatagramTransport> kept(here);
    kernel().block_datagrams(fd(), true);
    send_all({"one", "two"});
    here->close();
    here->abort();
    EXPECT_EQ(here->get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(told_.trace, "ML");
    EXPECT_EQ(counters(*kept).dropped, 2U);
}

// ---- receiving ----

TEST_F(SimDatagrams, P321_an_error_of_receiving_is_told_and_would_block_is_not) {
    open_both();
    kernel().fail_call(SimCall::receive_datagrams, 1, ENOMEM);
    there->sendto("one", address(*here));
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 1; }));
    ASSERT_EQ(told_.errors.size(), 1U);
    EXPECT_EQ(told_.errors[0], std::errc::not_enough_memory);
    kernel().fail_call(SimCall::receive_datagrams, 1, EAGAIN);
    there->sendto("two", address(*here));
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 2; }));
    EXPECT_EQ(told_.errors.size(), 1U);
    EXPECT_EQ(counters(*here).receive_errors, 1U);
}

TEST_F(SimDatagrams, what_a_full_receiver_loses_is_the_networks_loss_and_no_error) {
    kernel().set_datagram_room(5);
    open_both();
    in_callback([&] {
        for (int i = 0; i < 20; ++i) {
            send(std::to_string(i));
        }
    });
    expect_arrived({"0", "1", "2", "3", "4"});
    EXPECT_EQ(counters(*here).sent, 20U);
    EXPECT_TRUE(told_.errors.empty());
}

TEST_F(SimDatagrams, every_call_that_opening_makes_may_fail_and_nothing_stays_open) {
    run_idle();
    const std::size_t before = kernel().open_descriptors();
    for (const SimCall call : {SimCall::open_socket, SimCall::set_option, SimCall::bind,
                               SimCall::set_datagram_option, SimCall::connect, SimCall::resolve}) {
        kernel().fail_call(call, 1, EACCES);
        const auto error = caught<AddressError>([&] {
            open(DatagramOptions()
                     .local_address("localhost", 0)
                     .remote_address("127.0.0.1", 9)
                     .family(Family::ipv4)
                     .reuse_port(true)
                     .ttl(3));
        });
        ASSERT_TRUE(error) << to_string(call);
        EXPECT_TRUE(kernel().failure_hit()) << to_string(call);
        EXPECT_EQ(error->code(), std::error_code(EACCES, std::system_category()));
        EXPECT_EQ(kernel().open_descriptors(), before) << to_string(call);
    }
    EXPECT_EQ(told_.trace, "");
}

TEST_F(SimDatagrams, a_socket_that_cannot_be_watched_ends_the_endpoint_with_the_reason) {
    kernel().fail_call(SimCall::epoll_add, 1, ENOSPC);
    open(DatagramOptions().local_address("127.0.0.1", 0));
    run_until_lost();
    EXPECT_EQ(told_.lost, std::error_code(ENOSPC, std::system_category()));
    EXPECT_EQ(told_.trace, "ML");
}

TEST_F(SimDatagrams, P328_the_second_family_is_tried_when_the_first_cannot_be_bound) {
    kernel().add_host("both.test", {SocketAddress::parse("10.0.0.1", 80).value(),
                                    SocketAddress::parse("::1", 80).value()});
    DatagramTransport& transport = open(DatagramOptions().local_address("both.test", 80));
    EXPECT_EQ(address(transport).host(), "::1");
    kernel().add_host("none.test", {SocketAddress::parse("10.0.0.1", 80).value(),
                                    SocketAddress::parse("fd00::1", 80).value()});
    EXPECT_THAT(
        message_of<AddressError>([&] { open(DatagramOptions().local_address("none.test", 80)); }),
        testing::HasSubstr("10.0.0.1:80"))
        << "the first failure stands for all";
}

TEST_F(SimDatagrams, P316_the_zone_of_an_ipv6_address_tells_peers_apart) {
    const SocketAddress peer =
        SocketAddress::ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 9, 2);
    const SocketAddress elsewhere =
        SocketAddress::ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 9, 3);
    DatagramTransport& transport = open(DatagramOptions().remote_address(peer));
    EXPECT_THROW(transport.sendto("x", elsewhere), std::invalid_argument);
    transport.sendto("x", peer);
}

TEST_F(SimDatagrams, under_random_faults_nothing_is_lost_that_was_counted_as_sent) {
    kernel().faults.spurious_block = 300;
    kernel().faults.delay = 300;
    kernel().faults.delay_most = 5ms;
    kernel().datagram_segmentation = true;
    open_both();
    std::vector<std::string> expected;
    for (int round = 0; round < 50; ++round) {
        in_callback([&] {
            for (int i = 0; i < 10; ++i) {
                expected.push_back(pattern(static_cast<std::size_t>(round * i % 97),
                                           static_cast<unsigned>(round + i)));
                send(expected.back());
            }
        });
    }
    expect_arrived(expected);
    EXPECT_EQ(counters(*here).sent, expected.size());
}

}  // namespace
}  // namespace sluice::test
