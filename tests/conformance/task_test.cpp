// Task and TaskHandle: running, awaiting, results, exceptions, depth. Cancellation is in
// cancel_test.cpp.
#include "support/loop_fixture.hpp"

#include <memory>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Tasks : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Tasks, testing::ValuesIn(backends()), backend_case_name);

Task<int> give(int value) {
    co_return value;
}

Task<void> note(std::string& log, char name) {
    log += name;
    co_return;
}

Task<int> throw_runtime(const char* text) {
    throw std::runtime_error(text);
    co_return 0;
}

TEST_P(Tasks, a_task_is_lazy) {
    std::string log;
    {
        const Task<void> dropped = note(log, 'x');
        run_idle();
    }
    EXPECT_EQ(log, "");
}

TEST_P(Tasks, create_task_starts_in_the_next_iteration_in_the_order_of_the_calls) {
    std::string log;
    loop().create_task(note(log, 'a'));
    loop().call_soon([&] { log += 'b'; });
    loop().create_task(note(log, 'c'));
    EXPECT_EQ(log, "");
    loop().run_once();
    EXPECT_EQ(log, "abc");
}

TEST_P(Tasks, awaiting_a_task_runs_it_within_the_same_step) {
    std::string log;
    auto outer = [](std::string& out) -> Task<void> {
        out += '1';
        Task<void> inner = note(out, '2');
        co_await inner;
        out += '3';
    };
    loop().create_task(outer(log));
    loop().run_once();
    EXPECT_EQ(log, "123");
}

TEST_P(Tasks, a_result_may_be_move_only_or_a_reference_free_class) {
    auto owner = []() -> Task<std::unique_ptr<int>> {
        auto value = std::make_unique<int>(5);
        co_return value;
    };
    auto outer = [](Task<std::unique_ptr<int>> inner) -> Task<int> {
        std::unique_ptr<int> value = co_await inner;
        co_return *value;
    };
    EXPECT_EQ(run(outer(owner())), 5);
    auto words = []() -> Task<std::vector<std::string>> {
        std::vector<std::string> value(3, "word");
        co_return value;
    };
    EXPECT_EQ(run(words()).size(), 3U);
}

TEST_P(Tasks, an_exception_passes_through_every_awaiting_task) {
    auto middle = []() -> Task<int> {
        Task<int> inner = throw_runtime("deep");
        const int value = co_await inner;
        co_return value;
    };
    auto outer = [&]() -> Task<std::string> {
        Task<int> inner = middle();
        std::string what;
        try {
            co_await inner;
        } catch (const std::runtime_error& error) {
            what = error.what();
        }
        co_return what;
    };
    EXPECT_EQ(run(outer()), "deep");
    EXPECT_EQ(message_of<std::runtime_error>([&] { run(middle()); }), "deep");
}

TEST_P(Tasks, a_task_can_be_awaited_once_and_not_after_it_was_moved_from) {
    auto twice = []() -> Task<std::string> {
        Task<int> inner = give(1);
        co_await inner;
        std::string errors;
        try {
            co_await inner;
        } catch (const std::logic_error& error) {
            errors += error.what();
        }
        Task<int> other = give(2);
        const Task<int> taken = std::move(other);
        try {
            co_await other;
        } catch (const std::logic_error&) {
            errors += "; moved";
        }
        co_return errors;
    };
    EXPECT_THAT(run(twice()),
                testing::AllOf(testing::HasSubstr("awaited once"), testing::EndsWith("; moved")));
}

// ---- handles ----

TEST_P(Tasks, a_handle_tells_whether_the_task_is_done_and_gives_its_result_any_number_of_times) {
    TaskHandle<int> task = loop().create_task(give(3));
    EXPECT_FALSE(task.done());
    EXPECT_THAT(message_of<std::logic_error>([&] { static_cast<void>(task.result()); }),
                testing::HasSubstr("before the task is done"));
    EXPECT_EQ(task.exception(), nullptr);
    loop().run_once();
    EXPECT_TRUE(task.done());
    EXPECT_FALSE(task.cancelled());
    EXPECT_EQ(task.result(), 3);
    EXPECT_EQ(task.result(), 3);
    EXPECT_FALSE(task.cancel()) << "it is done";
    EXPECT_FALSE(task.cancelled());
}

