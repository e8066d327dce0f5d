// Coroutines: what a call, a switch between tasks and a future cost. Each benchmark is a task that the loop runs, so the
// loop's own part is in the figure where the library needs an iteration.
#include <sluice/event_loop.hpp>
#include <sluice/queue.hpp>
#include <sluice/sync.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

using namespace std::chrono_literals;

sluice::Task<int> answer() {
    co_return 42;
}

sluice::Task<> await_calls(benchmark::State& state) {
    while (state.KeepRunning()) {
        const sluice::Task<int> call = answer();
        const int result = co_await call;
        benchmark::DoNotOptimize(result);
    }
}

// Creating, running and destroying a coroutine that does not wait.
void task_call(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(await_calls(state));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(task_call);

sluice::Task<> yield_until(const bool& done) {
    while (!done) {
        co_await sluice::sleep(0ns);
    }
}

sluice::Task<> yield_measured(benchmark::State& state, bool& done) {
    while (state.KeepRunning()) {
        co_await sluice::sleep(0ns);
    }
    done = true;
}

// `state.range(0)` tasks take turns; one turn of all of them is one iteration of the loop, its system call included.
void task_switch(benchmark::State& state) {
    sluice::EventLoop loop;
    bool done = false;
    for (std::int64_t i = 1; i < state.range(0); ++i) {
        loop.create_task(yield_until(done));
    }
    loop.run_until_complete(yield_measured(state, done));
    loop.run_once();
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(task_switch)->Arg(1)->Arg(1000);

sluice::Task<> await_futures(sluice::EventLoop& loop, benchmark::State& state) {
    while (state.KeepRunning()) {
        const sluice::Future<int> future = loop.create_future<int>();
        loop.call_soon([future] { future.set_result(1); });
        const int result = co_await future;
        benchmark::DoNotOptimize(result);
    }
}

// A callback completes what a task awaits: the bridge between the two styles, two iterations each.
void future_round_trip(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(await_futures(loop, state));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(future_round_trip);

sluice::Task<> nothing() {
    co_return;
}

sluice::Task<> wait_for(sluice::Event& event) {
    co_await event.wait();
}

// Starting a task and forgetting it: `state.range(0)` of them for one iteration of the loop.
void task_spawn(benchmark::State& state) {
    sluice::EventLoop loop;
    while (state.KeepRunning()) {
        for (std::int64_t i = 0; i < state.range(0); ++i) {
            loop.create_task(nothing());
        }
        loop.run_once(0ns);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(task_spawn)->Arg(1)->Arg(1000);

sluice::Task<> spawn_and_await(sluice::EventLoop& loop, benchmark::State& state) {
    while (state.KeepRunning()) {
        sluice::TaskHandle<int> task = loop.create_task(answer());
        const int result = co_await task;
        benchmark::DoNotOptimize(result);
    }
}

// Starting a task and awaiting its handle: two iterations of the loop.
void task_spawn_await(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(spawn_and_await(loop, state));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(task_spawn_await);

// Starting tasks that wait, cancelling them, and their ends: each throws and catches one exception.
void task_spawn_cancel(benchmark::State& state) {
    sluice::EventLoop loop;
    sluice::Event event;
    std::vector<sluice::TaskHandle<>> tasks(static_cast<std::size_t>(state.range(0)));
    while (state.KeepRunning()) {
        for (sluice::TaskHandle<>& task : tasks) {
            task = loop.create_task(wait_for(event));
        }
        loop.run_once(0ns);
        for (sluice::TaskHandle<>& task : tasks) {
            task.cancel();
        }
        loop.run_once(0ns);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(task_spawn_cancel)->Arg(1)->Arg(1000);

sluice::Task<> await_timeouts(benchmark::State& state) {
    while (state.KeepRunning()) {
        sluice::Task<int> limited = sluice::timeout(1h, answer());
        const int result = co_await limited;
        benchmark::DoNotOptimize(result);
    }
}

// A time limit around what ends at once: what it costs to set and to take back.
void task_timeout(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(await_timeouts(state));
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(task_timeout);

sluice::Task<> groups_of(std::int64_t size, benchmark::State& state) {
    while (state.KeepRunning()) {
        sluice::TaskGroup group;
        for (std::int64_t i = 0; i < size; ++i) {
            group.create_task(nothing());
        }
        sluice::Task<> ended = group.wait();
        co_await ended;
    }
}

// A group of `state.range(0)` tasks, started and waited for.
void task_group(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(groups_of(state.range(0), state));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(task_group)->Arg(1)->Arg(100);

sluice::Task<> pass_values(sluice::Queue<int>& queue, benchmark::State& state) {
    while (state.KeepRunning()) {
        co_await queue.put(1);
    }
    queue.shutdown();
}

sluice::Task<> take_values(sluice::Queue<int>& queue) {
    for (;;) {
        int value = 0;
        try {
            value = co_await queue.get();
        } catch (const sluice::QueueShutDown&) {
            break;
        }
        benchmark::DoNotOptimize(value);
    }
}

// A value through a queue of `state.range(0)` places, from task to task.
void queue_pass(benchmark::State& state) {
    sluice::EventLoop loop;
    sluice::Queue<int> queue(static_cast<std::size_t>(state.range(0)));
    const sluice::TaskHandle<> taking = loop.create_task(take_values(queue));
    loop.run_until_complete(pass_values(queue, state));
    loop.run_until_complete(taking);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(queue_pass)->Arg(1)->Arg(100);

}  // namespace
