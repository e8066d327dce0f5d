// Timers: call_later, call_at, sleep. Nothing here measures how late a timer is; only that it is
// never early, and in which order timers come.
#include "support/loop_fixture.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Timers : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Timers, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Timers, T388_timers_run_in_the_order_of_their_deadlines) {
    std::string ran;
    const TimePoint start = loop().time();
    loop().call_at(start + 3ms, [&] { ran += 'c'; });
    loop().call_at(start + 1ms, [&] { ran += 'a'; });
    loop().call_at(start + 2ms, [&] { ran += 'b'; });
    ASSERT_TRUE(run_until([&] { return ran.size() == 3; }));
    EXPECT_EQ(ran, "abc");
}

TEST_P(Timers, T388_equal_deadlines_run_in_the_order_of_the_calls) {
    std::vector<int> ran;
    const TimePoint when = loop().time() + 1ms;
    for (int i = 0; i < 50; ++i) {
        loop().call_at(when, [&ran, i] { ran.push_back(i); });
    }
    ASSERT_TRUE(run_until([&] { return ran.size() == 50; }));
    EXPECT_TRUE(std::is_sorted(ran.begin(), ran.end()));
}

TEST_P(Timers, T388_zero_and_negative_delays_run_soon_but_never_inside_the_call) {
    std::string ran;
    loop().call_later(0ns, [&] { ran += '0'; });
    loop().call_later(-1s, [&] { ran += '-'; });
    loop().call_later(Duration::min(), [&] { ran += 'm'; });
    loop().call_at(TimePoint::min(), [&] { ran += 'p'; });
    EXPECT_EQ(ran, "");
    ASSERT_TRUE(run_until([&] { return ran.size() == 4; }));
    std::sort(ran.begin(), ran.end());
    EXPECT_EQ(ran, "-0mp");
}

TEST_P(Timers, T388_a_delay_of_centuries_neither_overflows_nor_runs) {
    bool ran = false;
    const TimerHandle first = loop().call_later(Duration::max(), [&] { ran = true; });
    const TimerHandle second = loop().call_at(TimePoint::max(), [&] { ran = true; });
    const TimerHandle third =
        loop().call_later(std::chrono::hours(24 * 365 * 200), [&] { ran = true; });
    run_idle();
    loop().run_once(1ms);
    EXPECT_FALSE(ran);
    EXPECT_GT(first.when(), loop().time());
}

TEST_P(Timers, T389_a_timer_never_fires_early) {
    for (const Duration delay :
         std::initializer_list<Duration>{1us, 100us, 999us, 1ms, 1001us, 3ms}) {
        const TimePoint due = loop().time() + delay;
        std::optional<TimePoint> fired;
        loop().call_at(due, [&] { fired = loop().time(); });
        ASSERT_TRUE(run_until([&] { return fired.has_value(); }));
        EXPECT_GE(*fired, due) << delay.count() << " ns";
    }
}

TEST_P(Timers, T389_waiting_for_a_timer_does_not_spin) {
    // One wait that ends at the deadline, not hundreds of waits of zero: rounding up, not down.
    bool fired = false;
    loop().call_later(20ms, [&] { fired = true; });
    int iterations = 0;
    while (!fired) {
        loop().run_once(std::nullopt);
        ++iterations;
    }
    EXPECT_LE(iterations, 5);
}

TEST_P(Timers, a_timer_set_by_a_timer_waits_for_the_next_iteration) {
    const TimePoint past = loop().time() - 1h;
    int inner = 0;
    bool outer = false;
    loop().call_at(past, [&] {
        outer = true;
        loop().call_at(past, [&] { ++inner; });
    });
    loop().run_once();
    EXPECT_TRUE(outer);
    EXPECT_EQ(inner, 0);
    run_idle();
    EXPECT_EQ(inner, 1);
}

TEST_P(Timers, when_cancel_and_cancelled_tell_the_truth) {
    const TimePoint due = loop().time() + 1h;
    auto owned = std::make_shared<int>(0);
    TimerHandle timer = loop().call_at(due, [owned] {});
    EXPECT_EQ(timer.when(), due);
    EXPECT_FALSE(timer.cancelled());
    timer.cancel();
    EXPECT_TRUE(timer.cancelled());
    EXPECT_EQ(timer.when(), due);
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "a cancelled timer still wakes the loop";
}

TEST_P(Timers, cancelling_a_timer_that_has_run_changes_nothing) {
    bool ran = false;
    TimerHandle timer = loop().call_later(0ns, [&] { ran = true; });
    ASSERT_TRUE(run_until([&] { return ran; }));
    timer.cancel();
    EXPECT_FALSE(timer.cancelled());
}