TEST_P(Tasks, several_tasks_may_await_one_handle) {
    Future<int> gate = loop().create_future<int>();
    auto shared = [](Future<int> wanted) -> Task<int> {
        const int value = co_await wanted;
        co_return value;
    };
    auto waiting = [](TaskHandle<int> other, std::string& log, char name) -> Task<int> {
        const int value = co_await other;
        log += name;
        co_return value;
    };
    std::string log;
    TaskHandle<int> task = loop().create_task(shared(gate));
    TaskHandle<int> first = loop().create_task(waiting(task, log, '1'));
    TaskHandle<int> second = loop().create_task(waiting(task, log, '2'));
    run_idle();
    gate.set_result(8);
    EXPECT_EQ(finish(first) + finish(second), 16);
    EXPECT_EQ(log, "12");
    TaskHandle<int> late = loop().create_task(waiting(task, log, '3'));
    EXPECT_EQ(finish(late), 8) << "done already";
}

TEST_P(Tasks, awaiting_a_failed_handle_throws_its_exception_again_and_again) {
    TaskHandle<int> task = loop().create_task(throw_runtime("shared"));
    auto waiting = [](TaskHandle<int> other) -> Task<int> {
        const int value = co_await other;
        co_return value;
    };
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(message_of<std::runtime_error>([&] { run(waiting(task)); }), "shared");
    }
    EXPECT_NE(task.exception(), nullptr);
}

TEST_P(Tasks, done_callbacks_run_from_the_loop_in_the_order_they_were_added) {
    std::string log;
    TaskHandle<int> task = loop().create_task(give(1));
    task.add_done_callback([&] { log += 'a'; });
    task.add_done_callback([&] { log += 'b'; });
    loop().run_once();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(log, "") << "a done callback ran inside the step that ended the task";
    loop().run_once();
    EXPECT_EQ(log, "ab");
    task.add_done_callback([&] { log += 'c'; });
    EXPECT_EQ(log, "ab") << "added to a finished task it still comes from the loop";
    loop().run_once();
    EXPECT_EQ(log, "abc");
}

TEST_P(Tasks, a_throwing_done_callback_is_reported_and_the_next_one_runs) {
    bool next = false;
    TaskHandle<int> task = loop().create_task(give(1));
    task.add_done_callback([] { throw std::runtime_error("done callback"); });
    task.add_done_callback([&] { next = true; });
    run_idle();
    EXPECT_TRUE(next);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "done callback");
}

TEST_P(Tasks, dropping_every_handle_does_not_stop_the_task) {
    bool ended = false;
    auto body = [](bool& out) -> Task<void> {
        co_await sleep(1ms);
        out = true;
    };
    loop().create_task(body(ended));
    EXPECT_TRUE(run_until([&] { return ended; }));
}

TEST_P(Tasks, an_empty_handle_says_no_to_everything) {
    TaskHandle<int> none;
    EXPECT_FALSE(none);
    EXPECT_FALSE(none.done());
    EXPECT_FALSE(none.cancel());
    EXPECT_FALSE(none.cancelled());
    EXPECT_EQ(none.exception(), nullptr);
    EXPECT_THROW(static_cast<void>(none.result()), std::logic_error);
    auto waiting = [](TaskHandle<int> empty) -> Task<void> { co_await empty; };
    EXPECT_THROW(run(waiting(none)), std::logic_error);
}

// ---- exceptions nobody asks for ----

TEST_P(Tasks, an_exception_that_is_never_retrieved_is_reported_with_the_place_of_the_task) {
    std::string place;
    loop().set_exception_handler(
        [&](const ExceptionContext& context) { place = to_string(context); });
    loop().create_task(throw_runtime("lost"));
    run_idle();
    EXPECT_THAT(place,
                testing::AllOf(testing::HasSubstr("never retrieved"), testing::HasSubstr("lost"),
                               testing::HasSubstr("task_test.cpp")));
}

TEST_P(Tasks, an_exception_somebody_asked_for_is_not_reported) {
    {
        TaskHandle<int> task = loop().create_task(throw_runtime("seen"));
        run_idle();
        EXPECT_NE(task.exception(), nullptr);
    }
    {
        TaskHandle<int> task = loop().create_task(throw_runtime("seen"));
        run_idle();
        EXPECT_THROW(static_cast<void>(task.result()), std::runtime_error);
    }
    run_idle();
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(Tasks, J6_an_exception_of_one_session_coroutine_leaves_the_others_alone) {
    auto session = [](int number, int& served) -> Task<void> {
        co_await sleep(1ms);
        if (number == 2) {
            throw std::runtime_error("session 2");
        }
        ++served;
    };
    int served = 0;
    for (int i = 0; i < 5; ++i) {
        loop().create_task(session(i, served));
    }
    ASSERT_TRUE(run_until([&] { return served == 4; }));
    run_idle();
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "session 2");
}

