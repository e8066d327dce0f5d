// Queue and its relatives: order, bounds, who is served, shutdown, as asyncio's in Python 3.13.
#include <sluice/queue.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include "support/loop_fixture.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Queues : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Queues, testing::ValuesIn(backends()), backend_case_name);

Task<> get_and_note(Queue<int>& queue, std::string& log, std::string name) {
    try {
        const int value = co_await queue.get();
        log += name + std::to_string(value);
    } catch (const QueueShutDown&) {
        log += name + "-";
    }
}

Task<> put_and_note(Queue<int>& queue, std::string& log, int value) {
    try {
        co_await queue.put(value);
        log += "+" + std::to_string(value);
    } catch (const QueueShutDown&) {
        log += "-" + std::to_string(value);
    }
}

TEST_P(Queues, values_come_out_in_the_order_of_their_kind) {
    Queue<int> fifo;
    LifoQueue<int> lifo;
    PriorityQueue<int> smallest;
    for (const int value : {2, 1, 3}) {
        fifo.put_nowait(value);
        lifo.put_nowait(value);
        smallest.put_nowait(value);
    }
    std::string order;
    for (int i = 0; i < 3; ++i) {
        order += std::to_string(fifo.get_nowait()) + std::to_string(lifo.get_nowait()) +
                 std::to_string(smallest.get_nowait()) + " ";
    }
    EXPECT_EQ(order, "231 112 323 ");
}

TEST_P(Queues, a_queue_knows_its_size_and_its_bound) {
    Queue<std::unique_ptr<int>> queue(2);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.maxsize(), 2U);
    queue.put_nowait(std::make_unique<int>(1));
    EXPECT_FALSE(queue.full());
    queue.put_nowait(nullptr);
    EXPECT_TRUE(queue.full());
    EXPECT_EQ(queue.qsize(), 2U);
    EXPECT_THROW(queue.put_nowait(nullptr), QueueFull);
    EXPECT_EQ(*queue.get_nowait(), 1);
    EXPECT_EQ(queue.get_nowait(), nullptr);
    EXPECT_THROW(static_cast<void>(queue.get_nowait()), QueueEmpty);
}

TEST_P(Queues, getters_wait_in_line_and_are_served_in_order) {
    Queue<int> queue;
    std::string log;
    for (const char* name : {"a", "b", "c"}) {
        loop().create_task(get_and_note(queue, log, name));
    }
    run_idle();
    queue.put_nowait(1);
    EXPECT_TRUE(queue.empty()) << "the value is the first getter's";
    EXPECT_THROW(static_cast<void>(queue.get_nowait()), QueueEmpty);
    queue.put_nowait(2);
    run_idle();
    EXPECT_EQ(log, "a1b2");
    queue.put_nowait(3);
    run_idle();
    EXPECT_EQ(log, "a1b2c3");
}

TEST_P(Queues, putters_wait_for_room_and_keep_their_order) {
    Queue<int> queue(1);
    std::string log;
    for (int i = 1; i <= 3; ++i) {
        loop().create_task(put_and_note(queue, log, i));
    }
    run_idle();
    EXPECT_EQ(log, "+1");
    EXPECT_EQ(queue.get_nowait(), 1);
    EXPECT_TRUE(queue.full()) << "the room is the first putter's";
    EXPECT_THROW(queue.put_nowait(9), QueueFull);
    run_idle();
    EXPECT_EQ(log, "+1+2");
    EXPECT_EQ(queue.get_nowait(), 2);
    run_idle();
    EXPECT_EQ(queue.get_nowait(), 3);
    run_idle();
    EXPECT_EQ(log, "+1+2+3");
}

TEST_P(Queues, a_value_for_a_getter_that_is_cancelled_goes_to_the_next_or_stays) {
    Queue<int> queue;
    std::string log;
    TaskHandle<> first = loop().create_task(get_and_note(queue, log, "a"));
    TaskHandle<> second = loop().create_task(get_and_note(queue, log, "b"));
    run_idle();
    queue.put_nowait(1);
    first.cancel();
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_EQ(log, "b1");
    TaskHandle<> third = loop().create_task(get_and_note(queue, log, "c"));
    run_idle();
    queue.put_nowait(2);
    third.cancel();
    run_idle();
    EXPECT_EQ(queue.qsize(), 1U);
    EXPECT_EQ(queue.get_nowait(), 2);
}

TEST_P(Queues, room_for_a_putter_that_is_cancelled_goes_to_the_next_and_its_value_is_not_put) {
    Queue<int> queue(1);
    queue.put_nowait(0);
    std::string log;
    TaskHandle<> first = loop().create_task(put_and_note(queue, log, 1));
    loop().create_task(put_and_note(queue, log, 2));
    run_idle();
    EXPECT_EQ(queue.get_nowait(), 0);
    first.cancel();
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_EQ(log, "+2");
    EXPECT_EQ(queue.get_nowait(), 2);
    EXPECT_TRUE(queue.empty());
}

