// The loop itself: call_soon, running and stopping, the exception handler. asyncio's behaviour
// behind it: the table of what a loop must offer and group T of the reference. Debug mode, backends
// and embedding are in loop_options_test.cpp.
#include "support/loop_fixture.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Loop : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Loop, testing::ValuesIn(backends()), backend_case_name);

// ---- call_soon ----

TEST_P(Loop, T385_call_soon_runs_callbacks_in_the_order_of_the_calls) {
    std::vector<int> ran;
    for (int i = 0; i < 100; ++i) {
        loop().call_soon([&ran, i] { ran.push_back(i); });
    }
    EXPECT_TRUE(ran.empty()) << "a callback ran inside call_soon";
    loop().run_once();
    ASSERT_EQ(ran.size(), 100U);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(ran[static_cast<std::size_t>(i)], i);
    }
}

TEST_P(Loop, T385_a_callback_scheduled_by_a_callback_runs_in_the_next_iteration) {
    std::string ran;
    loop().call_soon([&] {
        ran += 'a';
        loop().call_soon([&] { ran += 'c'; });
    });
    loop().call_soon([&] { ran += 'b'; });
    loop().run_once();
    EXPECT_EQ(ran, "ab");
    loop().run_once();
    EXPECT_EQ(ran, "abc");
}

TEST_P(Loop, T385_a_callback_may_own_what_cannot_be_copied) {
    int seen = 0;
    auto owned = std::make_unique<int>(7);
    loop().call_soon([&seen, owned = std::move(owned)] { seen = *owned; });
    loop().run_once();
    EXPECT_EQ(seen, 7);
}

TEST_P(Loop, a_cancelled_handle_never_runs_and_drops_its_closure_at_once) {
    auto owned = std::make_shared<int>(0);
    Handle handle = loop().call_soon([owned] { ++*owned; });
    EXPECT_FALSE(handle.cancelled());
    handle.cancel();
    handle.cancel();
    EXPECT_TRUE(handle.cancelled());
    EXPECT_EQ(owned.use_count(), 1);
    run_idle();
    EXPECT_EQ(*owned, 0);
}

TEST_P(Loop, a_callback_can_cancel_one_of_the_same_batch_and_itself) {
    std::string ran;
    Handle first;
    Handle second;
    first = loop().call_soon([&] {
        ran += '1';
        first.cancel();
        second.cancel();
    });
    second = loop().call_soon([&] { ran += '2'; });
    loop().call_soon([&] { ran += '3'; });
    run_idle();
    EXPECT_EQ(ran, "13");
    EXPECT_TRUE(second.cancelled());
    EXPECT_FALSE(first.cancelled()) << "it was running already";
}

TEST_P(Loop, dropping_the_handle_does_not_cancel_the_callback) {
    bool ran = false;
    {
        const Handle handle = loop().call_soon([&] { ran = true; });
    }
    loop().run_once();
    EXPECT_TRUE(ran);
}

TEST_P(Loop, a_closure_is_destroyed_once_it_has_run_although_its_handle_lives) {
    auto owned = std::make_shared<int>(0);
    const Handle handle = loop().call_soon([owned] {});
    loop().run_once();
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_FALSE(handle.cancelled());
}

// ---- running ----

TEST_P(Loop, stop_lets_the_current_batch_finish_and_leaves_the_rest_for_the_next_run) {
    std::string ran;
    loop().call_soon([&] {
        loop().stop();
        loop().call_soon([&] { ran += 'c'; });
        ran += 'a';
    });
    loop().call_soon([&] { ran += 'b'; });
    loop().run_forever();
    EXPECT_EQ(ran, "ab");
    loop().call_soon([&] { loop().stop(); });
    loop().run_forever();
    EXPECT_EQ(ran, "abc");
}

TEST_P(Loop, stop_before_a_run_makes_exactly_one_iteration) {
    std::string ran;
    loop().stop();
    loop().call_soon([&] {
        ran += 'a';
        loop().call_soon([&] { ran += 'b'; });
    });
    loop().run_forever();
    EXPECT_EQ(ran, "a");
    EXPECT_FALSE(loop().is_running());
}

TEST_P(Loop, is_running_and_running_tell_the_truth_inside_and_outside) {
    EXPECT_FALSE(loop().is_running());
    EXPECT_EQ(EventLoop::running(), nullptr);
    bool inside = false;
    EventLoop* seen = nullptr;
    loop().call_soon([&] {
        inside = loop().is_running();
        seen = EventLoop::running();
    });
    loop().run_once();
    EXPECT_TRUE(inside);
    EXPECT_EQ(seen, &loop());
    EXPECT_FALSE(loop().is_running());
    EXPECT_EQ(EventLoop::running(), nullptr);
}

