// TaskGroup and task_group(): the semantics of asyncio.TaskGroup, case by case: who is cancelled, what
// is thrown, what a cancellation from outside does, and what destroying a group does.
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include "support/coroutines.hpp"
#include "support/loop_fixture.hpp"

#include <memory>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Groups : public BackendTest {
protected:
    // Runs the task, which must throw ExceptionGroup, and gives what() of it.
    std::string group_text(Task<> task) {
        return message_of<ExceptionGroup>([&] { run(std::move(task)); });
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Groups, testing::ValuesIn(backends()), backend_case_name);

// Writes its name when it begins, and how it ended.
Task<> note(std::string& log, std::string name, Duration after = 0ns) {
    log += name;
    try {
        co_await sleep(after);
    } catch (const Cancelled&) {
        log += name + "!";
        throw;
    }
    log += name + ".";
}

Task<> fail(std::string text, Duration after = 0ns) {
    co_await sleep(after);
    throw std::runtime_error(text);
}

Task<int> number(int value) {
    co_await sleep(0ns);
    co_return value;
}

TEST_P(Groups, waits_for_every_task_and_gives_what_the_body_gives) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<int> {
        group.create_task(note(log, "a"));
        group.create_task(note(log, "b", 1ms));
        log += "body";
        co_return 7;
    };
    EXPECT_EQ(run(task_group(body)), 7);
    EXPECT_EQ(log, "bodyaba.b.");
}

TEST_P(Groups, a_plain_function_may_start_the_tasks) {
    std::string log;
    auto body = [&log](TaskGroup& group) {
        group.create_task(note(log, "a"));
        group.create_task(note(log, "b"));
    };
    run(task_group(body));
    EXPECT_EQ(log, "aba.b.");
}

TEST_P(Groups, gives_handles_with_results) {
    auto body = [](TaskGroup& group) -> Task<int> {
        TaskHandle<int> one = group.create_task(number(1));
        TaskHandle<int> two = group.create_task(number(2));
        const int first = co_await one;
        const int second = co_await two;
        co_return first * 10 + second;
    };
    EXPECT_EQ(run(task_group(body)), 12);
}

TEST_P(Groups, an_empty_group_ends_at_once) {
    auto plain = []() -> Task<> {
        TaskGroup group;
        co_await group.wait();
        EXPECT_EQ(group.size(), 0U);
    };
    run(plain());
}

TEST_P(Groups, a_failing_task_cancels_its_siblings_and_the_body) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<> {
        group.create_task(note(log, "a", 1h));
        group.create_task(fail("boom"));
        co_await note(log, "body", 1h);
    };
    EXPECT_EQ(group_text(task_group(body)),
              "unhandled errors in a TaskGroup (1 sub-exception): boom");
    EXPECT_EQ(log, "bodyaa!body!") << "the siblings' cancellation is asked for first";
}

TEST_P(Groups, carries_every_exception_also_those_of_cancelled_siblings_and_of_the_body_last) {
    auto body = [&](TaskGroup& group) -> Task<> {
        group.create_task(throw_when_cancelled<std::logic_error>("stubborn"));
        group.create_task(fail("first"));
        Task<> waiting = until_cancelled();
        co_await waiting;
        throw std::runtime_error("body");
    };
    EXPECT_EQ(group_text(task_group(body)),
              "unhandled errors in a TaskGroup (3 sub-exceptions): first; stubborn; body");
}

TEST_P(Groups, an_exception_group_can_be_asked_by_type_through_nested_groups) {
    auto inner = [](TaskGroup& group) { group.create_task(fail("inner")); };
    auto body = [&](TaskGroup& group) {
        group.create_task(task_group(inner));
        group.create_task(fail("outer"));
    };
    const auto error = caught<ExceptionGroup>([&] { run(task_group(body)); });
    ASSERT_TRUE(error);
    std::string texts;
    EXPECT_EQ(error->for_each<std::runtime_error>(
                  [&](const std::runtime_error& one) { texts += one.what(); }),
              2U);
    EXPECT_THAT(texts, testing::AllOf(testing::HasSubstr("inner"), testing::HasSubstr("outer")));
    EXPECT_TRUE(error->contains<std::runtime_error>());
    EXPECT_FALSE(error->contains<std::logic_error>());
    EXPECT_EQ(error->exceptions().size(), 2U);
}

TEST_P(Groups, an_exception_of_the_body_cancels_the_tasks) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<> {
        group.create_task(note(log, "a", 1h));
        co_await sleep(0ns);
        throw std::runtime_error("body");
    };
    EXPECT_EQ(group_text(task_group(body)),
              "unhandled errors in a TaskGroup (1 sub-exception): body");
    EXPECT_EQ(log, "aa!");
}

TEST_P(Groups, a_cancelled_task_is_no_error_and_does_not_end_the_group) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<> {
        TaskHandle<> one = group.create_task(note(log, "a", 1h));
        group.create_task(note(log, "b", 1ms));
        co_await sleep(0ns);
        one.cancel();
    };
    run(task_group(body));
    EXPECT_EQ(log, "aba!b.");
}

