// gather(), wait() and AsCompleted: several things at once.
#include <sluice/gather.hpp>
#include <sluice/shield.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>
#include <sluice/wait.hpp>

#include "support/coroutines.hpp"
#include "support/loop_fixture.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Several : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Several, testing::ValuesIn(backends()), backend_case_name);

template <class T>
Task<T> after(Duration time, T value) {
    co_await sleep(time);
    co_return std::move(value);
}

Task<> fail_after(Duration time, std::string text) {
    co_await sleep(time);
    throw std::runtime_error(text);
}

Task<> note_cancelled(std::string& log, std::string name) {
    try {
        co_await sleep(1h);
    } catch (const Cancelled&) {
        log += name + "!";
        throw;
    }
}

// ---- gather ----

TEST_P(Several, gather_gives_a_tuple_of_results_of_any_types) {
    auto body = []() -> Task<std::string> {
        auto all = gather(after(2ms, 1), after(1ms, std::string("two")), sleep(1ms),
                          after(0ms, std::make_unique<int>(3)));
        auto [one, two, nothing, three] = co_await all;
        static_assert(std::is_same_v<decltype(nothing), NoValue>);
        co_return std::to_string(one) + two + std::to_string(*three);
    };
    EXPECT_EQ(run(body()), "1two3");
}

TEST_P(Several, gather_of_one_pair_or_tuple_is_a_tuple_with_that_in_it) {
    const std::tuple<std::pair<int, char>> pair = run(gather(after(0ms, std::pair(1, 'a'))));
    EXPECT_EQ(std::get<0>(pair), std::pair(1, 'a'));
    const std::tuple<std::tuple<int>> nested = run(gather(after(0ms, std::tuple(2))));
    EXPECT_EQ(std::get<0>(std::get<0>(nested)), 2);
    EXPECT_EQ(run(gather()), std::tuple<>());
}

TEST_P(Several, gather_starts_in_the_order_of_the_arguments) {
    std::string log;
    auto note = [&log](char name) -> Task<> {
        log += name;
        co_return;
    };
    run(gather(note('a'), note('b'), note('c')));
    EXPECT_EQ(log, "abc");
}

TEST_P(Several, gather_of_a_vector_keeps_the_order_whoever_ends_first) {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 5; ++i) {
        tasks.push_back(after(std::chrono::milliseconds(5 - i), i));
    }
    EXPECT_THAT(run(gather(std::move(tasks))), testing::ElementsAre(0, 1, 2, 3, 4));
    EXPECT_TRUE(run(gather(std::vector<Task<int>>())).empty());
    std::vector<Task<>> nothing;
    nothing.push_back(timeout(1h, sleep(1ms)));
    run(gather(std::move(nothing)));
}

TEST_P(Several, gather_throws_the_first_failure_and_ends_the_others_before) {
    std::string log;
    EXPECT_EQ(message_of<std::runtime_error>([&] {
                  run(gather(note_cancelled(log, "a"), fail_after(1ms, "first"),
                             note_cancelled(log, "b")));
              }),
              "first");
    EXPECT_EQ(log, "a!b!");
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(Several, gather_reports_failures_it_does_not_throw) {
    EXPECT_EQ(message_of<std::runtime_error>([&] {
                  run(gather(fail_after(0ms, "first"),
                             throw_when_cancelled<std::runtime_error>("second")));
              }),
              "first");
    run_idle();
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "second");
}

TEST_P(Several, gather_that_is_cancelled_cancels_all_and_waits_for_them) {
    std::string log;
    TaskHandle<std::tuple<NoValue, NoValue>> task =
        loop().create_task(gather(note_cancelled(log, "a"), note_cancelled(log, "b")));
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, "a!b!");
}

TEST_P(Several, gather_that_is_cancelled_reports_the_failure_it_cannot_throw) {
    TaskHandle<std::tuple<NoValue>> task =
        loop().create_task(gather(throw_when_cancelled<std::runtime_error>("while cancelled")));
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "while cancelled");
}

TEST_P(Several, gather_throws_cancelled_when_one_of_its_tasks_was_cancelled) {
    std::string log;
    TaskHandle<> victim = loop().create_task(note_cancelled(log, "victim"));
    auto task = loop().create_task(gather(victim, note_cancelled(log, "other")));
    run_idle();
    victim.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, "victim!other!");
}

