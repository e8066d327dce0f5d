// Sleeps, futures, handles, gather, groups, wait, as_completed, jobs: no task outlives who answers for
// it, no exception is lost, no end is missed.
#include "races/races.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace sluice::test {

namespace {

using namespace std::chrono_literals;

constexpr int direct = 1;

Task<int> value_later(Race& race, int value) {
    co_await sleep(race.moment());
    co_await sleep(race.moment());
    co_return value;
}

/// Actors at something that is done once: `complete` completes it, shield() or nothing in between.
template <class Awaited, class F>
void race_one_shot(Race& race, Awaited awaited, int expected, F complete) {
    bool wrong = false;
    const auto note = [&wrong, expected](int value) { wrong = wrong || value != expected; };
    const auto start = [&] {
        if (race.chance(500)) {
            race.await(awaited, note).mark = direct;
        } else {
            race.await(shield(awaited), note);
        }
    };
    for (int count = race.below(6); count >= 0; --count) {
        start();
    }
    race.run(4 + race.below(8), [&] { race.chance(500) ? start() : complete(); });
    race.check(!wrong, "another result than the one that was set");
    race.check(!awaited.done() || race.pending() == 0, "it is done, and somebody waits");
    // Who awaits it directly cancels it, also by a time limit: only shields must not.
    if (race.count_pending([](const Actor& actor) { return actor.mark == direct; }) > 0) {
        race.check(!awaited.cancelled(), "it is cancelled, and somebody waits");
    }
    awaited.cancel();
    race.finish();
}

// ---- families: gather and groups ----

class FamilyRace {
public:
    explicit FamilyRace(Race& race) : race_(race) {}

    void play() {
        for (int count = race_.below(3); count >= 0; --count) {
            race_.start([this](Actor&) { return family(); });
        }
        race_.run(10 + race_.below(20), [this] {
            if (race_.chance(200)) {
                race_.start([this](Actor&) { return family(); });
            }
        });
        race_.finish();
        race_.check(children_ == 0, "a child is alive at the end");
        race_.check(thrown_ == told_ + race_.reports(),
                    std::to_string(thrown_) + " exceptions were thrown, " + std::to_string(told_) +
                        " told, " + std::to_string(race_.reports()) + " reported");
    }

private:
    Task<> child(int& siblings) {
        const Alive alive(children_);
        const Alive sibling(siblings);
        switch (race_.below(5)) {
            case 0:
                co_await sleep(race_.moment());
                ++thrown_;
                throw std::runtime_error("child");
            case 1:
                co_await sleep(1h);
                break;
            case 2: {
                bool cancelled = false;
                try {
                    co_await sleep(1h);
                } catch (const Cancelled&) {
                    cancelled = true;
                }
                co_await sleep(race_.moment());
                if (cancelled && race_.chance(500)) {
                    ++thrown_;
                    throw std::runtime_error("child, cleaning up");
                }
                break;
            }
            default:
                co_await sleep(race_.moment());
                co_await sleep(race_.moment());
        }
    }
    Task<> form(int& siblings) {
        const int count = race_.below(4);
        const auto start = [this, &siblings, count](TaskGroup& group) {
            for (int i = 0; i < count; ++i) {
                group.create_task(child(siblings));
            }
        };
        switch (race_.below(5)) {
            case 0:
                return task_group(start);
            case 1:
                return with_body(siblings, count);
            case 2:
                return object_form(siblings, count);
            case 3:
                return gathered(siblings, count);
            default:
                return settled(siblings, count);
        }
    }
    Task<> with_body(int& siblings, int count) {
        auto body = [this, &siblings, count](TaskGroup& group) -> Task<> {
            for (int i = 0; i < count; ++i) {
                group.create_task(child(siblings));
                co_await sleep(race_.moment());
            }
        };
        Task<> group = task_group(body);
        co_await group;
    }
    Task<> object_form(int& siblings, int count) {
        TaskGroup group;
        for (int i = 0; i < count; ++i) {
            group.create_task(child(siblings));
        }
        co_await sleep(race_.moment());
        Task<> waiting = race_.wrapped(group.wait());
        co_await waiting;
    }
    std::vector<Task<>> brood(int& siblings, int count) {
        std::vector<Task<>> tasks;
        for (int i = 0; i < count; ++i) {
            tasks.push_back(child(siblings));
        }
        return tasks;
    }
    Task<> gathered(int& siblings, int count) {
        Task<> all = gather(brood(siblings, count));
        co_await all;
    }
    Task<> settled(int& siblings, int count) {
        Task<std::vector<TaskResult<>>> all = gather(return_exceptions, brood(siblings, count));
        std::vector<TaskResult<>> results = co_await all;
        for (const TaskResult<>& result : results) {
            told_ += result || result.cancelled() ? 0 : 1;
        }
    }
    Task<> family() {
        int siblings = 0;
        Task<> limited = race_.wrapped(form(siblings));
        try {
            co_await limited;
        } catch (const ExceptionGroup& group) {
            told_ += static_cast<int>(group.exceptions().size());
            race_.check(siblings == 0, "a child outlives the end of its failed family");
            throw;
        } catch (const TimeoutError&) {
            // Nobody's error.
        } catch (const std::runtime_error&) {
            ++told_;
        } catch (const Cancelled&) {
            race_.check(siblings == 0, "a child outlives the end of its cancelled family");
            throw;
        }
        race_.check(siblings == 0, "a child outlives the end of its family");
    }

