// Event, Lock, Semaphore, Condition: order, cancellation at every moment, misuse, as asyncio's.
#include <sluice/sync.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include "support/loop_fixture.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Sync : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Sync, testing::ValuesIn(backends()), backend_case_name);

// ---- Event ----

Task<> wait_and_note(Event& event, std::string& log, std::string name) {
    co_await event.wait();
    log += name;
}

TEST_P(Sync, an_event_wakes_everybody_in_order_also_if_it_is_cleared_at_once) {
    Event event;
    std::string log;
    for (const char* name : {"a", "b", "c"}) {
        loop().create_task(wait_and_note(event, log, name));
    }
    run_idle();
    EXPECT_EQ(log, "");
    event.set();
    event.clear();
    EXPECT_FALSE(event.is_set());
    EXPECT_EQ(log, "") << "a task was resumed inside set()";
    run_idle();
    EXPECT_EQ(log, "abc");
}

TEST_P(Sync, an_event_that_is_set_does_not_suspend) {
    Event event;
    event.set();
    event.set();
    std::string log;
    TaskHandle<> task = loop().create_task(wait_and_note(event, log, "a"));
    loop().run_once();
    EXPECT_TRUE(task.done());
}

TEST_P(Sync, a_cancelled_waiter_of_an_event_is_gone_and_the_others_stay) {
    Event event;
    std::string log;
    TaskHandle<> first = loop().create_task(wait_and_note(event, log, "a"));
    loop().create_task(wait_and_note(event, log, "b"));
    run_idle();
    first.cancel();
    run_idle();
    EXPECT_TRUE(first.cancelled());
    event.set();
    run_idle();
    EXPECT_EQ(log, "b");
}

TEST_P(Sync, cancelling_after_set_and_before_the_task_runs_is_cancelled) {
    Event event;
    std::string log;
    TaskHandle<> task = loop().create_task(wait_and_note(event, log, "a"));
    run_idle();
    event.set();
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.cancelled());
}

TEST_P(Sync, primitives_may_go_before_those_who_wait_for_them) {
    std::string log;
    TaskHandle<> event_waiter;
    TaskHandle<Permit> lock_waiter;
    TaskHandle<Permit> called;
    {
        Event event;
        Lock lock;
        Permit held = lock.try_acquire();
        event_waiter = loop().create_task(wait_and_note(event, log, "a"));
        lock_waiter = loop().create_task(timeout(1h, lock.acquire()));
        run_idle();
        held.release();
    }
    event_waiter.cancel();
    lock_waiter.cancel();
    run_idle();
    EXPECT_TRUE(event_waiter.cancelled());
    EXPECT_TRUE(lock_waiter.cancelled());
}

// ---- Lock ----

Task<> locked_section(Lock& lock, std::string& log, std::string name) {
    const Permit permit = co_await lock.acquire();
    log += "<" + name;
    co_await sleep(0ns);
    log += name + ">";
}

TEST_P(Sync, a_lock_is_held_by_one_and_handed_over_in_order) {
    Lock lock;
    std::string log;
    for (const char* name : {"a", "b", "c"}) {
        loop().create_task(locked_section(lock, log, name));
    }
    run_idle();
    EXPECT_EQ(log, "<aa><bb><cc>");
    EXPECT_FALSE(lock.locked());
}

TEST_P(Sync, nobody_overtakes_who_was_handed_the_lock) {
    Lock lock;
    std::string log;
    Permit held = lock.try_acquire();
    loop().create_task(locked_section(lock, log, "first"));
    run_idle();
    held.release();
    EXPECT_TRUE(lock.locked()) << "it is the next one's already";
    EXPECT_FALSE(lock.try_acquire());
    loop().create_task(locked_section(lock, log, "second"));
    run_idle();
    EXPECT_EQ(log, "<firstfirst><secondsecond>");
}

TEST_P(Sync, a_lock_handed_to_a_task_that_is_cancelled_before_it_runs_goes_to_the_next) {
    Lock lock;
    std::string log;
    Permit held = lock.try_acquire();
    TaskHandle<> first = loop().create_task(locked_section(lock, log, "first"));
    loop().create_task(locked_section(lock, log, "second"));
    run_idle();
    held.release();
    first.cancel();
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_EQ(log, "<secondsecond>");
    EXPECT_FALSE(lock.locked());
}