TEST_P(Several, gather_cancels_handles_too_unless_they_are_shielded) {
    TaskHandle<int> plain = loop().create_task(after(5ms, 1));
    TaskHandle<int> kept = loop().create_task(after(5ms, 2));
    EXPECT_THROW(run(gather(plain, shield(kept), fail_after(1ms, "x"))), std::runtime_error);
    EXPECT_TRUE(plain.cancelled());
    EXPECT_EQ(finish(kept), 2);
}

TEST_P(Several, gather_with_return_exceptions_waits_for_all_and_tells_each_end) {
    TaskHandle<int> victim = loop().create_task(after(1h, 0));
    auto body = [&]() -> Task<std::string> {
        auto all = gather(return_exceptions, after(3ms, 1), fail_after(1ms, "bad"), victim);
        victim.cancel();
        auto [one, bad, cancelled] = co_await all;
        std::string text = std::to_string(one.value());
        try {
            bad.value();
        } catch (const std::runtime_error& error) {
            text += error.what();
        }
        text += one && !bad && cancelled.cancelled() ? "ok" : "wrong";
        co_return text;
    };
    EXPECT_EQ(run(body()), "1badok");
    auto move_only = []() -> Task<int> {
        std::vector<Task<std::unique_ptr<int>>> tasks;
        tasks.push_back(after(1ms, std::make_unique<int>(8)));
        auto all = gather(return_exceptions, std::move(tasks));
        auto results = co_await all;
        co_return *results.at(0).take();
    };
    EXPECT_EQ(run(move_only()), 8);
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(Several, closing_the_loop_under_a_gather_destroys_its_tasks_first) {
    std::string log;
    struct Tracker {
        ~Tracker() { log += name; }
        std::string& log;
        std::string name;
    };
    auto hold = [](std::string& out, std::string name) -> Task<> {
        const Tracker tracker{out, std::move(name)};
        co_await sleep(1h);
    };
    auto parent = [&]() -> Task<> {
        const Tracker tracker{log, "parent"};
        auto both = gather(hold(log, "a"), hold(log, "b"));
        co_await both;
    };
    loop().create_task(parent());
    run_idle();
    loop().close();
    EXPECT_EQ(log, "baparent");
}

// ---- wait ----

TEST_P(Several, wait_returns_when_all_have_ended_and_throws_nothing_of_theirs) {
    TaskHandle<> bad = loop().create_task(fail_after(2ms, "bad"));
    TaskHandle<> good = loop().create_task(timeout(1h, sleep(1ms)));
    const WaitResult<> result = run(wait(std::vector{bad, good}));
    ASSERT_EQ(result.done.size(), 2U);
    EXPECT_TRUE(result.pending.empty());
    EXPECT_NE(result.done[0].exception(), nullptr) << "not in the order of the argument";
    EXPECT_THROW(static_cast<void>(bad.result()), std::runtime_error);
}

TEST_P(Several, wait_for_the_first_leaves_the_others_alone) {
    TaskHandle<int> slow = loop().create_task(after(10ms, 1));
    TaskHandle<int> fast = loop().create_task(after(1ms, 2));
    const WaitResult<int> result = run(wait(std::vector{slow, fast}, ReturnWhen::first_completed));
    ASSERT_EQ(result.done.size(), 1U);
    EXPECT_EQ(result.done[0].result(), 2);
    ASSERT_EQ(result.pending.size(), 1U);
    EXPECT_EQ(finish(slow), 1);
}

TEST_P(Several, wait_for_the_first_exception_does_not_count_cancelled) {
    TaskHandle<> victim = loop().create_task(timeout(1h, sleep(1h)));
    TaskHandle<> bad = loop().create_task(fail_after(3ms, "bad"));
    TaskHandle<> slow = loop().create_task(timeout(1h, sleep(1h)));
    loop().call_later(1ms, [&] { victim.cancel(); });
    const WaitResult<> result =
        run(wait(std::vector{victim, bad, slow}, ReturnWhen::first_exception));
    EXPECT_EQ(result.done.size(), 2U);
    EXPECT_EQ(result.pending.size(), 1U);
    EXPECT_NE(bad.exception(), nullptr);
    EXPECT_THROW(static_cast<void>(bad.result()), std::runtime_error);
    slow.cancel();
    run_idle();
}

TEST_P(Several, wait_with_a_time_cancels_nobody) {
    TaskHandle<int> slow = loop().create_task(after(1h, 1));
    const WaitResult<int> result = run(wait(std::vector{slow}, ReturnWhen::all_completed, 1ms));
    EXPECT_TRUE(result.done.empty());
    EXPECT_FALSE(slow.done());
    const WaitResult<int> at_once = run(wait(std::vector{slow}, ReturnWhen::all_completed, 0ns));
    EXPECT_EQ(at_once.pending.size(), 1U);
    TaskHandle<WaitResult<int>> waiting = loop().create_task(wait(std::vector{slow}));
    run_idle();
    waiting.cancel();
    run_idle();
    EXPECT_TRUE(waiting.cancelled());
    EXPECT_FALSE(slow.done());
    slow.cancel();
    run_idle();
}

TEST_P(Several, wait_refuses_nothing_and_empty_handles) {
    EXPECT_THROW(run(wait(std::vector<TaskHandle<>>())), std::invalid_argument);
    EXPECT_THROW(run(wait(std::vector<TaskHandle<>>(1))), std::invalid_argument);
}

TEST_P(Several, wait_with_tasks_that_are_done_returns_at_once) {
    TaskHandle<int> task = loop().create_task(after(0ns, 1));
    run_idle();
    ASSERT_TRUE(task.done());
    for (const ReturnWhen when :
         {ReturnWhen::all_completed, ReturnWhen::first_completed, ReturnWhen::first_exception}) {
        TaskHandle<WaitResult<int>> waiting =
            loop().create_task(wait(std::vector{task, task}, when));
        loop().run_once();
        ASSERT_TRUE(waiting.done());
        EXPECT_EQ(waiting.result().done.size(), 2U);
    }
}

TEST_P(Several, as_completed_hands_tasks_out_in_the_order_they_end) {
    std::vector<TaskHandle<int>> tasks;
    for (const int delay : {30, 10, 20}) {
        tasks.push_back(loop().create_task(after(std::chrono::milliseconds(delay), delay)));
    }
    auto body = [](std::vector<TaskHandle<int>> handles) -> Task<std::string> {
        std::string order;
        AsCompleted<int> results(std::move(handles));
        while (!results.empty()) {
            Task<TaskHandle<int>> next = results.next();
            TaskHandle<int> ended = co_await next;
            order += std::to_string(ended.result()) + " ";
        }
        co_return order;
    };
    EXPECT_EQ(run(body(tasks)), "10 20 30 ");
    EXPECT_EQ(run(body(tasks)), "30 10 20 ") << "all have ended before";
    EXPECT_THROW(run(AsCompleted<int>({}).next()), std::logic_error);
}

Task<> take_one(AsCompleted<int>& results, std::string& log, std::string name) {
    Task<TaskHandle<int>> next = results.next();
    TaskHandle<int> ended = co_await next;
    log += name + std::to_string(ended.result());
}

TEST_P(Several, as_completed_may_be_asked_by_several_and_refuses_more_than_there_are) {
    std::vector<TaskHandle<int>> tasks{loop().create_task(after(1ms, 1)),
                                       loop().create_task(after(2ms, 2))};
    AsCompleted<int> results(tasks);
    std::string log;
    TaskHandle<> first = loop().create_task(take_one(results, log, "a"));
    TaskHandle<> second = loop().create_task(take_one(results, log, "b"));
    run_idle();
    EXPECT_TRUE(results.empty());
    EXPECT_THROW(run(results.next()), std::logic_error) << "it would wait for ever";
    finish(first);
    finish(second);
    EXPECT_EQ(log, "a1b2");
}

TEST_P(Several, an_end_meant_for_one_that_was_cancelled_or_destroyed_goes_to_another) {
    for (const bool destroyed : {false, true}) {
        Future<int> gate = loop().create_future<int>();
        TaskHandle<int> task = loop().create_task(timeout(1h, gate));
        TaskHandle<int> never = loop().create_task(after(1h, 0));
        AsCompleted<int> results({task, never});
        std::string log;
        auto group = std::make_unique<TaskGroup>();
        TaskHandle<> first;
        auto start = [&]() -> Task<> {
            first = group->create_task(take_one(results, log, "a"));
            co_return;
        };
        run(start());
        run_idle();
        TaskHandle<> second = loop().create_task(take_one(results, log, "b"));
        run_idle();
        gate.set_result(7);
        loop().run_once();
        ASSERT_TRUE(task.done());
        ASSERT_FALSE(first.done()) << "called, and has not run yet";
        if (destroyed) {
            group.reset();
        } else {
            first.cancel();
        }
        run_idle();
        EXPECT_EQ(log, "b7") << destroyed;
        EXPECT_FALSE(results.empty()) << "the second is there for whoever asks";
        never.cancel();
        run_idle();
    }
}

}  // namespace
}  // namespace sluice::test
