// What tasks allocate: the frame of the coroutine and nothing else, whether they are started, awaited,
// cancelled, timed out or made to wait; and what happens when even that is not there.
#include <sluice/gather.hpp>
#include <sluice/queue.hpp>
#include <sluice/sync.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include "support/counted_new.hpp"
#include "support/loop_fixture.hpp"

#include <functional>
#include <new>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class TaskMemory : public BackendTest {
protected:
    /// What `body` allocates in the steady state: everything that grows has grown.
    std::size_t allocations_of(const std::function<void()>& body) {
        for (int i = 0; i < 3; ++i) {
            body();
        }
        const std::size_t before = allocations;
        body();
        return allocations - before;
    }
    void one_iteration() { loop().run_once(Duration::zero()); }
};
INSTANTIATE_TEST_SUITE_P(Every, TaskMemory, testing::ValuesIn(backends()), backend_case_name);

Task<int> answer() {
    co_return 42;
}

Task<> pause() {
    co_await sleep(0ns);
}

Task<> wait_long() {
    co_await sleep(1h);
}

TEST_P(TaskMemory, starting_running_and_dropping_a_task_allocates_its_frame) {
    EXPECT_EQ(allocations_of([&] {
                  loop().create_task(answer());
                  one_iteration();
              }),
              1U);
    EXPECT_EQ(allocations_of([&] {
                  TaskHandle<> task = loop().create_task(pause());
                  one_iteration();
                  one_iteration();
                  EXPECT_TRUE(task.done());
              }),
              1U);
}

Task<> await_call(int& result) {
    const Task<int> call = answer();
    result = co_await call;
}

Task<> await_handle(TaskHandle<int> handle, int& result) {
    result = co_await handle;
}

TEST_P(TaskMemory, awaiting_a_call_or_a_handle_allocates_the_frames) {
    int result = 0;
    EXPECT_EQ(allocations_of([&] {
                  loop().create_task(await_call(result));
                  one_iteration();
              }),
              2U);
    EXPECT_EQ(std::exchange(result, 0), 42);
    EXPECT_EQ(allocations_of([&] {
                  loop().create_task(await_handle(loop().create_task(answer()), result));
                  one_iteration();
                  one_iteration();
              }),
              2U);
    EXPECT_EQ(result, 42);
}

// The exception is the C++ runtime's: an object of its own for each throw, not by operator new.
TEST_P(TaskMemory, cancelling_a_waiting_task_allocates_nothing) {
    EXPECT_EQ(allocations_of([&] {
                  TaskHandle<> task = loop().create_task(wait_long());
                  one_iteration();
                  task.cancel();
                  one_iteration();
                  EXPECT_TRUE(task.cancelled());
              }),
              1U);
    EXPECT_EQ(allocations_of([&] { loop().create_task(wait_long()).cancel(), one_iteration(); }),
              1U)
        << "cancelled before its first step";
}

Task<> wait_for_everything(Event& event, Lock& lock, Queue<int>& queue, int& steps) {
    ++steps;
    co_await event.wait();
    ++steps;
    {
        const Permit permit = co_await lock.acquire();
        ++steps;
    }
    const int value = co_await queue.get();
    steps += value;
}

TEST_P(TaskMemory, waiting_for_events_locks_and_queues_allocates_nothing) {
    Event event;
    Lock lock;
    Queue<int> queue;
    int steps = 0;
    EXPECT_EQ(allocations_of([&] {
                  steps = 0;
                  Permit held = lock.try_acquire();
                  loop().create_task(wait_for_everything(event, lock, queue, steps));
                  one_iteration();
                  event.set();
                  one_iteration();
                  held.release();
                  one_iteration();
                  queue.put_nowait(1);
                  one_iteration();
                  event.clear();
                  EXPECT_EQ(steps, 4);
              }),
              1U);
}

Task<> limited_pause() {
    Task<> limited = timeout(1h, sleep(0ns));
    co_await limited;
}

TEST_P(TaskMemory, a_timeout_allocates_its_frame_and_no_timer) {
    EXPECT_EQ(allocations_of([&] {
                  loop().create_task(limited_pause());
                  one_iteration();
                  one_iteration();
              }),
              2U);
}

Task<> three_in_a_group() {
    TaskGroup group;
    for (int i = 0; i < 3; ++i) {
        group.create_task(pause());
    }
    Task<> ended = group.wait();
    co_await ended;
}

TEST_P(TaskMemory, a_group_allocates_the_frames_of_its_tasks_and_of_its_waiting) {
    EXPECT_EQ(allocations_of([&] {
                  TaskHandle<> task = loop().create_task(three_in_a_group());
                  for (int i = 0; i < 5; ++i) {
                      one_iteration();
                  }
                  EXPECT_TRUE(task.done());
              }),
              1U + 3U + 3U)
        << "wait() is three coroutines deep";
}

// ---- without memory ----

Task<> fail_after_a_pause() {
    co_await sleep(0ns);
    throw std::runtime_error("not listed");
}

Task<> group_without_memory(bool& told) {
    try {
        TaskGroup group;
        group.create_task(fail_after_a_pause());
        Task<> ended = group.wait();
        co_await ended;
    } catch (const std::bad_alloc&) {
        told = true;
    }
}

TEST_P(TaskMemory, a_group_that_cannot_list_an_error_does_not_end_well) {
    bool told = false;
    TaskHandle<> task = loop().create_task(group_without_memory(told));
    one_iteration();
    one_iteration();
    // The next allocations: the text of the exception, and then the list of the group.
    allocations_until_failure = 2;
    one_iteration();
    allocations_until_failure = 0;
    run_idle();
    EXPECT_TRUE(told);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "not listed");
}

Task<> cancel_itself_and_sleep(TaskHandle<>& self, int& resumed) {
    self.cancel();
    try {
        co_await sleep(1h);
    } catch (const Cancelled&) {
        ++resumed;
        throw;
    }
}

TEST_P(TaskMemory, a_cancelled_sleep_needs_no_timer) {
    int resumed = 0;
    TaskHandle<> self;
    self = loop().create_task(cancel_itself_and_sleep(self, resumed));
    allocations_until_failure = 1;
    one_iteration();
    allocations_until_failure = 0;
    run_idle();
    EXPECT_EQ(resumed, 1);
    EXPECT_TRUE(self.cancelled());
}

}  // namespace
}  // namespace sluice::test