TEST_P(Queues, a_value_for_a_getter_that_is_destroyed_is_not_lost) {
    Queue<int> queue;
    std::string log;
    auto group = std::make_unique<TaskGroup>();
    auto start = [&]() -> Task<> {
        group->create_task(get_and_note(queue, log, "a"));
        co_return;
    };
    run(start());
    run_idle();
    queue.put_nowait(5);
    group.reset();
    EXPECT_EQ(queue.get_nowait(), 5);
}

TEST_P(Queues, join_waits_until_every_value_was_dealt_with) {
    Queue<int> queue;
    EXPECT_THROW(queue.task_done(), std::logic_error);
    run(timeout(1h, queue.join()));
    queue.put_nowait(1);
    queue.put_nowait(2);
    TaskHandle<> joined = loop().create_task(timeout(1h, queue.join()));
    run_idle();
    queue.get_nowait();
    queue.task_done();
    run_idle();
    EXPECT_FALSE(joined.done());
    queue.get_nowait();
    queue.task_done();
    finish(joined);
    EXPECT_THROW(queue.task_done(), std::logic_error);
}

TEST_P(Queues, shutdown_refuses_values_and_lets_those_there_be_taken) {
    Queue<int> queue(1);
    queue.put_nowait(1);
    std::string log;
    loop().create_task(put_and_note(queue, log, 2));
    run_idle();
    queue.shutdown();
    EXPECT_THROW(queue.put_nowait(3), QueueShutDown);
    run_idle();
    EXPECT_EQ(log, "-2");
    loop().create_task(get_and_note(queue, log, "a"));
    loop().create_task(get_and_note(queue, log, "b"));
    run_idle();
    EXPECT_EQ(log, "-2a1b-");
    EXPECT_THROW(static_cast<void>(queue.get_nowait()), QueueShutDown);
    queue.shutdown();
}

TEST_P(Queues, shutdown_wakes_getters_and_those_already_called_still_get_their_value) {
    Queue<int> queue;
    std::string log;
    for (const char* name : {"a", "b", "c"}) {
        loop().create_task(get_and_note(queue, log, name));
    }
    run_idle();
    queue.put_nowait(1);
    queue.shutdown();
    run_idle();
    EXPECT_EQ(log, "a1b-c-");
}

TEST_P(Queues, shutdown_refuses_a_putter_that_was_called_and_has_not_run) {
    Queue<int> queue(1);
    queue.put_nowait(1);
    std::string log;
    loop().create_task(put_and_note(queue, log, 2));
    run_idle();
    queue.get_nowait();
    queue.shutdown();
    run_idle();
    EXPECT_EQ(log, "-2");
    EXPECT_EQ(queue.qsize(), 0U);
}

TEST_P(Queues, immediate_shutdown_drops_what_is_there_and_counts_it_as_done) {
    Queue<int> queue;
    std::string log;
    loop().create_task(get_and_note(queue, log, "a"));
    run_idle();
    queue.put_nowait(1);
    queue.put_nowait(2);
    TaskHandle<> joined = loop().create_task(timeout(1h, queue.join()));
    loop().call_soon([&] { queue.shutdown(true); });
    queue.put_nowait(3);
    queue.shutdown(true);
    run_idle();
    EXPECT_EQ(log, "a-");
    EXPECT_TRUE(joined.done());
    EXPECT_EQ(queue.qsize(), 0U);
}

TEST_P(Queues, a_bounded_queue_slows_the_producer_down) {
    Queue<std::string> queue(2);
    std::size_t most = 0;
    auto produce = [&]() -> Task<> {
        for (int i = 0; i < 100; ++i) {
            co_await queue.put("a value that is too long for the small string optimisation");
            most = std::max(most, queue.qsize());
        }
        queue.shutdown();
    };
    auto consume = [&]() -> Task<int> {
        int count = 0;
        for (;;) {
            try {
                const std::string value = co_await queue.get();
                count += value.empty() ? 0 : 1;
            } catch (const QueueShutDown&) {
                break;
            }
        }
        co_return count;
    };
    loop().create_task(produce());
    EXPECT_EQ(run(consume()), 100);
    EXPECT_LE(most, 2U);
}

TEST_P(Queues, waiting_with_a_timeout_takes_and_puts_nothing) {
    Queue<int> queue(1);
    EXPECT_THROW(run(timeout(1ms, queue.get())), TimeoutError);
    queue.put_nowait(1);
    EXPECT_THROW(run(timeout(1ms, queue.put(2))), TimeoutError);
    EXPECT_EQ(queue.get_nowait(), 1);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

}  // namespace
}  // namespace sluice::test
