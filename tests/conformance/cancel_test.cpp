// Cancellation of tasks, as asyncio's: delivered at the awaiting point, in a later iteration, and
// everything the task held is released.
#include <sluice/task_group.hpp>

#include "support/coroutines.hpp"
#include "support/loop_fixture.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Cancel : public BackendTest {
protected:
    // Cancels and runs until the task has ended by it.
    template <class T>
    void expect_cancelled(TaskHandle<T> task) {
        EXPECT_TRUE(task.cancel());
        ASSERT_TRUE(run_until([&] { return task.done(); }));
        EXPECT_TRUE(task.cancelled());
        EXPECT_FALSE(task.cancel()) << "it is done";
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Cancel, testing::ValuesIn(backends()), backend_case_name);

struct Counts {
    int alive = 0;
    bool caught = false;
    bool after = false;
};

struct Local {
    explicit Local(Counts& where) : counts(where) { ++counts.alive; }
    ~Local() { --counts.alive; }
    Local(const Local&) = delete;
    Local& operator=(const Local&) = delete;
    Counts& counts;
};

Task<void> sleep_long(Counts& counts) {
    const Local local(counts);
    co_await sleep(1h);
    counts.after = true;
}

Task<void> wait_for(Future<void> future, Counts& counts) {
    const Local local(counts);
    co_await future;
    counts.after = true;
}

TEST_P(Cancel, before_the_start_nothing_of_the_task_runs) {
    bool ran = false;
    auto body = [](bool& out) -> Task<void> {
        out = true;
        co_await sleep(0ns);
    };
    TaskHandle<void> task = loop().create_task(body(ran));
    expect_cancelled(task);
    EXPECT_FALSE(ran);
}

TEST_P(Cancel, is_delivered_at_the_awaiting_point_and_destroys_the_locals) {
    Counts counts;
    TaskHandle<void> task = loop().create_task(sleep_long(counts));
    run_idle();
    ASSERT_EQ(counts.alive, 1);
    EXPECT_TRUE(task.cancel());
    EXPECT_EQ(counts.alive, 1) << "the task was resumed inside cancel()";
    EXPECT_FALSE(task.done());
    loop().run_once();
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(counts.alive, 0);
    EXPECT_FALSE(counts.after);
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "the timer of the sleep is left";
}

TEST_P(Cancel, reaches_the_innermost_of_nested_tasks_and_unwinds_all) {
    Counts counts;
    auto middle = [](Counts& where) -> Task<void> {
        const Local local(where);
        Task<void> inner = sleep_long(where);
        co_await inner;
        where.after = true;
    };
    auto outer = [&](Counts& where) -> Task<void> {
        const Local local(where);
        Task<void> inner = middle(where);
        co_await inner;
        where.after = true;
    };
    TaskHandle<void> task = loop().create_task(outer(counts));
    run_idle();
    EXPECT_EQ(counts.alive, 3);
    expect_cancelled(task);
    EXPECT_EQ(counts.alive, 0);
    EXPECT_FALSE(counts.after);
}

TEST_P(Cancel, twice_before_it_is_delivered_counts_once) {
    int caught = 0;
    auto body = [](int& count) -> Task<int> {
        for (int i = 0; i < 2; ++i) {
            try {
                co_await sleep(i == 0 ? Duration(1h) : Duration(1ms));
            } catch (const Cancelled&) {
                ++count;
            }
        }
        co_return count;
    };
    TaskHandle<int> task = loop().create_task(body(caught));
    run_idle();
    EXPECT_TRUE(task.cancel());
    EXPECT_TRUE(task.cancel());
    EXPECT_EQ(finish(task), 1);
}

TEST_P(Cancel, may_be_caught_and_the_task_goes_on_and_can_be_cancelled_again) {
    auto body = [](std::string& log) -> Task<std::string> {
        for (;;) {
            bool cancelled = false;
            try {
                co_await sleep(1h);
            } catch (const Cancelled&) {
                cancelled = true;
            }
            log += cancelled ? 'c' : '?';
            if (log.size() == 3) {
                break;
            }
        }
        co_await sleep(0ns);
        co_return log;
    };
    std::string log;
    TaskHandle<std::string> task = loop().create_task(body(log));
    for (int i = 0; i < 3; ++i) {
        run_idle();
        EXPECT_TRUE(task.cancel());
    }
    EXPECT_EQ(finish(task), "ccc");
    EXPECT_FALSE(task.cancelled());
}

TEST_P(Cancel, is_not_swallowed_by_code_that_catches_std_exception) {
    auto body = [](Counts& counts) -> Task<void> {
        try {
            co_await sleep(1h);
        } catch (const std::exception&) {
            counts.caught = true;
        }
    };
    Counts counts;
    TaskHandle<void> task = loop().create_task(body(counts));
    run_idle();
    expect_cancelled(task);
    EXPECT_FALSE(counts.caught);
}

