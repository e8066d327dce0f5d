// Coroutines: what a call, a switch between tasks and a future cost. Each benchmark is a task that the loop runs, so the
// loop's own part is in the figure where the library needs an iteration.
#include <sluice/event_loop.hpp>

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

}  // namespace
