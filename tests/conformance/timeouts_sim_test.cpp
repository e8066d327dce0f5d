// When time limits of transports strike: to the millisecond, in simulated time.
#include "support/sim_server_fixture.hpp"

#include <algorithm>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class TimeoutsInTime : public SimServerTest {
protected:
    // A wait of the kernel ends on the next whole millisecond, and one iteration confirms the end.
    static void expect_at(long lost_ms, long wanted_ms) {
        EXPECT_GE(lost_ms, wanted_ms);
        EXPECT_LE(lost_ms, wanted_ms + 3);
    }
};

TEST_F(TimeoutsInTime, a_silent_connection_lives_exactly_as_long_as_it_may) {
    serve(ServerOptions().idle_timeout(10s));
    const SimPeer peer = client();
    pass(1ms);
    const long began = now_ms();
    ASSERT_EQ(connections().size(), 1U);
    pass(9900ms);
    EXPECT_EQ(lost_at_ms(), -1);
    pass(1s);
    expect_at(lost_at_ms(), began + 9999);
    EXPECT_EQ(connection().trace(), "M L(idle_timeout)");
    EXPECT_FALSE(peer.broken() && !peer.at_end());
}

TEST_F(TimeoutsInTime, every_byte_received_starts_it_anew) {
    serve(ServerOptions().idle_timeout(10s));
    SimPeer peer = client();
    for (int count = 0; count < 5; ++count) {
        pass(9s);
        say(peer, "x");
    }
    pass(1ms);
    const long last = now_ms();
    pass(20s);
    expect_at(lost_at_ms(), last + 9999);
    EXPECT_EQ(connection().merged_trace(), "M D5 L(idle_timeout)");
}

TEST_F(TimeoutsInTime, every_byte_sent_starts_it_anew) {
    serve(ServerOptions().idle_timeout(10s));
    SimPeer peer = client();
    pass(1ms);
    for (int count = 0; count < 5; ++count) {
        pass(9s);
        connection().transport().write("x");
    }
    const long last = now_ms();
    pass(20s);
    expect_at(lost_at_ms(), last + 9998);
    EXPECT_EQ(peer.receive(100).size(), 5U);
}

TEST_F(TimeoutsInTime, a_loop_that_was_held_up_looks_for_bytes_before_it_judges) {
    serve(ServerOptions().idle_timeout(10s));
    SimPeer peer = client();
    pass(5s);
    // Nothing of ours runs for a minute, and the peer speaks meanwhile.
    kernel().advance(30s);
    say(peer, "I am here");
    kernel().advance(30s);
    pass(9s);
    EXPECT_EQ(connection().merged_trace(), "M D9");
    pass(2s);
    EXPECT_EQ(connection().merged_trace(), "M D9 L(idle_timeout)");
}

TEST_F(TimeoutsInTime, a_callback_that_takes_long_costs_no_other_connection_its_life) {
    serve(ServerOptions().idle_timeout(10s));
    client();
    SimPeer second = client();
    pass(9s);
    say(second, "in the same batch");
    loop().call_soon([this] { kernel().advance(60s); });
    pass(1ms);
    // The second one's bytes were delivered after the minute, with the time from before it.
    EXPECT_EQ(connection(1).merged_trace(), "M D17");
    pass(1s);
    EXPECT_EQ(connection(0).merged_trace(), "M L(idle_timeout)");
}

TEST_F(TimeoutsInTime, while_reading_is_paused_the_time_stands_still_and_counts_anew_afterwards) {
    serve(ServerOptions().idle_timeout(10s));
    client();
    pass(1ms);
    connection().transport().pause_reading();
    pass(19s);
    connection().transport().resume_reading();
    const long resumed = now_ms();
    pass(9900ms);
    EXPECT_EQ(lost_at_ms(), -1);
    pass(1s);
    expect_at(lost_at_ms(), resumed + 9999);
}

TEST_F(TimeoutsInTime, a_peer_that_takes_nothing_is_given_up_when_the_time_is_over) {
    kernel().set_capacity(10'000, 10'000);
    serve(ServerOptions().write_timeout(5s));
    client();
    pass(3s);
    connection().transport().write(pattern(100'000));
    const long began = now_ms();
    pass(4900ms);
    EXPECT_EQ(lost_at_ms(), -1);
    pass(1s);
    expect_at(lost_at_ms(), began + 4999);
    EXPECT_EQ(connection().reason(), make_error_code(Error::write_timeout));
}

TEST_F(TimeoutsInTime, a_peer_that_reads_slowly_is_served_to_the_end) {
    kernel().set_capacity(10'000, 10'000);
    serve(ServerOptions().write_timeout(5s));
    SimPeer peer = client();
    pass(1ms);
    const std::string sent = pattern(100'000);
    connection().transport().write(sent);
    connection().transport().close();
    std::size_t received = 0;
    for (int count = 0; count < 100 && received < sent.size(); ++count) {
        pass(4s);
        received += peer.receive(9'000).size();
    }
    EXPECT_EQ(received, sent.size());
    pass(1s);
    EXPECT_EQ(connection().reason(), std::error_code());
    EXPECT_GT(lost_at_ms(), 20'000);
}

// The timer of the first standstill still runs when the second one begins.
TEST_F(TimeoutsInTime, each_standstill_has_its_whole_time) {
    kernel().set_capacity(10'000, 10'000);
    serve(ServerOptions().write_timeout(5s));
    SimPeer peer = client();
    pass(1ms);
    connection().transport().write(pattern(15'000));
    pass(1s);
    std::size_t received = 0;
    for (int count = 0; count < 4; ++count) {
        received += peer.receive(20'000).size();
        pass(1ms);
    }
    ASSERT_EQ(received, 15'000U);
    pass(3s);
    connection().transport().write(pattern(100'000));
    const long began = now_ms();
    pass(10s);
    expect_at(lost_at_ms(), began + 4997);
}

TEST_F(TimeoutsInTime, thousands_that_say_nothing_are_all_closed_and_cost_nothing_afterwards) {
    kernel().set_descriptor_limit(4096);
    Ref<Server> server = serve(ServerOptions().idle_timeout(10s).backlog(4096));
    const std::size_t before = kernel().open_descriptors();
    std::vector<SimPeer> peers;
    for (int count = 0; count < 1000; ++count) {
        peers.push_back(client("10.0.0." + std::to_string(count % 250 + 1)));
    }
    pass(1s);
    ASSERT_EQ(server->connection_count(), 1000U);
    EXPECT_EQ(kernel().open_descriptors(), before + 1000);
    pass(12s);
    EXPECT_EQ(server->connection_count(), 0U);
    EXPECT_EQ(kernel().open_descriptors(), before);
    EXPECT_EQ(loop().counters().timers_pending, 0U);
    EXPECT_TRUE(std::ranges::all_of(
        connections(), [](const Recorder* each) { return each->reason() == Error::idle_timeout; }));
}

TEST_F(TimeoutsInTime, a_timer_runs_once_for_the_limit_not_for_each_message) {
    serve(ServerOptions().idle_timeout(10s));
    SimPeer peer = client();
    pass(1ms);
    const std::uint64_t fired_before = loop().counters().timers_fired;
    for (int count = 0; count < 500; ++count) {
        say(peer, "x");
        pass(20ms);
    }
    EXPECT_LE(loop().counters().timers_fired - fired_before, 3U);
    EXPECT_EQ(loop().counters().timers_pending, 1U);
    EXPECT_EQ(connection().count('L'), 0U);
}

}  // namespace
}  // namespace sluice::test
