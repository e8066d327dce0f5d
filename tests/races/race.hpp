// Race: one seed of cancellation against completion. Tasks, called actors, await something; a schedule
// drawn from the seed completes, cancels and destroys in every order, between iterations of the loop
// and inside of them, on the simulated kernel and its clock.
//
// It knows what holds for whatever is awaited: one end for each actor, a cancellation that was accepted
// is thrown, nothing is alive and no timer is left at the end. What holds for one thing alone (no value
// lost, one holder at a time) is the business of the functions in races.hpp.
#pragma once

#include <sluice/sluice.hpp>

#include "support/sys_sim.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace sluice::test {

class Race;

/// A task that the schedule may cancel or destroy.
struct Actor {
    enum class Ending : std::uint8_t { none, result, cancelled, timed_out, refused };

    /// Tells that it has ended; to be called once.
    void end(Ending how) noexcept {
        ending = how;
        ++endings;
    }
    /// It runs, or may.
    [[nodiscard]] bool pending() const noexcept { return owner != nullptr && !handle.done(); }

    std::unique_ptr<TaskGroup> owner = std::make_unique<TaskGroup>();
    TaskHandle<> handle;
    Ending ending = Ending::none;
    int endings = 0;
    int frames = 0;
    bool cancel_accepted = false;
    /// For the function that started it.
    int mark = 0;
};

/// Counts a coroutine, or what stands in one, as long as it lives.
class Alive {
public:
    explicit Alive(int& count) noexcept : count_(&count) { ++count; }
    Alive(const Alive&) = delete;
    Alive& operator=(const Alive&) = delete;
    ~Alive() { --*count_; }

private:
    int* count_;
};

class Race {
public:
    explicit Race(std::uint64_t seed);
    Race(const Race&) = delete;
    Race& operator=(const Race&) = delete;
    ~Race();

    [[nodiscard]] SimKernel& kernel() noexcept { return kernel_; }
    [[nodiscard]] EventLoop& loop() noexcept { return *loop_; }
    /// How many reports the exception handler has got.
    [[nodiscard]] int reports() const noexcept { return reports_; }

    int below(int end) noexcept {
        return static_cast<int>(random_.below(static_cast<std::uint64_t>(end)));
    }
    bool chance(unsigned per_mille) noexcept { return random_.chance(per_mille); }
    /// Up to two milliseconds, often nothing.
    Duration moment() noexcept { return std::chrono::milliseconds(chance(500) ? 0 : below(3)); }

    /// `awaitable`, alone or inside of time limits.
    template <class A>
    Task<detail::AwaitResult<A>> wrapped(A awaitable) {
        using namespace std::chrono_literals;
        switch (below(4)) {
            case 0:
                return timeout(moment(), std::move(awaitable));
            case 1:
                return timeout(1h, std::move(awaitable));
            case 2:
                return timeout(moment(), timeout(moment(), std::move(awaitable)));
            default:
                return detail::as_task(std::move(awaitable));
        }
    }
    /// Starts an actor, from the loop, that runs `body(actor)`, a coroutine function kept until the
    /// end of the race, and notes how that ends.
    Actor& start(std::function<Task<>(Actor&)> body);
    /// Starts one that awaits `awaitable` and hands the result to `on_result`.
    template <class A, class F>
    Actor& await(A awaitable, F on_result) {
        auto shared = std::make_shared<A>(std::move(awaitable));
        return start([this, shared, on_result](Actor&) {
            return pass_on(wrapped(std::move(*shared)), on_result);
        });
    }

    /// Does `action` now, in one of the next iterations, or in a task.
    void soon(std::function<void()> action);
    /// So many rounds: perhaps `event`, perhaps a cancellation, perhaps a destruction, an iteration.
    void run(int rounds, const std::function<void()>& event);
    /// Cancels or destroys one of the actors, now.
    void cancel_one() noexcept;
    void destroy_one() noexcept;
    /// Runs what is ready, without letting time pass.
    void settle();
    /// Lets time pass, too, until what soon() has put off is done.
    void catch_up();
    /// Those that have not ended and for which `which` holds.
    template <class F>
    [[nodiscard]] int count_pending(F&& which) const {
        int count = 0;
        for (const Actor& actor : actors_) {
            count += actor.pending() && which(actor) ? 1 : 0;
        }
        return count;
    }
    [[nodiscard]] int pending() const {
        return count_pending([](const Actor&) { return true; });
    }
    /// Cancels what is left, and checks what must hold at every end.
    void finish();

    /// The first time that `holds` is false, `what` becomes the problem.
    void check(bool holds, const std::string& what);
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

private:
    template <class T, class F>
    static Task<> pass_on(Task<T> task, F on_result) {
        if constexpr (std::is_void_v<T>) {
            co_await task;
            on_result();
        } else {
            T result = co_await task;
            on_result(std::move(result));
        }
    }
    Task<> act(Actor& actor, std::size_t body);
    Actor* one_of_them() noexcept;
    void check(const Actor& actor);

    SimRandom random_;
    SimKernel kernel_;
    std::unique_ptr<EventLoop> loop_;
    std::deque<Actor> actors_;
    std::deque<std::function<Task<>(Actor&)>> bodies_;
    std::string problem_;
    int reports_ = 0;
    int put_off_ = 0;
};

}  // namespace sluice::test