TEST_P(Cancel, another_exception_thrown_while_unwinding_replaces_it) {
    TaskHandle<void> task = loop().create_task(throw_when_cancelled<std::runtime_error>("instead"));
    run_idle();
    task.cancel();
    EXPECT_EQ(message_of<std::runtime_error>([&] { finish(task); }), "instead");
    EXPECT_FALSE(task.cancelled());
}

TEST_P(Cancel, a_task_may_await_while_it_unwinds) {
    auto body = [](std::string& log) -> Task<void> {
        bool cancelled = false;
        try {
            co_await sleep(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_await sleep(1ms);
        log = cancelled ? "cleaned up" : "not cancelled";
        throw Cancelled();
    };
    std::string log;
    TaskHandle<void> task = loop().create_task(body(log));
    run_idle();
    task.cancel();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(log, "cleaned up");
}

TEST_P(Cancel, of_itself_is_delivered_at_the_next_awaiting_point) {
    // asyncio: test_cancel_current_task.
    TaskHandle<void> task;
    auto body = [](TaskHandle<void>& self, Counts& counts) -> Task<void> {
        self.cancel();
        counts.caught = true;
        co_await sleep(1h);
        counts.after = true;
    };
    Counts counts;
    task = loop().create_task(body(task, counts));
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(counts.caught);
    EXPECT_FALSE(counts.after);
    task = TaskHandle<void>();
}

TEST_P(Cancel, of_itself_without_another_await_ends_the_task_as_cancelled) {
    // asyncio: "Task is cancelled right before coro stops" (test_cancel_at_end).
    TaskHandle<void> task;
    auto body = [](TaskHandle<void>& self) -> Task<void> {
        self.cancel();
        co_return;
    };
    task = loop().create_task(body(task));
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    task = TaskHandle<void>();
}

TEST_P(Cancel, cancels_the_future_that_is_awaited) {
    Future<void> future = loop().create_future<void>();
    Counts counts;
    TaskHandle<void> task = loop().create_task(wait_for(future, counts));
    run_idle();
    expect_cancelled(task);
    EXPECT_TRUE(future.cancelled());
    EXPECT_EQ(counts.alive, 0);
}

TEST_P(Cancel, cancels_the_task_whose_handle_is_awaited) {
    Counts counts;
    auto outer = [](TaskHandle<void> inner) -> Task<void> { co_await inner; };
    TaskHandle<void> inner = loop().create_task(sleep_long(counts));
    TaskHandle<void> waiting = loop().create_task(outer(inner));
    run_idle();
    expect_cancelled(waiting);
    EXPECT_TRUE(inner.cancelled());
    EXPECT_EQ(counts.alive, 0);
}

TEST_P(Cancel, of_an_awaited_task_reaches_the_one_that_awaits_it) {
    Counts counts;
    auto outer = [](TaskHandle<void> inner, Counts& where) -> Task<void> {
        try {
            co_await inner;
        } catch (const Cancelled&) {
            where.caught = true;
        }
    };
    TaskHandle<void> inner = loop().create_task(sleep_long(counts));
    TaskHandle<void> waiting = loop().create_task(outer(inner, counts));
    run_idle();
    inner.cancel();
    finish(waiting);
    EXPECT_TRUE(counts.caught);
    EXPECT_FALSE(waiting.cancelled());
}

TEST_P(Cancel, an_inner_task_that_goes_on_lets_the_outer_one_go_on) {
    // asyncio: cancelling the outer one is only passed on; what the inner makes of it counts.
    auto stubborn = []() -> Task<int> {
        bool cancelled = false;
        try {
            co_await sleep(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_return cancelled ? 7 : 0;
    };
    auto outer = [](TaskHandle<int> inner) -> Task<int> {
        const int value = co_await inner;
        co_return value;
    };
    TaskHandle<int> inner = loop().create_task(stubborn());
    TaskHandle<int> waiting = loop().create_task(outer(inner));
    run_idle();
    waiting.cancel();
    EXPECT_EQ(finish(waiting), 7);
    EXPECT_FALSE(waiting.cancelled());
}

TEST_P(Cancel, after_the_awaited_future_was_set_but_before_the_task_ran_still_arrives) {
    Future<void> future = loop().create_future<void>();
    Counts counts;
    TaskHandle<void> task = loop().create_task(wait_for(future, counts));
    run_idle();
    future.set_result();
    EXPECT_TRUE(task.cancel());
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(future.cancelled());
    EXPECT_FALSE(counts.after);
}

TEST_P(Cancel, after_the_sleep_ended_but_before_the_task_ran_still_arrives) {
    Counts counts;
    TimePoint due;
    auto body = [](EventLoop& own, Counts& where, TimePoint& until) -> Task<void> {
        until = own.time() + 1ms;
        co_await sleep(1ms);
        where.after = true;
    };
    TaskHandle<void> task = loop().create_task(body(loop(), counts, due));
    loop().run_once();
    // Due after the sleep, since that took its start later than `due` was computed, and after an
    // equal deadline comes the timer that was set later; both run in one iteration, and the task
    // only in the next.
    bool cancelled = false;
    while (loop().time() < due + 1ms) {
        // The clock has to pass both deadlines before the loop looks at it again.
    }
    loop().call_at(loop().time(), [&] { cancelled = task.cancel(); });
    loop().run_once();
    EXPECT_TRUE(cancelled);
    EXPECT_FALSE(task.done());
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_FALSE(counts.after);
}

TEST_P(Cancel, a_cancelled_task_is_not_reported) {
    Counts counts;
    loop().create_task(sleep_long(counts)).cancel();
    TaskHandle<void> started = loop().create_task(sleep_long(counts));
    run_idle();
    started.cancel();
    started = TaskHandle<void>();
    run_idle();
    EXPECT_TRUE(take_reports().empty());
    EXPECT_EQ(counts.alive, 0);
}

TEST_P(Cancel, done_callbacks_of_a_cancelled_task_run) {
    Counts counts;
    bool told = false;
    TaskHandle<void> task = loop().create_task(sleep_long(counts));
    task.add_done_callback([&] { told = task.cancelled(); });
    run_idle();
    task.cancel();
    EXPECT_TRUE(run_until([&] { return told; }));
}

TEST_P(Cancel, the_result_of_a_cancelled_task_throws_cancelled) {
    Counts counts;
    TaskHandle<void> task = loop().create_task(sleep_long(counts));
    expect_cancelled(task);
    EXPECT_THROW(task.result(), Cancelled);
    EXPECT_THROW(loop().run_until_complete(task), Cancelled);
}

TEST_P(Cancel, a_thousand_tasks_on_one_future_can_all_be_cancelled) {
    Future<void> future = loop().create_future<void>();
    Counts counts;
    std::vector<TaskHandle<void>> tasks;
    for (int i = 0; i < 1000; ++i) {
        tasks.push_back(loop().create_task(wait_for(future, counts)));
    }
    run_idle();
    EXPECT_EQ(counts.alive, 1000);
    for (TaskHandle<void>& task : tasks) {
        task.cancel();
    }
    run_idle();
    EXPECT_EQ(counts.alive, 0);
    for (const TaskHandle<void>& task : tasks) {
        EXPECT_TRUE(task.cancelled());
    }
}

TEST_P(Cancel, a_task_that_is_destroyed_while_suspended_releases_timer_future_and_locals) {
    Future<void> future = loop().create_future<void>();
    Counts counts;
    loop().create_task(sleep_long(counts));
    loop().create_task(wait_for(future, counts));
    run_idle();
    EXPECT_EQ(counts.alive, 2);
    loop().close();
    EXPECT_EQ(counts.alive, 0);
    EXPECT_FALSE(counts.after);
}

TEST_P(Cancel, a_connected_transport_of_a_cancelled_task_lives_on_unless_it_is_closed) {
    const Listener listener;
    Recorder& told = make_recorder();
    auto body = [](EventLoop& own, std::uint16_t port, Recorder* recorder) -> Task<void> {
        auto connection = co_await own.create_connection<RecordingProtocol>(
            "127.0.0.1", port, ConnectOptions(), recorder);
        co_await sleep(1h);
        connection.transport->close();
    };
    TaskHandle<void> task = loop().create_task(body(loop(), listener.port(), &told));
    ASSERT_TRUE(run_until([&] { return told.made(); }));
    run_idle();
    expect_cancelled(task);
    run_idle();
    EXPECT_FALSE(told.transport().is_closing()) << "asyncio: the loop holds the transport";
    told.transport().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
}

TEST_P(Cancel, a_connection_whose_task_is_destroyed_before_it_has_it_is_closed) {
    const Listener listener;
    Recorder& told = make_recorder();
    auto group = std::make_unique<TaskGroup>();
    auto start = [&]() -> Task<void> {
        group->create_task(loop().create_connection<RecordingProtocol>("127.0.0.1", listener.port(),
                                                                       ConnectOptions(), &told));
        co_return;
    };
    run(start());
    ASSERT_TRUE(run_until([&] { return told.made(); }));
    group.reset();
    EXPECT_TRUE(run_until([&] { return told.lost(); })) << "nobody could ever close it";
}

}  // namespace
}  // namespace sluice::test