TEST_P(Sync, a_lock_handed_to_a_task_that_is_destroyed_before_it_runs_goes_to_the_next) {
    Lock lock;
    std::string log;
    Permit held = lock.try_acquire();
    auto group = std::make_unique<TaskGroup>();
    auto start = [&]() -> Task<> {
        group->create_task(locked_section(lock, log, "first"));
        co_return;
    };
    run(start());
    run_idle();
    loop().create_task(locked_section(lock, log, "second"));
    run_idle();
    held.release();
    group.reset();
    run_idle();
    EXPECT_EQ(log, "<secondsecond>");
}

TEST_P(Sync, a_permit_moves_releases_early_and_can_be_detached) {
    Lock lock;
    Permit one = lock.try_acquire();
    Permit two = std::move(one);
    EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): that is the question.
    EXPECT_TRUE(two);
    two = Permit();
    EXPECT_FALSE(lock.locked());
    two = lock.try_acquire();
    two.detach();
    EXPECT_FALSE(two);
    EXPECT_TRUE(lock.locked());
    lock.release();
    EXPECT_EQ(message_of<std::logic_error>([&] { lock.release(); }), "Lock is not acquired.");
}

TEST_P(Sync, waiting_for_a_lock_with_a_timeout) {
    Lock lock;
    const Permit held = lock.try_acquire();
    auto body = [&]() -> Task<> {
        Task<Permit> locked = timeout(1ms, lock.acquire());
        const Permit permit = co_await locked;
    };
    EXPECT_THROW(run(body()), TimeoutError);
    EXPECT_TRUE(lock.locked());
}

// ---- Semaphore ----

TEST_P(Sync, a_semaphore_lets_so_many_in_at_a_time) {
    Semaphore semaphore(3);
    int inside = 0;
    int most = 0;
    auto work = [&]() -> Task<> {
        const Permit permit = co_await semaphore.acquire();
        most = std::max(most, ++inside);
        co_await sleep(0ns);
        co_await sleep(0ns);
        --inside;
    };
    for (int i = 0; i < 10; ++i) {
        loop().create_task(work());
    }
    run_idle();
    EXPECT_EQ(most, 3);
    EXPECT_EQ(semaphore.available(), 3U);
}

TEST_P(Sync, a_semaphore_is_locked_at_zero_and_release_adds_permits) {
    Semaphore semaphore(0);
    EXPECT_TRUE(semaphore.locked());
    TaskHandle<Permit> waiting = loop().create_task(timeout(1h, semaphore.acquire()));
    run_idle();
    semaphore.release();
    EXPECT_EQ(semaphore.available(), 0U);
    semaphore.release();
    EXPECT_EQ(semaphore.available(), 1U);
    run_idle();
    EXPECT_TRUE(waiting.done());
    waiting = TaskHandle<Permit>();
    EXPECT_EQ(semaphore.available(), 2U);
}

TEST_P(Sync, a_permit_for_a_cancelled_task_is_not_lost) {
    Semaphore semaphore(0);
    std::string log;
    auto work = [&](std::string name) -> Task<> {
        const Permit permit = co_await semaphore.acquire();
        log += name;
    };
    TaskHandle<> first = loop().create_task(work("a"));
    loop().create_task(work("b"));
    run_idle();
    semaphore.release();
    first.cancel();
    run_idle();
    EXPECT_EQ(log, "b");
    EXPECT_EQ(semaphore.available(), 1U);
}

TEST_P(Sync, a_bounded_semaphore_refuses_permits_it_never_had) {
    BoundedSemaphore semaphore(2);
    EXPECT_THROW(semaphore.release(), std::logic_error);
    Permit permit = semaphore.try_acquire();
    permit.detach();
    semaphore.release();
    EXPECT_THROW(semaphore.release(), std::logic_error);
}

// ---- Condition ----

TEST_P(Sync, a_condition_wakes_so_many_as_it_is_told_and_all) {
    Condition condition;
    std::string log;
    auto waiting = [&](std::string name) -> Task<> {
        Permit permit = co_await condition.acquire();
        co_await condition.wait(permit);
        log += name;
        EXPECT_TRUE(condition.locked());
    };
    for (const char* name : {"a", "b", "c", "d"}) {
        loop().create_task(waiting(name));
    }
    run_idle();
    EXPECT_FALSE(condition.locked());
    auto notify = [&](std::size_t count) -> Task<> {
        const Permit permit = co_await condition.acquire();
        if (count == 0) {
            condition.notify_all();
        } else {
            condition.notify(count);
        }
    };
    run(notify(1));
    run_idle();
    EXPECT_EQ(log, "a");
    run(notify(2));
    run_idle();
    EXPECT_EQ(log, "abc");
    run(notify(0));
    run_idle();
    EXPECT_EQ(log, "abcd");
    EXPECT_FALSE(condition.locked());
}

