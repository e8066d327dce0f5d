// Future: set once, awaited by any number of tasks, cancelled.
#include "support/loop_fixture.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Futures : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Futures, testing::ValuesIn(backends()), backend_case_name);

Task<std::string> wait_for(Future<std::string> future) {
    std::string value = co_await future;
    co_return value;
}

TEST_P(Futures, an_awaiting_task_continues_in_a_later_iteration_than_the_call_that_sets_it) {
    Future<std::string> future = loop().create_future<std::string>();
    TaskHandle<std::string> task = loop().create_task(wait_for(future));
    run_idle();
    future.set_result("set");
    EXPECT_FALSE(task.done()) << "the task was resumed inside set_result()";
    loop().run_once();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), "set");
    EXPECT_EQ(future.result(), "set");
}

TEST_P(Futures, every_waiter_gets_the_result_in_the_order_they_came) {
    Future<std::string> future = loop().create_future<std::string>();
    std::string log;
    auto waiting = [](Future<std::string> wanted, std::string& out, char name) -> Task<void> {
        const std::string value = co_await wanted;
        out += name;
        out += value;
    };
    for (const char name : {'1', '2', '3'}) {
        loop().create_task(waiting(future, log, name));
    }
    run_idle();
    future.set_result("x");
    run_idle();
    EXPECT_EQ(log, "1x2x3x");
}

TEST_P(Futures, setting_it_twice_is_a_logic_error) {
    Future<std::string> future = loop().create_future<std::string>();
    future.set_result("first");
    EXPECT_THAT(message_of<std::logic_error>([&] { future.set_result("second"); }),
                testing::HasSubstr("set_result"));
    EXPECT_THAT(message_of<std::logic_error>([&] {
                    future.set_exception(std::make_exception_ptr(std::runtime_error("x")));
                }),
                testing::HasSubstr("set_exception"));
    EXPECT_EQ(future.result(), "first");
    EXPECT_FALSE(future.cancel());
    const Future<void> cancelled = loop().create_future<void>();
    EXPECT_TRUE(cancelled.cancel());
    EXPECT_FALSE(cancelled.cancel());
    EXPECT_THROW(cancelled.set_result(), std::logic_error);
}

TEST_P(Futures, an_exception_is_thrown_at_every_waiter) {
    Future<std::string> future = loop().create_future<std::string>();
    TaskHandle<std::string> first = loop().create_task(wait_for(future));
    TaskHandle<std::string> second = loop().create_task(wait_for(future));
    run_idle();
    future.set_exception(std::make_exception_ptr(std::runtime_error("bad")));
    EXPECT_EQ(message_of<std::runtime_error>([&] { finish(first); }), "bad");
    EXPECT_EQ(message_of<std::runtime_error>([&] { finish(second); }), "bad");
    EXPECT_EQ(message_of<std::runtime_error>([&] { static_cast<void>(future.result()); }), "bad");
    EXPECT_NE(future.exception(), nullptr);
}

TEST_P(Futures, an_exception_nobody_retrieved_is_reported) {
    // asyncio: "Future exception was never retrieved".
    {
        const Future<void> future = loop().create_future<void>();
        future.set_exception(std::make_exception_ptr(std::runtime_error("ignored")));
    }
    run_idle();
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_THAT(reports[0].message, testing::HasSubstr("never retrieved"));
    EXPECT_EQ(reports[0].what, "ignored");
}

TEST_P(Futures, cancelling_it_throws_cancelled_at_every_waiter) {
    Future<std::string> future = loop().create_future<std::string>();
    TaskHandle<std::string> task = loop().create_task(wait_for(future));
    run_idle();
    EXPECT_TRUE(future.cancel());
    EXPECT_TRUE(future.done());
    EXPECT_TRUE(future.cancelled());
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_THROW(static_cast<void>(future.result()), Cancelled);
}

TEST_P(Futures, the_result_before_it_is_set_is_a_logic_error) {
    const Future<std::string> future = loop().create_future<std::string>();
    EXPECT_FALSE(future.done());
    EXPECT_FALSE(future.cancelled());
    EXPECT_EQ(future.exception(), nullptr);
    EXPECT_THAT(message_of<std::logic_error>([&] { static_cast<void>(future.result()); }),
                testing::HasSubstr("before"));
}

TEST_P(Futures, done_callbacks_run_in_order_from_the_loop_also_when_it_is_done_already) {
    const Future<void> future = loop().create_future<void>();
    std::string log;
    future.add_done_callback([&] { log += 'a'; });
    future.add_done_callback([&] { log += 'b'; });
    future.set_result();
    EXPECT_EQ(log, "");
    future.add_done_callback([&] { log += 'c'; });
    run_idle();
    EXPECT_EQ(log, "abc");
}

TEST_P(Futures, waiters_and_done_callbacks_come_in_the_order_they_were_added) {
    const Future<void> future = loop().create_future<void>();
    std::string log;
    auto waiting = [](Future<void> wanted, std::string& out) -> Task<void> {
        co_await wanted;
        out += 't';
    };
    future.add_done_callback([&] { log += 'a'; });
    loop().create_task(waiting(future, log));
    run_idle();
    future.add_done_callback([&] { log += 'b'; });
    future.set_result();
    run_idle();
    EXPECT_EQ(log, "atb");
}

TEST_P(Futures, a_done_callback_of_a_future_that_is_never_done_is_dropped_with_it) {
    auto owned = std::make_shared<int>(0);
    {
        const Future<void> future = loop().create_future<void>();
        future.add_done_callback([owned] { ++*owned; });
        EXPECT_EQ(owned.use_count(), 2);
    }
    run_idle();
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_EQ(*owned, 0);
}

TEST_P(Futures, a_task_that_waits_keeps_the_future_alive) {
    Future<std::string> future = loop().create_future<std::string>();
    TaskHandle<std::string> task = loop().create_task(wait_for(future));
    run_idle();
    loop().call_later(1ms, [last = std::move(future)] { last.set_result("late"); });
    EXPECT_EQ(finish(task), "late");
}

TEST_P(Futures, a_result_may_be_move_only) {
    Future<std::unique_ptr<int>> future = loop().create_future<std::unique_ptr<int>>();
    auto waiting = [](Future<std::unique_ptr<int>> wanted) -> Task<int> {
        std::unique_ptr<int> value = co_await wanted;
        co_return *value;
    };
    TaskHandle<int> task = loop().create_task(waiting(future));
    future.set_result(std::make_unique<int>(6));
    EXPECT_EQ(finish(task), 6);
}

TEST_P(Futures, an_empty_future_says_no_to_everything) {
    const Future<int> none;
    EXPECT_FALSE(none);
    EXPECT_FALSE(none.done());
    EXPECT_FALSE(none.cancel());
    EXPECT_FALSE(none.cancelled());
    EXPECT_THROW(none.set_result(1), std::logic_error);
    EXPECT_THROW(static_cast<void>(none.result()), std::logic_error);
    auto waiting = [](Future<int> empty) -> Task<void> { co_await empty; };
    EXPECT_THROW(run(waiting(none)), std::logic_error);
}

}  // namespace
}  // namespace sluice::test