TEST_P(Groups, cancelling_from_outside_in_the_body_cancels_all_and_throws_cancelled) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<> {
        group.create_task(note(log, "a", 1h));
        co_await note(log, "body", 1h);
    };
    TaskHandle<> task = loop().create_task(task_group(body));
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, "bodyabody!a!");
}

TEST_P(Groups, cancelling_from_outside_while_it_waits_cancels_all_and_throws_cancelled) {
    std::string log;
    auto body = [&log](TaskGroup& group) {
        group.create_task(note(log, "a", 1h));
        group.create_task(note(log, "b", 1h));
    };
    TaskHandle<> task = loop().create_task(task_group(body));
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 1U);
    EXPECT_EQ(log, "aba!b!");
}

// Goes on for a while after it was cancelled.
Task<> slow_to_end(std::string& log) {
    Task<> waiting = until_cancelled();
    co_await waiting;
    for (int iterations = 0; iterations < 10; ++iterations) {
        co_await sleep(0ns);
    }
    log += "cleaned";
}

TEST_P(Groups, waits_for_tasks_that_take_their_time_however_often_it_is_cancelled) {
    std::string log;
    auto body = [&log](TaskGroup& group) { group.create_task(slow_to_end(log)); };
    TaskHandle<> task = loop().create_task(task_group(body));
    run_idle();
    for (int i = 0; i < 3; ++i) {
        task.cancel();
        loop().run_once();
        EXPECT_FALSE(task.done()) << "an orphan is left";
    }
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, "cleaned") << "it was disturbed by the second cancel()";
}

TEST_P(Groups, errors_win_over_a_cancellation_from_outside_which_comes_at_the_next_await) {
    std::string log;
    auto body = [](TaskGroup& group) {
        group.create_task(throw_when_cancelled<std::runtime_error>("while cancelled"));
    };
    auto around = [&]() -> Task<> {
        try {
            Task<> group = task_group(body);
            co_await group;
        } catch (const ExceptionGroup& error) {
            log += error.what();
        }
        try {
            co_await sleep(0ns);
        } catch (const Cancelled&) {
            log += " then cancelled";
            throw;
        }
    };
    TaskHandle<> task = loop().create_task(around());
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_EQ(log,
              "unhandled errors in a TaskGroup (1 sub-exception): while cancelled then cancelled");
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(task.cancelling(), 1U);
}

TEST_P(Groups, its_own_cancellation_of_the_body_leaves_no_trace) {
    auto body = [](TaskGroup& group) -> Task<> {
        group.create_task(fail("x"));
        co_await sleep(1h);
    };
    auto around = [&]() -> Task<std::string> {
        bool failed = false;
        try {
            Task<> group = task_group(body);
            co_await group;
        } catch (const ExceptionGroup&) {
            failed = true;
        }
        co_await sleep(0ns);
        co_await sleep(1ms);
        co_return failed ? "went on" : "nothing was thrown";
    };
    TaskHandle<std::string> task = loop().create_task(around());
    EXPECT_EQ(finish(task), "went on");
    EXPECT_EQ(task.cancelling(), 0U);
}

TEST_P(Groups, refuses_tasks_when_it_is_ending_or_finished_and_outside_of_a_loop) {
    std::string log;
    auto refused = [&log](TaskGroup& group) {
        try {
            group.create_task(number(1));
        } catch (const std::logic_error& error) {
            log += error.what();
        }
    };
    auto body = [&](TaskGroup& group) -> Task<> {
        group.create_task(fail("x"));
        Task<> waiting = until_cancelled();
        co_await waiting;
        refused(group);
    };
    group_text(task_group(body));
    EXPECT_THAT(log, testing::EndsWith("the group is shutting down"));
    auto after = [&]() -> Task<> {
        TaskGroup group;
        group.create_task(number(1));
        co_await group.wait();
        refused(group);
    };
    run(after());
    EXPECT_THAT(log, testing::EndsWith("the group is finished"));
    TaskGroup outside;
    EXPECT_THAT(message_of<std::logic_error>([&] { outside.create_task(number(1)); }),
                testing::HasSubstr("no running event loop"));
}

TEST_P(Groups, tasks_may_start_siblings_while_it_waits) {
    int count = 0;
    auto grow = [](auto& self, TaskGroup& group, int& counter, int depth) -> Task<> {
        ++counter;
        co_await sleep(0ns);
        if (depth > 0) {
            group.create_task(self(self, group, counter, depth - 1));
            group.create_task(self(self, group, counter, depth - 1));
        }
    };
    auto body = [&](TaskGroup& group) { group.create_task(grow(grow, group, count, 5)); };
    run(task_group(body));
    EXPECT_EQ(count, 63);
}

TEST_P(Groups, cancel_ends_the_helpers_without_an_error) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<int> {
        group.create_task(note(log, "helper", 1h));
        co_await sleep(0ns);
        group.cancel();
        co_return 3;
    };
    EXPECT_EQ(run(task_group(body)), 3);
    EXPECT_EQ(log, "helperhelper!");
}

