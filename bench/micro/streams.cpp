// Lines out of 64 MiB: what readuntil costs beside a loop of memchr over the same bytes. Once where they are, and once
// received: copied 64 KiB at a time, as a kernel would, into a buffer of the loop's and into the reader's own.
#include <sluice/streams.hpp>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include <benchmark/benchmark.h>

namespace {

constexpr std::size_t line_bytes = 80;
constexpr std::size_t all_bytes = 64 * 1024 * 1024 / line_bytes * line_bytes;
constexpr std::size_t piece_bytes = 64 * 1024;

const std::string& lines() {
    static const std::string text = [] {
        std::string made(all_bytes, 'x');
        for (std::size_t end = line_bytes - 1; end < made.size(); end += line_bytes) {
            made[end] = '\n';
        }
        return made;
    }();
    return text;
}

/// The lines in `text`; all that follows the last is the caller's.
std::size_t count_lines(std::string_view text) {
    const char* at = text.data();
    const char* const end = at + text.size();
    std::size_t count = 0;
    while (at != end) {
        const void* newline = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
        if (newline == nullptr) {
            break;
        }
        at = static_cast<const char*>(newline) + 1;
        ++count;
    }
    return count;
}

void set_bytes(benchmark::State& state) {
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(all_bytes));
}

void lines_memchr(benchmark::State& state) {
    const std::string& text = lines();
    while (state.KeepRunning()) {
        benchmark::DoNotOptimize(count_lines(text));
    }
    set_bytes(state);
}
BENCHMARK(lines_memchr)->Unit(benchmark::kMillisecond);

sluice::Task<> read_lines(benchmark::State& state) {
    const std::string& text = lines();
    const sluice::StreamReader reader(all_bytes);
    while (state.KeepRunning()) {
        state.PauseTiming();
        reader.feed_data(text);
        state.ResumeTiming();
        std::size_t taken = 0;
        while (taken != all_bytes) {
            const std::string_view line = co_await reader.readuntil_view('\n');
            taken += line.size();
        }
    }
    set_bytes(state);
}

void lines_readuntil(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(read_lines(state));
}
BENCHMARK(lines_readuntil)->Unit(benchmark::kMillisecond);

void lines_memchr_received(benchmark::State& state) {
    const std::string& text = lines();
    // A line that two pieces share is moved to the front.
    std::string buffer(piece_bytes + line_bytes, '\0');
    while (state.KeepRunning()) {
        std::size_t count = 0;
        std::size_t kept = 0;
        for (std::size_t fed = 0; fed != all_bytes;) {
            const std::size_t piece = std::min(piece_bytes, all_bytes - fed);
            std::memcpy(buffer.data() + kept, text.data() + fed, piece);
            fed += piece;
            const std::string_view there(buffer.data(), kept + piece);
            const std::size_t here = count_lines(there);
            count += here;
            kept = there.size() - here * line_bytes;
            std::memmove(buffer.data(), buffer.data() + here * line_bytes, kept);
        }
        benchmark::DoNotOptimize(count);
    }
    set_bytes(state);
}
BENCHMARK(lines_memchr_received)->Unit(benchmark::kMillisecond);

sluice::Task<> read_received_lines(benchmark::State& state) {
    const std::string& text = lines();
    const sluice::StreamReader reader;
    while (state.KeepRunning()) {
        std::size_t fed = 0;
        std::size_t taken = 0;
        while (taken != all_bytes) {
            // Never suspends: as much as is asked for is always there.
            if (fed - taken < line_bytes) {
                const std::size_t count = std::min(piece_bytes, all_bytes - fed);
                reader.feed_data(std::string_view(text).substr(fed, count));
                fed += count;
            }
            const std::string_view line = co_await reader.readuntil_view('\n');
            taken += line.size();
        }
    }
    set_bytes(state);
}

void lines_readuntil_received(benchmark::State& state) {
    sluice::EventLoop loop;
    loop.run_until_complete(read_received_lines(state));
}
BENCHMARK(lines_readuntil_received)->Unit(benchmark::kMillisecond);

}  // namespace