// ---- depth: the stack does not grow, in sanitizer builds neither ----

TEST_P(Tasks, a_hundred_thousand_synchronous_awaits_in_a_loop_need_no_stack) {
    auto counting = []() -> Task<int> {
        int sum = 0;
        for (int i = 0; i < 100'000; ++i) {
            Task<int> one = give(1);
            const int value = co_await one;
            sum += value;
        }
        co_return sum;
    };
    EXPECT_EQ(run(counting()), 100'000);
}

TEST_P(Tasks, a_task_that_awaits_its_own_handle_is_refused) {
    TaskHandle<> self;
    auto body = [&self]() -> Task<> { co_await self; };
    self = loop().create_task(body());
    EXPECT_EQ(message_of<std::logic_error>([&] { finish(self); }), "a task cannot await itself");
}

TEST_P(Tasks, a_hundred_thousand_awaits_of_a_finished_handle_and_future_need_no_stack) {
    TaskHandle<int> finished = loop().create_task(give(1));
    Future<int> set = loop().create_future<int>();
    set.set_result(1);
    run_idle();
    auto counting = [](TaskHandle<int> task, Future<int> future) -> Task<int> {
        int sum = 0;
        for (int i = 0; i < 100'000; ++i) {
            const int a = co_await task;
            const int b = co_await future;
            sum += a + b;
        }
        co_return sum;
    };
    EXPECT_EQ(run(counting(finished, set)), 200'000);
}

Task<int> nested(int depth) {
    if (depth == 0) {
        co_return 1;
    }
    Task<int> inner = nested(depth - 1);
    const int value = co_await inner;
    co_return value + 1;
}

Task<int> nested_over(int depth, Future<int> bottom) {
    if (depth == 0) {
        const int value = co_await bottom;
        co_return value;
    }
    Task<int> inner = nested_over(depth - 1, bottom);
    const int value = co_await inner;
    co_return value + 1;
}

TEST_P(Tasks, ten_thousand_nested_tasks_need_no_stack) {
    EXPECT_EQ(run(nested(10'000)), 10'001);
}

TEST_P(Tasks, ten_thousand_nested_tasks_that_wait_resume_fail_and_cancel_without_stack) {
    Future<int> bottom = loop().create_future<int>();
    TaskHandle<int> resumed = loop().create_task(nested_over(10'000, bottom));
    run_idle();
    bottom.set_result(5);
    EXPECT_EQ(finish(resumed), 10'005);

    Future<int> failing = loop().create_future<int>();
    TaskHandle<int> failed = loop().create_task(nested_over(10'000, failing));
    run_idle();
    failing.set_exception(std::make_exception_ptr(std::runtime_error("bottom")));
    EXPECT_EQ(message_of<std::runtime_error>([&] { finish(failed); }), "bottom");

    TaskHandle<int> cancelled =
        loop().create_task(nested_over(10'000, loop().create_future<int>()));
    run_idle();
    cancelled.cancel();
    ASSERT_TRUE(run_until([&] { return cancelled.done(); }));
    EXPECT_TRUE(cancelled.cancelled());
}

TEST_P(Tasks, ten_thousand_nested_waiting_tasks_can_be_destroyed_with_the_loop) {
    Future<int> never = loop().create_future<int>();
    TaskHandle<int> waiting = loop().create_task(nested_over(10'000, never));
    run_idle();
    loop().close();
    EXPECT_TRUE(waiting.done());
    waiting = TaskHandle<int>();
}

TEST_P(Tasks, a_chain_of_ten_thousand_tasks_that_await_each_others_handles) {
    Future<int> bottom = loop().create_future<int>();
    auto link = [](TaskHandle<int> before) -> Task<int> {
        const int value = co_await before;
        co_return value + 1;
    };
    auto first = [](Future<int> future) -> Task<int> {
        const int value = co_await future;
        co_return value;
    };
    TaskHandle<int> last = loop().create_task(first(bottom));
    for (int i = 0; i < 10'000; ++i) {
        last = loop().create_task(link(last));
    }
    run_idle();
    bottom.set_result(0);
    EXPECT_EQ(finish(last), 10'000);
}

}  // namespace
}  // namespace sluice::test