TEST_P(Loop, T394_a_nested_run_is_a_logic_error) {
    std::vector<std::string> errors;
    loop().call_soon([&] {
        errors.push_back(message_of<std::logic_error>([&] { loop().run_forever(); }));
        errors.push_back(message_of<std::logic_error>([&] { loop().run_once(); }));
    });
    loop().run_once();
    ASSERT_EQ(errors.size(), 2U);
    for (const std::string& error : errors) {
        EXPECT_THAT(error, testing::HasSubstr("already running"));
    }
}

Task<void> note_that_it_ran(bool& ran) {
    ran = true;
    co_return;
}

TEST_P(Loop, T394_a_nested_run_until_complete_throws_and_starts_nothing) {
    // asyncio checks before it wraps the coroutine: test_run_until_complete_nesting.
    bool inner_ran = false;
    bool later_ran = false;
    loop().call_soon([&] {
        const std::string error = message_of<std::logic_error>(
            [&] { loop().run_until_complete(note_that_it_ran(inner_ran)); });
        EXPECT_THAT(error, testing::HasSubstr("already running"));
    });
    loop().call_later(1ms, [&] {
        later_ran = true;
        loop().stop();
    });
    loop().run_forever();
    EXPECT_FALSE(inner_ran) << "the refused coroutine ran in the outer run";
    EXPECT_TRUE(later_ran) << "the refused run stopped the outer one";
}

TEST_P(Loop, T394_a_loop_cannot_run_while_another_runs_on_this_thread) {
    EventLoop other(GetParam());
    std::string error;
    loop().call_soon([&] { error = message_of<std::logic_error>([&] { other.run_forever(); }); });
    loop().run_once();
    EXPECT_THAT(error, testing::HasSubstr("another loop is running"));
}

TEST_P(Loop, T394_closing_a_running_loop_is_a_logic_error_and_changes_nothing) {
    bool went_on = false;
    loop().call_soon([&] {
        message_of<std::logic_error>([&] { loop().close(); });
        EXPECT_FALSE(loop().is_closed());
        loop().call_soon([&] { went_on = true; });
    });
    run_idle();
    EXPECT_TRUE(went_on);
}

TEST_P(Loop, T394_everything_on_a_closed_loop_is_a_logic_error_that_says_so) {
    loop().close();
    loop().close();
    EXPECT_TRUE(loop().is_closed());
    bool ran = false;
    const auto closed = testing::HasSubstr("closed");
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().call_soon([] {}); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().call_soon_threadsafe([] {}); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().call_later(1ms, [] {}); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().call_at(loop().time(), [] {}); }),
                closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().run_forever(); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().run_once(); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().create_task(note_that_it_ran(ran)); }),
                closed);
    EXPECT_THAT(
        message_of<std::logic_error>([&] { loop().run_until_complete(note_that_it_ran(ran)); }),
        closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().add_reader(0, [] {}); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().add_writer(0, [] {}); }), closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().add_signal_handler(10, [] {}); }),
                closed);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().run_in_executor([] {}); }), closed);
    EXPECT_FALSE(loop().remove_reader(0));
    EXPECT_FALSE(loop().remove_writer(0));
    EXPECT_FALSE(loop().remove_signal_handler(10));
    EXPECT_FALSE(ran);
}

TEST_P(Loop, close_destroys_what_waits_without_running_it) {
    auto owned = std::make_shared<int>(0);
    const Handle soon = loop().call_soon([owned] { ++*owned; });
    const TimerHandle later = loop().call_later(1h, [owned] { ++*owned; });
    loop().call_soon_threadsafe([owned] { ++*owned; });
    EXPECT_EQ(owned.use_count(), 4);
    loop().close();
    EXPECT_EQ(owned.use_count(), 1);
    EXPECT_EQ(*owned, 0);
}

TEST_P(Loop, a_closure_that_uses_the_loop_when_close_destroys_it_does_no_harm) {
    struct SchedulesAtEnd {
        EventLoop* loop;
        bool* refused;
        ~SchedulesAtEnd() {
            try {
                loop->call_soon([] {});
            } catch (const std::logic_error&) {
                *refused = true;
            }
        }
    };
    bool refused = false;
    auto owned = std::make_shared<SchedulesAtEnd>(&loop(), &refused);
    loop().call_soon([owned] {});
    owned.reset();
    loop().close();
    EXPECT_TRUE(refused);
}

Task<int> answer() {
    co_return 42;
}

Task<void> throw_runtime_error(std::string text) {
    throw std::runtime_error(text);
    co_return;
}

TEST_P(Loop, run_until_complete_gives_the_result_or_throws_the_exception) {
    EXPECT_EQ(loop().run_until_complete(answer()), 42);
    std::string text = "from the task";
    EXPECT_EQ(message_of<std::runtime_error>(
                  [&] { loop().run_until_complete(throw_runtime_error(text)); }),
              "from the task");
    TaskHandle<int> handle = loop().create_task(answer());
    EXPECT_EQ(loop().run_until_complete(handle), 42);
    EXPECT_EQ(loop().run_until_complete(handle), 42) << "done already";
    Future<int> future = loop().create_future<int>();
    loop().call_soon([future] { future.set_result(5); });
    EXPECT_EQ(loop().run_until_complete(future), 5);
}