TEST_P(Sync, a_condition_waits_for_a_predicate) {
    Lock lock;
    Condition condition(lock);
    int value = 0;
    auto waiting = [&]() -> Task<int> {
        Permit permit = co_await condition.acquire();
        auto ready = [&value] { return value >= 3; };
        co_await condition.wait_for(permit, ready);
        co_return value;
    };
    TaskHandle<int> task = loop().create_task(waiting());
    for (int i = 0; i < 3; ++i) {
        run_idle();
        EXPECT_FALSE(task.done());
        const Permit permit = lock.try_acquire();
        ++value;
        condition.notify();
    }
    EXPECT_EQ(finish(task), 3);
}

TEST_P(Sync, a_cancelled_wait_of_a_condition_takes_the_lock_before_it_throws) {
    Condition condition;
    bool held_when_thrown = false;
    auto waiting = [&]() -> Task<> {
        Permit permit = co_await condition.acquire();
        try {
            co_await condition.wait(permit);
        } catch (const Cancelled&) {
            held_when_thrown = static_cast<bool>(permit);
            throw;
        }
    };
    TaskHandle<> task = loop().create_task(waiting());
    run_idle();
    auto hold = [&]() -> Task<> {
        const Permit permit = co_await condition.acquire();
        task.cancel();
        co_await sleep(0ns);
        task.cancel();
        co_await sleep(0ns);
        EXPECT_FALSE(task.done()) << "it does not have the lock yet";
    };
    run(hold());
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(held_when_thrown);
    EXPECT_FALSE(condition.locked());
}

TEST_P(Sync, a_notification_for_a_task_that_is_cancelled_goes_to_another) {
    Condition condition;
    std::string log;
    auto waiting = [&](std::string name) -> Task<> {
        Permit permit = co_await condition.acquire();
        co_await condition.wait(permit);
        log += name;
    };
    TaskHandle<> first = loop().create_task(waiting("a"));
    loop().create_task(waiting("b"));
    run_idle();
    auto notify = [&]() -> Task<> {
        const Permit permit = co_await condition.acquire();
        condition.notify();
        first.cancel();
    };
    run(notify());
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_EQ(log, "b");
}

TEST_P(Sync, a_notification_for_a_task_that_is_destroyed_goes_to_another) {
    // Destroyed before it has run, and while it waits for the lock.
    for (const bool lock_is_held : {false, true}) {
        Condition condition;
        std::string log;
        auto waiting = [&](std::string name) -> Task<> {
            Permit permit = co_await condition.acquire();
            co_await condition.wait(permit);
            log += name;
        };
        auto group = std::make_unique<TaskGroup>();
        auto start = [&]() -> Task<> {
            group->create_task(waiting("a"));
            co_return;
        };
        run(start());
        run_idle();
        loop().create_task(waiting("b"));
        run_idle();
        Permit permit = condition.try_acquire();
        condition.notify();
        if (lock_is_held) {
            run_idle();
        }
        group.reset();
        permit.release();
        run_idle();
        EXPECT_EQ(log, "b") << lock_is_held;
        EXPECT_FALSE(condition.locked());
    }
}

TEST_P(Sync, misuse_of_a_condition_is_a_logic_error) {
    Condition condition;
    Lock other;
    EXPECT_THROW(condition.notify(), std::logic_error);
    EXPECT_THROW(condition.notify_all(), std::logic_error);
    Permit nothing;
    EXPECT_THROW(run(condition.wait(nothing)), std::logic_error);
    Permit wrong = other.try_acquire();
    EXPECT_THROW(run(condition.wait(wrong)), std::logic_error);
    EXPECT_TRUE(wrong);
}

TEST_P(Sync, closing_the_loop_destroys_waiting_and_called_tasks) {
    auto lock = std::make_unique<Lock>();
    std::string log;
    Permit held = lock->try_acquire();
    for (const char* name : {"a", "b", "c"}) {
        loop().create_task(locked_section(*lock, log, name));
    }
    run_idle();
    held.release();
    loop().close();
    EXPECT_EQ(log, "");
    EXPECT_FALSE(lock->locked());
}

}  // namespace
}  // namespace sluice::test