TEST_P(Timers, T390_B10_of_100000_timers_cancelled_at_random_exactly_the_others_fire_in_order) {
    constexpr std::size_t count = 100'000;
    std::mt19937 random(20240517);
    std::vector<TimerHandle> timers(count);
    std::vector<TimePoint> due(count);
    std::vector<std::size_t> fired;
    const TimePoint start = loop().time();
    for (std::size_t i = 0; i < count; ++i) {
        // Few different deadlines, so that equal ones are common.
        due[i] = start + std::chrono::microseconds(random() % 1000);
        timers[i] = loop().call_at(due[i], [&, i] {
            fired.push_back(i);
            timers[i].cancel();
            timers[(i * 7919) % count].cancel();
        });
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), random);
    order.resize(count * 2 / 3);
    for (const std::size_t i : order) {
        timers[i].cancel();
    }
    ASSERT_TRUE(run_until([&] { return !loop().next_timeout(); }));
    std::vector<char> has_fired(count, 0);
    for (std::size_t k = 0; k < fired.size(); ++k) {
        const std::size_t i = fired[k];
        EXPECT_FALSE(has_fired[i]) << "timer " << i << " fired twice";
        has_fired[i] = 1;
        if (k > 0) {
            const std::size_t before = fired[k - 1];
            ASSERT_TRUE(due[before] < due[i] || (due[before] == due[i] && before < i));
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        ASSERT_NE(has_fired[i] != 0, timers[i].cancelled()) << i;
    }
}

TEST_P(Timers, T390_closures_of_many_cancelled_timers_are_freed_at_once) {
    auto owned = std::make_shared<int>(0);
    std::vector<TimerHandle> timers;
    for (int i = 0; i < 1000; ++i) {
        timers.push_back(loop().call_later(1h, [owned] {}));
    }
    for (TimerHandle& timer : timers) {
        timer.cancel();
    }
    EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(Timers, an_exception_of_a_timer_reaches_the_handler_and_the_next_timer_runs) {
    bool next = false;
    const TimePoint due = loop().time();
    loop().call_at(due, [] { throw std::runtime_error("in a timer"); });
    loop().call_at(due, [&] { next = true; });
    ASSERT_TRUE(run_until([&] { return next; }));
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "in a timer");
}

TEST_P(Timers, B9_the_clock_of_the_loop_is_monotonic) {
    TimePoint before = loop().time();
    for (int i = 0; i < 1000; ++i) {
        const TimePoint now = loop().time();
        ASSERT_GE(now, before);
        before = now;
    }
}

// ---- sleep ----

Task<void> sleep_and_note(Duration delay, std::string& log, char name) {
    co_await sleep(delay);
    log += name;
}

TEST_P(Timers, sleep_ends_in_the_order_of_the_deadlines_and_never_early) {
    std::string log;
    const TimePoint start = loop().time();
    TaskHandle<void> slow = loop().create_task(sleep_and_note(4ms, log, 's'));
    TaskHandle<void> fast = loop().create_task(sleep_and_note(2ms, log, 'f'));
    finish(slow);
    EXPECT_EQ(log, "fs");
    EXPECT_TRUE(fast.done());
    EXPECT_GE(loop().time() - start, 4ms);
}

TEST_P(Timers, sleep_of_zero_or_less_lets_everything_else_that_is_ready_run_once) {
    std::string log;
    auto body = [](std::string& out, Duration delay) -> Task<void> {
        out += '1';
        co_await sleep(delay);
        out += '2';
    };
    for (const Duration delay : std::initializer_list<Duration>{0ns, -1s}) {
        log.clear();
        TaskHandle<void> task = loop().create_task(body(log, delay));
        loop().call_soon([&] { log += 'x'; });
        finish(task);
        EXPECT_EQ(log, "1x2");
    }
}

TEST_P(Timers, sleep_of_centuries_does_not_end_at_once) {
    std::string log;
    TaskHandle<void> task = loop().create_task(sleep_and_note(Duration::max(), log, 'x'));
    TaskHandle<void> other =
        loop().create_task(sleep_and_note(std::chrono::hours(24 * 365 * 280), log, 'y'));
    run_idle();
    EXPECT_EQ(log, "");
    EXPECT_FALSE(task.done());
    task.cancel();
    other.cancel();
    run_idle();
    EXPECT_TRUE(task.cancelled());
}

TEST_P(Timers, sleep_takes_any_unit_and_the_longest_value_of_it) {
    auto body = []() -> Task<void> {
        co_await sleep(std::chrono::duration<double, std::milli>(0.5));
        co_await sleep(std::chrono::microseconds(1));
    };
    run(body());
    // hours::max() does not fit the loop's nanoseconds: it means "for ever", not "at once".
    auto longest = []() -> Task<void> { co_await sleep(std::chrono::hours::max()); };
    TaskHandle<void> task = loop().create_task(longest());
    run_idle();
    EXPECT_FALSE(task.done());
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.cancelled());
}

}  // namespace
}  // namespace sluice::test