TEST_P(Loop, run_until_complete_stopped_early_is_a_runtime_error) {
    Future<void> never = loop().create_future<void>();
    loop().call_soon([&] { loop().stop(); });
    EXPECT_EQ(message_of<std::runtime_error>([&] { loop().run_until_complete(never); }),
              "Event loop stopped before Future completed.");
    // The abandoned wait must not stop a later run: asyncio removes its done callback.
    bool later = false;
    loop().call_soon([&] { never.set_result(); });
    loop().call_later(1ms, [&] {
        later = true;
        loop().stop();
    });
    loop().run_forever();
    EXPECT_TRUE(later);
}

TEST_P(Loop, StopLoop_leaves_the_run_and_the_loop_stays_usable) {
    loop().call_soon([] { throw StopLoop(); });
    bool same_batch = false;
    loop().call_soon([&] { same_batch = true; });
    EXPECT_THROW(loop().run_forever(), StopLoop);
    EXPECT_TRUE(same_batch);
    EXPECT_FALSE(loop().is_running());
    Future<void> never = loop().create_future<void>();
    loop().call_soon([] { throw StopLoop(); });
    EXPECT_THROW(loop().run_until_complete(never), StopLoop);
    // As above: what the interrupted run waited for must not end the next one.
    bool later = false;
    loop().call_soon([&] { never.set_result(); });
    loop().call_later(1ms, [&] {
        later = true;
        loop().stop();
    });
    loop().run_forever();
    EXPECT_TRUE(later);
}

TEST_P(Loop, StopLoop_thrown_by_a_task_leaves_the_run) {
    auto exits = []() -> Task<void> {
        throw StopLoop();
        co_return;
    };
    EXPECT_THROW(loop().run_until_complete(exits()), StopLoop);
    EXPECT_TRUE(take_reports().empty());
}

// ---- starvation ----

TEST_P(Loop, B8_a_callback_that_reschedules_itself_for_ever_starves_neither_io_nor_timers) {
    Recorder& told = make_recorder();
    auto [peer, ours] = connected_peers();
    run(loop().create_connection<RecordingProtocol>(Descriptor(ours.release()), &told));
    std::function<void()> again = [&] { loop().call_soon(again); };
    again();
    bool timer = false;
    loop().call_later(1ms, [&] { timer = true; });
    peer.send("served");
    ASSERT_TRUE(run_until([&] { return told.received() == "served" && timer; }));
    // The bound is one iteration: a callback that a callback schedules waits for the next one.
    peer.send("again");
    ASSERT_TRUE(wait_for_arrival(fd_of(told.transport()), 5));
    loop().run_once();
    EXPECT_EQ(told.received(), "servedagain");
}

// ---- the exception handler ----

TEST_P(Loop, T386_an_exception_of_a_callback_reaches_the_handler_and_the_loop_goes_on) {
    loop().call_soon([] { throw std::runtime_error("first"); });
    loop().call_later(0ms, [] { throw 7; });
    bool after = false;
    loop().call_soon([&] { after = true; });
    run_idle();
    EXPECT_TRUE(after);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 2U);
    EXPECT_EQ(reports[0].what, "first");
    EXPECT_FALSE(reports[0].message.empty());
    EXPECT_EQ(reports[1].what, "not a std::exception");
}

TEST_P(Loop, T386_the_default_handler_writes_a_line_with_message_reason_and_place) {
    loop().set_exception_handler(nullptr);
    testing::internal::CaptureStderr();
    loop().call_soon([] { throw std::runtime_error("to standard error"); });
    loop().run_once();
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_THAT(text, testing::HasSubstr("to standard error"));
    EXPECT_THAT(text, testing::HasSubstr("loop_test.cpp"));
    EXPECT_THAT(text, testing::EndsWith("\n"));
}

TEST_P(Loop, T387_a_broken_exception_handler_falls_back_to_the_default_one) {
    loop().set_exception_handler([](const ExceptionContext&) { throw std::logic_error("broken"); });
    testing::internal::CaptureStderr();
    loop().call_soon([] { throw std::runtime_error("the original"); });
    bool after = false;
    loop().call_soon([&] { after = true; });
    loop().run_once();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("the original"));
    EXPECT_TRUE(after);
}

TEST_P(Loop, call_exception_handler_passes_the_context_on) {
    ExceptionContext context;
    context.message = "of my own";
    context.error = std::make_error_code(std::errc::io_error);
    loop().call_exception_handler(context);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].message, "of my own");
    EXPECT_EQ(reports[0].error, std::errc::io_error);
}

}  // namespace
}  // namespace sluice::test