    Race& race_;
    int children_ = 0;
    int thrown_ = 0;
    int told_ = 0;
};

// ---- handles that several wait for ----

std::vector<TaskHandle<int>> start_tasks(Race& race, int count) {
    std::vector<TaskHandle<int>> tasks;
    for (int i = 0; i < count; ++i) {
        tasks.push_back(race.loop().create_task(value_later(race, i)));
    }
    return tasks;
}

class JobsRace {
public:
    explicit JobsRace(Race& race)
        : race_(race),
          running_(static_cast<std::size_t>(1 + race.below(3))),
          pending_(static_cast<std::size_t>(race.below(3))),
          jobs_({.running = running_, .pending = pending_}) {}

    void play() {
        race_.run(20 + race_.below(20), [this] { event(); });
        race_.settle();
        const bool room = jobs_.running() + jobs_.pending() < running_ + pending_;
        race_.check(!room || race_.count_pending([](const Actor& a) { return a.mark == 0; }) == 0,
                    "there is room for a job, and somebody waits for it");
        race_.check(jobs_.pending() == 0 || jobs_.running() == running_, "a job waits for nothing");
        Task<bool> closing = jobs_.close(race_.moment());
        const bool in_time = race_.loop().run_until_complete(std::move(closing));
        race_.check(jobs_.running() == 0 && jobs_.pending() == 0, "close() left jobs");
        race_.check(!in_time || closed_early_ || ended_ == begun_, "jobs were lost");
        race_.finish();
        race_.check(alive_ == 0 && begun_ == ended_ + cancelled_, "a job has no end");
    }

private:
    Task<> job() {
        const Alive alive(alive_);
        ++begun_;
        race_.check(static_cast<std::size_t>(alive_) <= running_ + pending_, "too many jobs");
        race_.check(jobs_.running() <= running_, "more jobs run than may");
        try {
            co_await sleep(race_.moment());
            co_await sleep(race_.moment());
        } catch (const Cancelled&) {
            ++cancelled_;
            throw;
        }
        ++ended_;
    }
    void event() {
        if (race_.chance(600)) {
            race_.start([this](Actor&) { return race_.wrapped(jobs_.spawn(job())); });
        } else if (race_.chance(700)) {
            race_.loop().call_soon([this] { jobs_.try_spawn(job()); });
        } else if (race_.chance(100)) {
            race_.start([this](Actor&) { return close(); }).mark = 1;
        }
    }
    Task<> close() {
        closed_early_ = true;
        Task<bool> closing = race_.wrapped(jobs_.close(race_.moment()));
        co_await closing;
    }

