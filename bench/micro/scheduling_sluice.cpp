// Scheduling with Sluice: call_soon, call_later and cancel, call_soon_threadsafe. The same work stands in
// scheduling_asio.cpp and scheduling_libuv.cpp.
#include <sluice/event_loop.hpp>

#include "workload.hpp"

#include <atomic>
#include <thread>

#include <benchmark/benchmark.h>

namespace {

using namespace std::chrono_literals;

void call_soon_sluice(benchmark::State& state) {
    sluice::EventLoop loop;
    std::uint64_t ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            loop.call_soon([&ran] { ++ran; });
        }
        loop.run_once();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(ran));
}
BENCHMARK(call_soon_sluice);

// A time limit that is almost never reached: set, then cancelled. The argument is how many others wait meanwhile, half of
// them for less long.
void call_later_cancel_sluice(benchmark::State& state) {
    sluice::EventLoop loop;
    const auto delays = bench::far_delays(static_cast<std::size_t>(state.range(0)));
    for (const auto delay : delays) {
        loop.call_later(delay, [] {});
    }
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            sluice::TimerHandle timer = loop.call_later(500s, [] {});
            timer.cancel();
        }
        loop.run_once();
    }
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(bench::scheduled_at_once));
}
BENCHMARK(call_later_cancel_sluice)->Arg(0)->Arg(bench::a_million);

void set_and_cancel_a_million_sluice(benchmark::State& state) {
    sluice::EventLoop loop;
    const auto delays = bench::far_delays(bench::a_million);
    const auto order = bench::shuffled(delays.size());
    std::vector<sluice::TimerHandle> timers(delays.size());
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < delays.size(); ++i) {
            timers[i] = loop.call_later(delays[i], [] {});
        }
        for (const std::size_t i : order) {
            timers[i].cancel();
        }
        loop.run_once();
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_cancel_a_million_sluice)->Unit(benchmark::kMillisecond);

void set_and_expire_a_million_sluice(benchmark::State& state) {
    sluice::EventLoop loop;
    const auto delays = bench::near_delays(bench::a_million);
    while (state.KeepRunning()) {
        std::int64_t ran = 0;
        for (const auto delay : delays) {
            loop.call_later(delay, [&ran] { ++ran; });
        }
        while (ran < bench::a_million) {
            loop.run_once(1ms);
        }
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_expire_a_million_sluice)->Unit(benchmark::kMillisecond);

void call_soon_threadsafe_sluice(benchmark::State& state) {
    sluice::EventLoop loop;
    std::thread runner([&loop] { loop.run_forever(); });
    std::uint64_t asked = 0;
    std::atomic<std::uint64_t> ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            loop.call_soon_threadsafe([&ran] { ran.fetch_add(1, std::memory_order_release); });
        }
        asked += bench::scheduled_at_once;
        while (ran.load(std::memory_order_acquire) != asked) {
        }
    }
    loop.call_soon_threadsafe([&loop] { loop.stop(); });
    runner.join();
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(call_soon_threadsafe_sluice)->UseRealTime();

}  // namespace
