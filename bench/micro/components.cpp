// The library's own parts, each by itself: timer heap, write queue, dispatch. They show where a change of the whole came
// from; nobody else has the same parts, so nothing stands beside them.
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/detail/write_queue.hpp>
#include <sluice/event_loop.hpp>

#include "workload.hpp"

#include <array>
#include <deque>

#include <benchmark/benchmark.h>

namespace {

namespace detail = sluice::detail;

class Nothing final : public detail::Timer {
public:
    void on_timer() noexcept override {}
};

// The heap's price for one more timer among `state.range(0)` others.
void timer_heap_insert_remove(benchmark::State& state) {
    const auto delays = bench::far_delays(static_cast<std::size_t>(state.range(0)));
    std::deque<Nothing> pending(delays.size());
    detail::TimerHeap heap;
    for (std::size_t i = 0; i < delays.size(); ++i) {
        heap.insert(pending[i], sluice::TimePoint(delays[i]));
    }
    const auto deadlines = bench::far_delays(4096);
    Nothing timer;
    std::size_t next = 0;
    while (state.KeepRunning()) {
        heap.insert(timer, sluice::TimePoint(deadlines[next++ % deadlines.size()]));
        heap.remove(timer);
    }
    while (!heap.empty()) {
        heap.pop_any();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(timer_heap_insert_remove)->Arg(0)->Arg(1000)->Arg(bench::a_million);

// The steady state of a busy loop: the earliest one runs and is set again.
void timer_heap_pop_reinsert(benchmark::State& state) {
    const auto delays = bench::far_delays(static_cast<std::size_t>(state.range(0)));
    std::deque<Nothing> pending(delays.size());
    detail::TimerHeap heap;
    for (std::size_t i = 0; i < delays.size(); ++i) {
        heap.insert(pending[i], sluice::TimePoint(delays[i]));
    }
    while (state.KeepRunning()) {
        const sluice::TimePoint due = heap.earliest();
        detail::Timer* const timer = heap.pop_due(due, heap.next_sequence());
        heap.insert(*timer, due + std::chrono::seconds(500));
    }
    while (!heap.empty()) {
        heap.pop_any();
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(timer_heap_pop_reinsert)->Arg(1000)->Arg(bench::a_million);

constexpr std::size_t pieces_at_once = 64;

// What the kernel refused: copied, later sent in one piece.
void write_queue_copy(benchmark::State& state) {
    const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
    detail::GatherPool pool;
    detail::WriteQueue queue;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < pieces_at_once; ++i) {
            queue.append_copy(bytes);
        }
        queue.consume(queue.size(), pool);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pieces_at_once));
}
BENCHMARK(write_queue_copy)->Arg(64)->Arg(4096);

// The small writes of one callback: copied into the loop's block, sent when it ends.
void write_queue_gather(benchmark::State& state) {
    const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
    detail::GatherPool pool;
    detail::WriteQueue queue;
    std::array<sluice::Bytes, 64> pieces;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < pieces_at_once; ++i) {
            queue.append_gathered(bytes, pool);
        }
        benchmark::DoNotOptimize(queue.front_pieces(pieces));
        queue.consume(queue.size(), pool);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pieces_at_once));
}
BENCHMARK(write_queue_gather)->Arg(64)->Arg(1024);

void write_queue_owned(benchmark::State& state) {
    const sluice::Buffer buffer(std::vector<std::byte>(static_cast<std::size_t>(state.range(0))));
    detail::GatherPool pool;
    detail::WriteQueue queue;
    while (state.KeepRunning()) {
        for (std::size_t i = 0; i < pieces_at_once; ++i) {
            queue.append_owned(buffer);
        }
        queue.consume(queue.size(), pool);
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(pieces_at_once));
}
BENCHMARK(write_queue_owned)->Arg(65536);

class Counting final : public sluice::Protocol {
public:
    void data_received(sluice::Bytes data) override { bytes += data.size(); }
    std::size_t bytes = 0;
};

// A virtual call by itself, and through the one function that calls user code.
void virtual_call(benchmark::State& state) {
    Counting counting;
    sluice::Protocol* protocol = &counting;
    const std::array<std::byte, 64> bytes{};
    while (state.KeepRunning()) {
        benchmark::DoNotOptimize(protocol);
        protocol->data_received(bytes);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(virtual_call);

void dispatch(benchmark::State& state) {
    const sluice::EventLoop loop;
    Counting counting;
    sluice::Protocol* protocol = &counting;
    const std::array<std::byte, 64> bytes{};
    const detail::CallSite site{"protocol.data_received()"};
    while (state.KeepRunning()) {
        benchmark::DoNotOptimize(protocol);
        benchmark::DoNotOptimize(
            detail::dispatch(loop.core(), site, [&] { protocol->data_received(bytes); }));
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(dispatch);

}  // namespace
