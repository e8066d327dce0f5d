// Scheduling with libuv, the same work as in scheduling_sluice.cpp.
//
// libuv has no closures. What its users write instead: for "soon" a queue of functions that an idle handle runs, for other
// threads the same behind a mutex with uv_async_send, which collapses wake-ups; both as Node does it. Timers are handles
// in the user's memory, so setting one never allocates.
#include "workload.hpp"

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include <benchmark/benchmark.h>
#include <uv.h>

namespace {

/// A loop that can be destroyed: closes what is left and lets the closing callbacks run.
class Loop {
public:
    Loop() { uv_loop_init(&loop_); }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() {
        uv_walk(
            &loop_,
            [](uv_handle_t* handle, void*) {
                if (uv_is_closing(handle) == 0) {
                    uv_close(handle, nullptr);
                }
            },
            nullptr);
        uv_run(&loop_, UV_RUN_DEFAULT);
        uv_loop_close(&loop_);
    }
    uv_loop_t* get() { return &loop_; }

private:
    uv_loop_t loop_;
};

struct Soon {
    uv_idle_t idle;
    std::vector<std::function<void()>> queued;
    std::vector<std::function<void()>> running;

    void call(std::function<void()> function) {
        if (queued.empty()) {
            uv_idle_start(&idle,
                          [](uv_idle_t* handle) { static_cast<Soon*>(handle->data)->run(); });
        }
        queued.push_back(std::move(function));
    }
    void run() {
        running.swap(queued);
        uv_idle_stop(&idle);
        for (const auto& function : running) {
            function();
        }
        running.clear();
    }
};

void call_soon_libuv(benchmark::State& state) {
    Soon soon;
    Loop loop;
    uv_idle_init(loop.get(), &soon.idle);
    soon.idle.data = &soon;
    std::uint64_t ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            soon.call([&ran] { ++ran; });
        }
        uv_run(loop.get(), UV_RUN_NOWAIT);
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(ran));
}
BENCHMARK(call_soon_libuv);

void do_nothing(uv_timer_t*) {}

std::uint64_t count_of(std::chrono::milliseconds delay) {
    return static_cast<std::uint64_t>(delay.count());
}

void call_later_cancel_libuv(benchmark::State& state) {
    const auto delays = bench::far_delays(static_cast<std::size_t>(state.range(0)));
    std::vector<uv_timer_t> pending(delays.size());
    uv_timer_t timer;
    Loop loop;
    for (std::size_t i = 0; i < delays.size(); ++i) {
        uv_timer_init(loop.get(), &pending[i]);
        uv_timer_start(&pending[i], do_nothing, count_of(delays[i]), 0);
    }
    uv_timer_init(loop.get(), &timer);
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            uv_timer_start(&timer, do_nothing, 500'000, 0);
            uv_timer_stop(&timer);
        }
        uv_run(loop.get(), UV_RUN_NOWAIT);
    }
    state.SetItemsProcessed(state.iterations() *
                            static_cast<std::int64_t>(bench::scheduled_at_once));
}
BENCHMARK(call_later_cancel_libuv)->Arg(0)->Arg(bench::a_million);

void set_and_cancel_a_million_libuv(benchmark::State& state) {
    const auto delays = bench::far_delays(bench::a_million);
    const auto order = bench::shuffled(delays.size());
    std::vector<uv_timer_t> timers(delays.size());
    Loop loop;
    for (uv_timer_t& timer : timers) {
        uv_timer_init(loop.get(), &timer);
    }
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < delays.size(); ++i) {
            uv_timer_start(&timers[i], do_nothing, count_of(delays[i]), 0);
        }
        for (const std::size_t i : order) {
            uv_timer_stop(&timers[i]);
        }
        uv_run(loop.get(), UV_RUN_NOWAIT);
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_cancel_a_million_libuv)->Unit(benchmark::kMillisecond);

void set_and_expire_a_million_libuv(benchmark::State& state) {
    const auto delays = bench::near_delays(bench::a_million);
    std::vector<uv_timer_t> timers(delays.size());
    std::int64_t ran = 0;
    Loop loop;
    for (uv_timer_t& timer : timers) {
        uv_timer_init(loop.get(), &timer);
        timer.data = &ran;
    }
    while (state.KeepRunning()) {
        ran = 0;
        for (std::size_t i = 0; i < delays.size(); ++i) {
            uv_timer_start(
                &timers[i], [](uv_timer_t* handle) { ++*static_cast<std::int64_t*>(handle->data); },
                count_of(delays[i]), 0);
        }
        while (ran < bench::a_million) {
            uv_run(loop.get(), UV_RUN_ONCE);
        }
    }
    state.SetItemsProcessed(state.iterations() * bench::a_million);
}
BENCHMARK(set_and_expire_a_million_libuv)->Unit(benchmark::kMillisecond);

struct FromOtherThreads {
    uv_async_t async;
    std::mutex mutex;
    std::vector<std::function<void()>> queued;
    std::vector<std::function<void()>> running;

    void call(std::function<void()> function) {
        {
            const std::scoped_lock lock(mutex);
            queued.push_back(std::move(function));
        }
        uv_async_send(&async);
    }
    void run() {
        {
            const std::scoped_lock lock(mutex);
            running.swap(queued);
        }
        for (const auto& function : running) {
            function();
        }
        running.clear();
    }
};

void call_soon_threadsafe_libuv(benchmark::State& state) {
    FromOtherThreads remote;
    Loop loop;
    uv_async_init(loop.get(), &remote.async,
                  [](uv_async_t* handle) { static_cast<FromOtherThreads*>(handle->data)->run(); });
    remote.async.data = &remote;
    std::thread runner([&loop] { uv_run(loop.get(), UV_RUN_DEFAULT); });
    std::uint64_t asked = 0;
    std::atomic<std::uint64_t> ran = 0;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < bench::scheduled_at_once; ++i) {
            remote.call([&ran] { ran.fetch_add(1, std::memory_order_release); });
        }
        asked += bench::scheduled_at_once;
        while (ran.load(std::memory_order_acquire) != asked) {
        }
    }
    remote.call([&loop] { uv_stop(loop.get()); });
    runner.join();
    state.SetItemsProcessed(static_cast<std::int64_t>(asked));
}
BENCHMARK(call_soon_threadsafe_libuv)->UseRealTime();

}  // namespace