    Race& race_;
    std::size_t running_;
    std::size_t pending_;
    JobScheduler jobs_;
    int alive_ = 0;
    int begun_ = 0;
    int ended_ = 0;
    int cancelled_ = 0;
    bool closed_early_ = false;
};

}  // namespace

void race_sleep(Race& race) {
    int woken = 0;
    race.run(10 + race.below(20), [&] { race.await(sleep(race.moment()), [&woken] { ++woken; }); });
    race.finish();
}

void race_future(Race& race) {
    const Future<int> future = race.loop().create_future<int>();
    race_one_shot(race, future, 7, [&] {
        race.chance(800) ? static_cast<void>(future.try_set_result(7))
                         : static_cast<void>(future.cancel());
    });
}

void race_task_handle(Race& race) {
    TaskHandle<int> task = race.loop().create_task(value_later(race, 8));
    race_one_shot(race, task, 8, [&] {
        if (race.chance(100)) {
            task.cancel();
        }
    });
}

void race_families(Race& race) {
    FamilyRace(race).play();
}

void race_wait(Race& race) {
    std::vector<TaskHandle<int>> tasks = start_tasks(race, 1 + race.below(4));
    const auto start = [&] {
        const auto when = static_cast<ReturnWhen>(race.below(3));
        const Duration limit = race.chance(500) ? Duration::max() : race.moment();
        race.await(wait(tasks, when, limit), [&, when, limit](const WaitResult<int>& result) {
            race.check(result.done.size() + result.pending.size() == tasks.size(),
                       "wait() lost a handle");
            race.check(limit != Duration::max() ||
                           (when == ReturnWhen::first_completed ? !result.done.empty()
                                                                : result.pending.empty()),
                       "wait() returned too early");
        });
    };
    race.run(10, [&] {
        if (race.chance(600)) {
            start();
        } else {
            tasks[static_cast<std::size_t>(race.below(static_cast<int>(tasks.size())))].cancel();
        }
    });
    const bool all = std::ranges::all_of(tasks, &TaskHandle<int>::done);
    race.check(!all || race.pending() == 0, "all are done, and somebody waits");
    for (TaskHandle<int>& task : tasks) {
        task.cancel();
    }
    race.finish();
}

void race_as_completed(Race& race) {
    std::vector<TaskHandle<int>> tasks = start_tasks(race, 1 + race.below(5));
    AsCompleted<int> results(tasks);
    std::multiset<const void*> given;
    const auto start = [&] {
        race.await(results.next(), [&](const TaskHandle<int>& task) {
            race.check(task.done(), "a task was handed out that has not ended");
            given.insert(task.promise());
        });
    };
    race.run(12, [&] {
        if (race.chance(800)) {
            start();
        } else {
            tasks[static_cast<std::size_t>(race.below(static_cast<int>(tasks.size())))].cancel();
        }
    });
    const auto ended =
        static_cast<std::size_t>(std::ranges::count_if(tasks, &TaskHandle<int>::done));
    race.check(ended <= given.size() || race.pending() == 0,
               "a task has ended, and somebody waits for it");
    for (TaskHandle<int>& task : tasks) {
        task.cancel();
    }
    race.settle();
    while (!results.empty() && race.problem().empty()) {
        start();
        race.catch_up();
        race.settle();
        race.check(race.pending() == 0, "the end of a task was lost");
    }
    race.finish();
    race.check(given.size() == tasks.size() &&
                   std::set<const void*>(given.begin(), given.end()).size() == tasks.size(),
               "a task was handed out twice, or never");
}

void race_jobs(Race& race) {
    JobsRace(race).play();
}

}  // namespace sluice::test
