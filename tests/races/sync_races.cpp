// Queues, locks, semaphores, events, conditions: nothing that was handed to a task which was cancelled
// or destroyed before it ran may be lost.
#include "races/races.hpp"

#include <algorithm>

namespace sluice::test {

namespace {

constexpr int getter = 1;
constexpr int putter = 2;

class QueueRace {
public:
    explicit QueueRace(Race& race) : race_(race), queue_(static_cast<std::size_t>(race.below(3))) {}

    void play() {
        for (int count = race_.below(6); count >= 0; --count) {
            race_.chance(500) ? start_getter() : start_putter();
        }
        race_.run(10 + race_.below(20), [this] { event(); });
        check_nobody_waits_for_what_is_there();
        race_.finish();
        while (!queue_.empty()) {
            got_.push_back(queue_.get_nowait());
        }
        race_.check(got_ == put_, "a value was lost, doubled or overtaken");
        race_.check(!queue_.full(), "a place in the queue was lost");
    }

private:
    void start_getter() {
        race_.await(queue_.get(), [this](int value) { got_.push_back(value); }).mark = getter;
    }
    void start_putter() {
        const int value = next_++;
        race_.await(queue_.put(value), [this, value] { put_.push_back(value); }).mark = putter;
    }
    void event() {
        switch (race_.below(5)) {
            case 0:
                start_getter();
                break;
            case 1:
                start_putter();
                break;
            case 2:
                if (!queue_.full() && !shut_down_) {
                    put_.push_back(next_);
                    queue_.put_nowait(next_++);
                }
                break;
            case 3:
                if (!queue_.empty()) {
                    got_.push_back(queue_.get_nowait());
                }
                break;
            default:
                if (race_.chance(100)) {
                    shut_down_ = true;
                    queue_.shutdown();
                }
        }
    }
    void check_nobody_waits_for_what_is_there() {
        const int getters = race_.count_pending([](const Actor& a) { return a.mark == getter; });
        const int putters = race_.count_pending([](const Actor& a) { return a.mark == putter; });
        race_.check(queue_.empty() || getters == 0, "a value is there, and somebody waits for it");
        race_.check(queue_.full() || putters == 0, "there is room, and somebody waits for it");
        race_.check(!shut_down_ || getters + putters == 0, "somebody waits after shutdown()");
    }

    Race& race_;
    Queue<int> queue_;
    std::vector<int> put_;
    std::vector<int> got_;
    int next_ = 0;
    bool shut_down_ = false;
};

/// Acquires, holds for a while, gives back in one of several ways.
template <class Lockable>
Task<> hold(Race& race, Lockable& lockable, int& inside) {
    Task<Permit> acquiring = race.wrapped(lockable.acquire());
    Permit permit = co_await acquiring;
    race.check(static_cast<bool>(permit), "acquire() gave nothing");
    {
        const Alive here(inside);
        co_await sleep(race.moment());
    }
    if (race.chance(300)) {
        permit.release();
        co_await sleep(race.moment());
    }
}

// How many of those inside there may be is asked from outside, after each round.
template <class Lockable>
void race_holders(Race& race, Lockable& lockable, int& most) {
    int inside = 0;
    const auto start = [&] { race.start([&](Actor&) { return hold(race, lockable, inside); }); };
    for (int count = race.below(6); count >= 0; --count) {
        start();
    }
    race.run(10 + race.below(20), [&] {
        race.check(inside <= most, "more hold it than may");
        if (race.chance(700)) {
            start();
        } else if (const Permit permit = lockable.try_acquire()) {
            race.check(inside < most, "it was free although all of it was held");
        }
    });
    race.settle();
    race.check(!lockable.locked() || inside == most, "it is locked and nobody holds it");
    race.finish();
    race.check(!lockable.locked(), "it is locked for ever");
}

Task<> wait_for(Race& race, Actor& actor, Event& event, const int& sets) {
    actor.mark = sets;
    Task<> waiting = race.wrapped(event.wait());
    co_await waiting;
}

class ConditionRace {
public:
    explicit ConditionRace(Race& race) : race_(race) {}

    void play() {
        for (int round = 0; round < 6; ++round) {
            for (int count = race_.below(4); count > 0; --count) {
                race_.start([this](Actor&) { return wait(); });
            }
            race_.settle();
            notify(static_cast<std::size_t>(race_.below(4)));
        }
        race_.finish();
        race_.check(!condition_.locked(), "the lock of a condition is locked for ever");
    }

private:
    Task<> wait() {
        Acquire acquiring = condition_.acquire();
        Permit permit = co_await acquiring;
        {
            const Alive waiting(waiting_);
            Task<> changed = race_.wrapped(condition_.wait(permit));
            try {
                co_await changed;
                ++woken_;
            } catch (...) {
                race_.check(static_cast<bool>(permit), "wait() threw without the lock");
                throw;
            }
            race_.check(static_cast<bool>(permit), "wait() returned without the lock");
        }
        co_await sleep(Duration::zero());
    }

    // Everybody who waits stands in line now: nobody was called, and nobody has left.
    void notify(std::size_t count) {
        const int waited = waiting_;
        const int woken_before = woken_;
        {
            Permit permit = condition_.try_acquire();
            race_.check(static_cast<bool>(permit), "the lock of a condition is held by nobody");
            if (!permit) {
                return;
            }
            condition_.notify(count);
            disturb();
            if (race_.chance(500)) {
                race_.loop().run_once(Duration::zero());
                disturb();
            }
        }
        disturb();
        race_.loop().run_once(Duration::zero());
        disturb();
        race_.settle();
        const int woken = woken_ - woken_before;
        const int gone = waited - waiting_ - woken;
        race_.check(woken == std::min(static_cast<int>(count), waited - gone),
                    "a notification was lost or doubled");
    }
    void disturb() {
        if (race_.chance(400)) {
            race_.cancel_one();
        }
        if (race_.chance(200)) {
            race_.destroy_one();
        }
    }

    Race& race_;
    Condition condition_;
    int waiting_ = 0;
    int woken_ = 0;
};

}  // namespace

void race_queue(Race& race) {
    QueueRace(race).play();
}

void race_lock(Race& race) {
    Lock lock;
    int most = 1;
    race_holders(race, lock, most);
}

void race_semaphore(Race& race) {
    int most = 1 + race.below(3);
    BoundedSemaphore semaphore(static_cast<std::size_t>(most));
    race_holders(race, semaphore, most);
    race.check(semaphore.available() == static_cast<std::size_t>(most), "a permit was lost");
}

void race_event(Race& race) {
    Event event;
    int sets = 0;
    const auto start = [&] {
        race.start([&](Actor& actor) { return wait_for(race, actor, event, sets); });
    };
    race.run(10 + race.below(20), [&] {
        switch (race.below(4)) {
            case 0:
                ++sets;
                event.set();
                break;
            case 1:
                event.clear();
                break;
            default:
                start();
        }
    });
    race.check(race.count_pending([&](const Actor& actor) { return actor.mark != sets; }) == 0,
               "set() was lost on somebody");
    race.check(!event.is_set() || race.pending() == 0, "somebody waits for an event that is set");
    race.finish();
}

void race_condition(Race& race) {
    ConditionRace(race).play();
}

}  // namespace sluice::test