TEST_P(Groups, stop_loop_of_a_task_leaves_the_loop_and_the_group) {
    auto stopping = []() -> Task<> {
        co_await sleep(0ns);
        throw StopLoop();
    };
    std::string log;
    auto body = [&](TaskGroup& group) {
        group.create_task(note(log, "a", 1h));
        group.create_task(stopping());
    };
    TaskHandle<> task = loop().create_task(task_group(body));
    EXPECT_THROW(loop().run_until_complete(task), StopLoop);
    EXPECT_THROW(loop().run_until_complete(task), StopLoop);
    EXPECT_EQ(log, "aa!");
}

// ---- the object form ----

TEST_P(Groups, the_object_form_collects_errors_and_cancels_siblings) {
    std::string log;
    auto body = [&log]() -> Task<> {
        TaskGroup group;
        group.create_task(note(log, "a", 1h));
        group.create_task(fail("one", 1ms));
        co_await group.wait();
    };
    EXPECT_EQ(group_text(body()), "unhandled errors in a TaskGroup (1 sub-exception): one");
    EXPECT_EQ(log, "aa!");
}

struct Tracker {
    explicit Tracker(std::string& text, std::string value) : log(text), name(std::move(value)) {}
    ~Tracker() { log += "~" + name; }
    Tracker(const Tracker&) = delete;
    Tracker& operator=(const Tracker&) = delete;
    std::string& log;
    std::string name;
};

Task<> hold(std::string& log, std::string name) {
    const Tracker tracker(log, name);
    co_await sleep(1h);
}

TEST_P(Groups, destroying_it_destroys_its_tasks_the_youngest_first_before_what_they_refer_to) {
    std::string log;
    auto body = [&log]() -> Task<> {
        const Tracker older(log, "older");
        TaskGroup group;
        group.create_task(hold(log, "1"));
        group.create_task(hold(log, "2"));
        co_await sleep(0ns);
        throw std::runtime_error("before wait()");
    };
    EXPECT_EQ(message_of<std::runtime_error>([&] { run(body()); }), "before wait()");
    EXPECT_EQ(log, "~2~1~older");
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(Groups, destroying_it_reports_the_errors_that_wait_would_have_thrown) {
    auto body = []() -> Task<> {
        TaskGroup group;
        group.create_task(fail("lost"));
        co_await sleep(0ns);
        co_await sleep(0ns);
    };
    run(body());
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "lost");
}

TEST_P(Groups, handles_of_destroyed_tasks_are_cancelled_and_who_awaits_them_goes_on) {
    TaskHandle<> handle;
    auto owner = std::make_unique<TaskGroup>();
    std::string log;
    auto start = [&]() -> Task<> {
        handle = owner->create_task(hold(log, "x"));
        co_return;
    };
    run(start());
    auto waiting = [&]() -> Task<bool> {
        bool cancelled = false;
        try {
            co_await handle;
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_return cancelled;
    };
    TaskHandle<bool> waiter = loop().create_task(waiting());
    run_idle();
    owner.reset();
    EXPECT_EQ(log, "~x");
    EXPECT_TRUE(handle.done());
    EXPECT_TRUE(handle.cancelled());
    EXPECT_TRUE(finish(waiter));
}

TEST_P(Groups, a_task_may_destroy_its_own_group) {
    std::string log;
    auto owner = std::make_unique<TaskGroup>();
    auto suicide = [&]() -> Task<> {
        co_await sleep(0ns);
        owner.reset();
        log += "still here";
        co_await sleep(1h);
    };
    auto start = [&]() -> Task<> {
        owner->create_task(suicide());
        owner->create_task(hold(log, "sibling"));
        co_await sleep(0ns);
    };
    run(start());
    run_idle();
    EXPECT_EQ(log, "~siblingstill here");
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "the task goes on for ever";
}

TEST_P(Groups, closing_the_loop_destroys_everything_in_any_state) {
    std::string log;
    auto body = [&log](TaskGroup& group) -> Task<> {
        const Tracker in_body(log, "body");
        group.create_task(hold(log, "child"));
        co_await sleep(1h);
    };
    TaskGroup member;
    auto start = [&]() -> Task<> {
        member.create_task(hold(log, "member"));
        co_return;
    };
    loop().create_task(task_group(body));
    run(start());
    run_idle();
    loop().close();
    EXPECT_EQ(log, "~member~child~body");
    EXPECT_EQ(member.size(), 0U);
}

TEST_P(Groups, the_timeout_of_a_group_ends_all_of_it) {
    std::string log;
    auto body = [&log](TaskGroup& group) {
        group.create_task(note(log, "a", 1h));
        group.create_task(note(log, "b", 1h));
    };
    EXPECT_THROW(run(timeout(1ms, task_group(body))), TimeoutError);
    EXPECT_EQ(log, "aba!b!");
}

}  // namespace
}  // namespace sluice::test
