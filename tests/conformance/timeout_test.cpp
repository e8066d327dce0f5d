// timeout(), timeout_at(), cancelling() and uncancel(), shield(): whose cancellation it was, as asyncio
// tells it.
#include <sluice/shield.hpp>
#include <sluice/timeout.hpp>

#include "support/coroutines.hpp"
#include "support/loop_fixture.hpp"

#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Timeouts : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Timeouts, testing::ValuesIn(backends()), backend_case_name);

Task<std::string> slowly(Duration time, std::string result) {
    co_await sleep(time);
    co_return result;
}

TEST_P(Timeouts, what_ends_in_time_gives_its_result_and_leaves_no_timer) {
    EXPECT_EQ(run(timeout(1h, slowly(1ms, "done"))), "done");
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(Timeouts, an_expiry_is_a_timeout_error_and_a_system_error) {
    const auto error = caught<std::system_error>([&] { run(timeout(5ms, slowly(1h, ""))); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::timed_out);
    EXPECT_THAT(error->what(), testing::HasSubstr("not done within 0.005 s"));
    EXPECT_THROW(run(timeout_at(loop().time() + 1ms, slowly(1h, ""))), TimeoutError);
}

TEST_P(Timeouts, an_exception_of_what_is_awaited_passes) {
    auto failing = []() -> Task<> {
        co_await sleep(0ns);
        throw std::runtime_error("its own");
    };
    EXPECT_EQ(message_of<std::runtime_error>([&] { run(timeout(1h, failing())); }), "its own");
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(Timeouts, without_any_time_it_still_runs_to_where_it_first_waits) {
    auto at_once = []() -> Task<int> { co_return 5; };
    EXPECT_EQ(run(timeout(0s, at_once())), 5);
    EXPECT_EQ(run(timeout(-1h, at_once())), 5);
    EXPECT_THROW(run(timeout(0s, sleep(0ns))), TimeoutError);
    EXPECT_THROW(run(timeout_at(TimePoint(), sleep(1h))), TimeoutError);
}

TEST_P(Timeouts, times_beyond_the_range_of_the_clock_are_at_once_or_for_ever) {
    EXPECT_THROW(run(timeout(std::chrono::hours::min(), sleep(1h))), TimeoutError);
    run(timeout(std::chrono::hours::max(), sleep(std::chrono::hours::min())));
    run(timeout(1h, sleep(std::chrono::duration<double>(-1e300))));
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(Timeouts, for_ever_sets_no_timer) {
    TaskHandle<> task = loop().create_task(timeout(Duration::max(), loop().create_future()));
    run_idle();
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.cancelled());
}

TEST_P(Timeouts, a_cancellation_from_outside_stays_cancelled) {
    TaskHandle<> task = loop().create_task(timeout(1h, sleep(1h)));
    run_idle();
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(Timeouts, a_cancellation_together_with_the_expiry_stays_cancelled) {
    TaskHandle<> task = loop().create_task(timeout(1ms, sleep(1h)));
    loop().run_once();
    const TimePoint due = loop().time() + 1ms;
    loop().call_at(due, [&] { task.cancel(); });
    // Both timers are due before the task can run: the deadline is no excuse to swallow the other.
    loop().call_soon([&] {
        while (loop().time() < due) {
        }
    });
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 1U);
}

TEST_P(Timeouts, the_inner_of_two_that_expires_is_the_one_that_throws) {
    std::string log;
    auto body = [&]() -> Task<> {
        try {
            Task<std::string> inner = timeout(1ms, slowly(1h, ""));
            co_await inner;
        } catch (const TimeoutError&) {
            log += "inner";
        }
        co_await sleep(0ns);
        log += " goes on";
    };
    run(timeout(1h, body()));
    EXPECT_EQ(log, "inner goes on");
}

TEST_P(Timeouts, the_outer_of_two_that_expires_is_the_one_that_throws) {
    std::string log;
    auto body = [&]() -> Task<> {
        try {
            Task<std::string> inner = timeout(1h, slowly(1h, ""));
            co_await inner;
        } catch (const TimeoutError&) {
            log += "wrong";
        } catch (const Cancelled&) {
            log += "cancelled";
            throw;
        }
    };
    EXPECT_THROW(run(timeout(1ms, body())), TimeoutError);
    EXPECT_EQ(log, "cancelled");
}

TEST_P(Timeouts, what_ends_by_itself_although_it_was_cancelled_counts) {
    auto stubborn = []() -> Task<int> {
        bool cancelled = false;
        try {
            co_await sleep(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_return cancelled ? 9 : 0;
    };
    auto body = [&]() -> Task<int> {
        Task<int> limited = timeout(1ms, stubborn());
        const int result = co_await limited;
        co_await sleep(0ns);
        co_return result;
    };
    TaskHandle<int> task = loop().create_task(body());
    EXPECT_EQ(finish(task), 9);
    EXPECT_EQ(task.cancelling(), 0U);
}

TEST_P(Timeouts, an_exception_on_the_way_out_passes_and_the_request_is_taken_back) {
    auto failing = []() -> Task<> {
        Task<> waiting = until_cancelled();
        co_await waiting;
        throw std::runtime_error("in clean-up");
    };
    auto body = [&]() -> Task<std::string> {
        std::string text;
        try {
            Task<> limited = timeout(1ms, failing());
            co_await limited;
        } catch (const std::runtime_error& error) {
            text = error.what();
        }
        co_await sleep(0ns);
        co_return text;
    };
    TaskHandle<std::string> task = loop().create_task(body());
    EXPECT_EQ(finish(task), "in clean-up");
    EXPECT_EQ(task.cancelling(), 0U);
}

TEST_P(Timeouts, takes_futures_handles_and_what_the_library_waits_with) {
    Future<int> future = loop().create_future<int>();
    EXPECT_THROW(run(timeout(1ms, future)), TimeoutError);
    EXPECT_TRUE(future.cancelled()) << "awaited directly it is cancelled, as in asyncio";
    TaskHandle<std::string> slow = loop().create_task(slowly(1h, ""));
    EXPECT_THROW(run(timeout(1ms, slow)), TimeoutError);
    EXPECT_TRUE(slow.cancelled());
}

TEST_P(Timeouts, begins_when_it_is_awaited) {
    auto body = [&]() -> Task<std::string> {
        Task<std::string> later = timeout(20ms, slowly(1ms, "in time"));
        co_await sleep(30ms);
        std::string result = co_await later;
        co_return result;
    };
    EXPECT_EQ(run(body()), "in time");
}

// ---- counting requests ----

TEST_P(Timeouts, cancelling_counts_and_uncancel_takes_back) {
    auto body = []() -> Task<> {
        for (int i = 0; i < 2; ++i) {
            try {
                co_await sleep(1h);
            } catch (const Cancelled&) {
                continue;
            }
        }
    };
    TaskHandle<> task = loop().create_task(body());
    EXPECT_EQ(task.cancelling(), 0U);
    EXPECT_EQ(task.uncancel(), 0U) << "there is nothing to take back";
    run_idle();
    task.cancel();
    task.cancel();
    EXPECT_EQ(task.cancelling(), 2U);
    EXPECT_EQ(task.uncancel(), 1U);
    EXPECT_EQ(task.uncancel(), 0U);
    EXPECT_EQ(task.cancelling(), 0U);
    run_idle();
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(TaskHandle<>().cancelling(), 0U);
    EXPECT_EQ(TaskHandle<>().uncancel(), 0U);
}

TEST_P(Timeouts, taking_the_last_request_back_before_it_is_delivered_calls_it_off) {
    bool ran = false;
    auto body = [](bool& out) -> Task<> {
        co_await sleep(0ns);
        out = true;
    };
    TaskHandle<> task = loop().create_task(body(ran));
    task.cancel();
    task.uncancel();
    finish(task);
    EXPECT_TRUE(ran);
}

// ---- shield ----

TEST_P(Timeouts, a_shielded_task_goes_on_when_the_waiting_one_is_cancelled) {
    TaskHandle<std::string> inner = loop().create_task(slowly(5ms, "finished"));
    auto waiting = [](TaskHandle<std::string> task) -> Task<std::string> {
        Shield shielded = shield(task);
        std::string result = co_await shielded;
        co_return result;
    };
    TaskHandle<std::string> outer = loop().create_task(waiting(inner));
    run_idle();
    outer.cancel();
    run_idle();
    EXPECT_TRUE(outer.cancelled());
    EXPECT_FALSE(inner.done());
    EXPECT_EQ(finish(inner), "finished");
}

TEST_P(Timeouts, a_shield_gives_results_exceptions_and_the_cancellation_of_what_is_inside) {
    EXPECT_EQ(run(timeout(1h, shield(loop().create_task(slowly(1ms, "x"))))), "x");
    auto failing = []() -> Task<> {
        co_await sleep(0ns);
        throw std::runtime_error("inside");
    };
    TaskHandle<> failed = loop().create_task(failing());
    EXPECT_EQ(message_of<std::runtime_error>([&] { run(timeout(1h, shield(failed))); }), "inside");
    TaskHandle<> victim = loop().create_task(timeout(1h, sleep(1h)));
    TaskHandle<> outer = loop().create_task(timeout(1h, shield(victim)));
    run_idle();
    victim.cancel();
    run_idle();
    EXPECT_TRUE(outer.cancelled());
}

TEST_P(Timeouts, a_shielded_future_survives_a_timeout) {
    Future<int> future = loop().create_future<int>();
    EXPECT_THROW(run(timeout(1ms, shield(future))), TimeoutError);
    EXPECT_FALSE(future.done());
    future.set_result(4);
    EXPECT_EQ(run(timeout(1ms, shield(future))), 4);
}

TEST_P(Timeouts, shielding_a_coroutine_starts_it) {
    std::string log;
    Future<> gate = loop().create_future();
    auto work = [gate](std::string& out) -> Task<> {
        out += "started";
        co_await gate;
        out += " finished";
    };
    auto outer = [&]() -> Task<> {
        Shield shielded = shield(work(log));
        co_await shielded;
    };
    EXPECT_THROW(run(timeout(1ms, outer())), TimeoutError);
    EXPECT_EQ(log, "started");
    gate.set_result();
    EXPECT_TRUE(run_until([&] { return log == "started finished"; }));
    EXPECT_THROW(static_cast<void>(shield(Future<>())), std::logic_error);
    EXPECT_THROW(static_cast<void>(shield(TaskHandle<>())), std::logic_error);
    EXPECT_THROW(static_cast<void>(shield(work(log))), std::logic_error) << "no loop runs";
}

TEST_P(Timeouts, an_exception_behind_a_shield_nobody_waits_at_any_more_is_reported) {
    Future<> gate = loop().create_future();
    auto failing = [&gate]() -> Task<> {
        co_await gate;
        throw std::runtime_error("lost behind the shield");
    };
    auto outer = [&]() -> Task<> {
        Shield shielded = shield(failing());
        co_await shielded;
    };
    EXPECT_THROW(run(timeout(1ms, outer())), TimeoutError);
    gate.set_result();
    std::vector<Report> reports;
    ASSERT_TRUE(run_until([&] {
        reports = take_reports();
        return !reports.empty();
    }));
    EXPECT_EQ(reports[0].what, "lost behind the shield");
}

}  // namespace
}  // namespace sluice::test
