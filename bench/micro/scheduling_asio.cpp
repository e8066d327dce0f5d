// Scheduling with standalone Asio, the same work as in scheduling_sluice.cpp: post, steady_timer, and post from another
// thread. Where one thread does everything the context is told so, which turns its locks off.
#include "workload.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include <asio.hpp>
#include <benchmark/benchmark.h>

namespace {

using namespace std::chrono_literals;

constexpr int without_locks = ASIO_CONCURRENCY_HINT_UNSAFE;

void run_what_is_ready(asio::io_context& context) {
    context.restart();
    context.poll();
}

void call_soon_asio(benchmark::State& state) {
    asio::io_context context(without_locks);
    std::uint64_t ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            asio::post(context, [&ran] { ++ran; });
        }
        run_what_is_ready(context);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(ran));
}
BENCHMARK(call_soon_asio);

std::vector<std::unique_ptr<asio::steady_timer>> make_timers(asio::io_context& context,
                                                             std::size_t count) {
    std::vector<std::unique_ptr<asio::steady_timer>> timers(count);
    for (auto& timer : timers) {
        timer = std::make_unique<asio::steady_timer>(context);
    }
    return timers;
}

// One timer object is used again and again, as a connection would; a cancelled wait still runs its handler.
void call_later_cancel_asio(benchmark::State& state) {
    asio::io_context context(without_locks);
    const auto delays = bench::far_delays(static_cast<std::size_t>(state.range(0)));
    const auto pending = make_timers(context, delays.size());
    for (std::size_t i = 0; i < delays.size(); ++i) {
        pending[i]->expires_after(delays[i]);
        pending[i]->async_wait([](std::error_code) {});
    }
    asio::steady_timer timer(context);
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            timer.expires_after(500s);
            timer.async_wait([](std::error_code) {});
            timer.cancel();
        }
        run_what_is_ready(context);
    }
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(bench::scheduled_at_once));
}
BENCHMARK(call_later_cancel_asio)->Arg(0)->Arg(bench::a_million);

void set_and_cancel_a_million_asio(benchmark::State& state) {
    asio::io_context context(without_locks);
    const auto delays = bench::far_delays(bench::a_million);
    const auto order = bench::shuffled(delays.size());
    const auto timers = make_timers(context, delays.size());
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < delays.size(); ++i) {
            timers[i]->expires_after(delays[i]);
            timers[i]->async_wait([](std::error_code) {});
        }
        for (const std::size_t i : order) {
            timers[i]->cancel();
        }
        run_what_is_ready(context);
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_cancel_a_million_asio)->Unit(benchmark::kMillisecond);

void set_and_expire_a_million_asio(benchmark::State& state) {
    asio::io_context context(without_locks);
    const auto delays = bench::near_delays(bench::a_million);
    const auto timers = make_timers(context, delays.size());
    while (state.KeepRunning()) {
        std::int64_t ran = 0;
        for (std::size_t i = 0; i < delays.size(); ++i) {
            timers[i]->expires_after(delays[i]);
            timers[i]->async_wait([&ran](std::error_code) { ++ran; });
        }
        while (ran < bench::a_million) {
            context.restart();
            context.run_for(1ms);
        }
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_expire_a_million_asio)->Unit(benchmark::kMillisecond);

void call_soon_threadsafe_asio(benchmark::State& state) {
    asio::io_context context(1);
    const auto guard = asio::make_work_guard(context);
    std::thread runner([&context] { context.run(); });
    std::uint64_t asked = 0;
    std::atomic<std::uint64_t> ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            asio::post(context, [&ran] { ran.fetch_add(1, std::memory_order_release); });
        }
        asked += bench::scheduled_at_once;
        while (ran.load(std::memory_order_acquire) != asked) {
        }
    }
    context.stop();
    runner.join();
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(call_soon_threadsafe_asio)->UseRealTime();

}  // namespace
