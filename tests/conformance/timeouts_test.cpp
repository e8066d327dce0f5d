// Time limits of transports, in every column: that they end a connection, and say why. When exactly is
// shown in simulated time, in timeouts_sim_test.cpp.
//
// A limit that must not strike is shown by one that does later: no case hangs on how fast anything is.
#include "support/conformance.hpp"

#include <chrono>
#include <stdexcept>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

constexpr auto soon = 10ms;
constexpr auto several_times_soon = 50ms;

class Timeouts : public ConformanceTest {
protected:
    // Lets the loop run for this long.
    void pass(std::chrono::milliseconds time) {
        bool over = false;
        loop().call_later(time, [&over] { over = true; });
        ASSERT_TRUE(run_until([&over] { return over; }));
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Timeouts, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(Timeouts, a_connection_on_which_nothing_moves_is_lost_with_idle_timeout) {
    open_quietly();
    transport().set_idle_timeout(soon);
    EXPECT_EQ(transport().get_idle_timeout(), std::chrono::nanoseconds(soon));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(idle_timeout)");
    EXPECT_EQ(recorder().reason(), std::errc::timed_out);
}

TEST_P(Timeouts, the_limit_can_be_set_in_connection_made) {
    recorder().on_made = [](Transport& transport) {
        transport.set_idle_timeout(several_times_soon);
    };
    open();
    run_until_lost();
    EXPECT_EQ(recorder().reason(), make_error_code(Error::idle_timeout));
}

TEST_P(Timeouts, a_limit_that_is_taken_back_does_nothing) {
    open_quietly();
    transport().set_idle_timeout(soon);
    transport().set_write_timeout(soon);
    transport().set_idle_timeout({});
    transport().set_write_timeout({});
    EXPECT_EQ(transport().get_idle_timeout(), std::nullopt);
    EXPECT_EQ(transport().get_write_timeout(), std::nullopt);
    pass(several_times_soon);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Timeouts, whoever_does_not_read_does_not_complain_of_silence) {
    open_quietly();
    transport().pause_reading();
    transport().set_idle_timeout(soon);
    pass(several_times_soon);
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(idle_timeout)");
}

TEST_P(Timeouts, a_peer_that_does_not_read_costs_the_connection) {
    open_quietly({.small_buffers = true});
    plug();
    transport().set_write_timeout(soon);
    EXPECT_EQ(transport().get_write_timeout(), std::chrono::nanoseconds(soon));
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(write_timeout)");
    EXPECT_EQ(recorder().reason(), std::errc::timed_out);
}

TEST_P(Timeouts, a_limit_set_before_the_peer_stops_reading_holds_as_well) {
    open_quietly({.small_buffers = true});
    transport().set_write_timeout(several_times_soon);
    transport().set_write_buffer_limits(16 * 1024 * 1024);
    transport().write(pattern(4 * 1024 * 1024));
    ASSERT_GT(transport().get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(write_timeout)");
}

TEST_P(Timeouts, close_does_not_wait_for_ever_for_a_peer_that_does_not_read) {
    open_quietly({.small_buffers = true});
    plug();
    transport().set_write_timeout(soon);
    transport().close();
    // Not the suite's run_until(), whose TLS peer reads once our end is closing.
    ASSERT_TRUE(LoopTest::run_until([this] { return recorder().lost(); }));
    EXPECT_EQ(recorder().trace(), "L(write_timeout)");
}

TEST_P(Timeouts, nothing_to_send_is_not_a_standstill_of_writing) {
    open_quietly();
    transport().set_write_timeout(soon);
    transport().write("taken at once");
    pass(several_times_soon);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Timeouts, a_limit_that_is_not_positive_is_refused_and_named) {
    open_quietly();
    for (const auto limit : {0ns, -1ns}) {
        EXPECT_THROW(transport().set_idle_timeout(limit), std::invalid_argument);
        EXPECT_THROW(transport().set_write_timeout(limit), std::invalid_argument);
    }
    try {
        transport().set_idle_timeout(-5ns);
    } catch (const std::invalid_argument& error) {
        EXPECT_STREQ(error.what(), "set_idle_timeout(): limit of -5 ns is not positive");
    }
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Timeouts, a_lost_connection_has_no_limits_any_more) {
    open_quietly();
    transport().set_idle_timeout(1h);
    transport().set_write_timeout(1h);
    transport().abort();
    transport().set_idle_timeout(soon);
    run_until_lost();
    transport().set_idle_timeout(soon);
    transport().set_write_timeout(soon);
    pass(several_times_soon);
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Timeouts, the_loop_may_go_before_the_limit_has_passed) {
    open_quietly();
    transport().set_idle_timeout(1h);
    transport().set_write_timeout(1h);
    const Ref<Transport> kept(&transport());
    release_resources();
    destroy_loop();
    kept->set_idle_timeout(soon);
    EXPECT_EQ(recorder().trace(), "");
}

}  // namespace
}  // namespace sluice::test
