// What loops, servers and transports count, and the observer of the loop's rhythm.
#include "support/conformance.hpp"

#include <string>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

class Counters : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Counters, testing::ValuesIn(conformance_cases()), case_name);

class CountersPlain : public Counters {};

INSTANTIATE_TEST_SUITE_P(Every, CountersPlain, testing::ValuesIn(conformance_cases_without_tls()),
                         case_name);

TEST_P(Counters, a_transport_counts_its_bytes_and_keeps_the_numbers_after_the_loss) {
    open_quietly();
    peer_sends(pattern(100'000));
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == 100'000; }));
    transport().write(pattern(5'000));
    peer_receives(5'000);
    transport().close();
    run_until_lost();
    const TransportCounters counted = transport().get_extra_info(extra::counters);
    EXPECT_EQ(counted.bytes_received, 100'000U);
    EXPECT_EQ(counted.bytes_sent, 5'000U);
}

TEST_P(Counters, a_server_counts_what_it_accepted_and_what_is_open) {
    open_quietly({.via = Via::server});
    EXPECT_EQ(pair().server().counters().accepted, 1U);
    EXPECT_EQ(pair().server().counters().open, 1U);
    transport().abort();
    run_until_lost();
    EXPECT_EQ(pair().server().counters().accepted, 1U);
    EXPECT_EQ(pair().server().counters().open, 0U);
}

TEST_P(CountersPlain, a_loop_counts_connections_bytes_and_calls) {
    open_quietly();
    const LoopCounters before = loop().counters();
    EXPECT_EQ(before.connections_made, 1U);
    in_callback([&] {
        transport().write("one ");
        transport().write("call");
    });
    peer_receives(8);
    peer().send("x");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "x"; }));
    transport().close();
    run_until_lost();
    const LoopCounters after = loop().counters();
    EXPECT_EQ(after.send_calls - before.send_calls, 1U);
    // One more where a reader may be called for nothing.
    EXPECT_GE(after.receive_calls - before.receive_calls, 1U);
    EXPECT_LE(after.receive_calls - before.receive_calls, 2U);
    EXPECT_EQ(after.bytes_sent - before.bytes_sent, 8U);
    EXPECT_EQ(after.bytes_received - before.bytes_received, 1U);
    EXPECT_EQ(after.connections_lost, 1U);
    EXPECT_GT(after.iterations, before.iterations);
}

TEST_P(Counters, an_observer_hears_of_every_iteration_until_it_is_removed) {
    class Observer final : public LoopObserver {
    public:
        void on_iteration(std::chrono::nanoseconds slept, std::chrono::nanoseconds ran,
                          std::size_t) noexcept override {
            ++count;
            sane = sane && slept.count() >= 0 && ran.count() >= 0;
        }
        int count = 0;
        bool sane = true;
    } observer;
    loop().set_observer(&observer);
    loop().run_once();
    loop().run_once();
    loop().set_observer(nullptr);
    loop().run_once();
    EXPECT_EQ(observer.count, 2);
    EXPECT_TRUE(observer.sane);
}

TEST_P(Counters, pending_timers_are_counted_as_they_are_now) {
    TimerHandle timer = loop().call_later(std::chrono::hours(1), [] {});
    EXPECT_EQ(loop().counters().timers_pending, 1U);
    timer.cancel();
    EXPECT_EQ(loop().counters().timers_pending, 0U);
}

}  // namespace
}  // namespace sluice::test
