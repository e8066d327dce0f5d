// Seeds in order, and the report about the first one that fails.
//
// A crash ends the process in the middle of a seed: the handlers here say which one it was. What a
// seed does and what is right about it, this file must not know.
#include "simulation/runner.hpp"

#include "simulation/program.hpp"
#include "simulation/shrink.hpp"
#include "simulation/world.hpp"

#include <chrono>
#include <csignal>
#include <cstring>

#include <unistd.h>

extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace sluice::test {

namespace {

// What the crash handler says: made before each run, since a handler may not format.
char crash_text[256];

void say_which_seed() {
    const ssize_t written = ::write(STDERR_FILENO, crash_text, std::strlen(crash_text));
    static_cast<void>(written);
}

void on_crash(int number) {
    say_which_seed();
    std::signal(number, SIG_DFL);
    std::raise(number);
}

void watch_for_crashes() {
    if (__sanitizer_set_death_callback != nullptr) {
        __sanitizer_set_death_callback(say_which_seed);
    } else {
        std::signal(SIGSEGV, on_crash);
        std::signal(SIGBUS, on_crash);
    }
    std::signal(SIGABRT, on_crash);
}

void note_seed(std::uint64_t seed) {
    std::snprintf(crash_text, sizeof crash_text,
                  "\nsimulation: seed %llu crashed; to shrink it: tests/simulate.sh --first-seed "
                  "%llu --seeds 1 --apart\n",
                  static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed));
}

std::string explain(const Program& program, const std::string& failure, std::FILE* out) {
    const std::string seed = std::to_string(program.seed);
    std::string text =
        "seed " + seed + " fails: " + failure + "\nreplay: tests/simulate.sh --first-seed " + seed +
        " --seeds 1 --verbose --backend " + (program.over_io_uring ? "io_uring" : "epoll") + "\n";
    std::fprintf(out, "%s(shrinking its %zu actions)\n", text.c_str(), action_count(program));
    std::fflush(out);
    const Program least = shrink(program, failure);
    const std::string described =
        "fails as well, with: " + run_apart(least) + "\n" + describe(least);
    std::fprintf(out, "%s", described.c_str());
    std::fflush(out);
    return text + described;
}

}  // namespace

std::string run_seeds(const RunRequest& request, std::FILE* out) {
    watch_for_crashes();
    const auto started = std::chrono::steady_clock::now();
    std::uint64_t faults = 0;
    std::uint64_t calls = 0;
    std::uint64_t callbacks = 0;
    auto last_line = started;
    for (std::uint64_t index = 0; index < request.seeds; ++index) {
        const std::uint64_t seed = request.first_seed + index;
        note_seed(seed);
        Program program = generate(seed, request.left_out);
        program.over_io_uring = request.over_io_uring.value_or(program.over_io_uring);
        if (request.verbose) {
            std::fprintf(out, "%s", describe(program).c_str());
        }
        Verdict verdict;
        if (request.apart) {
            verdict.failure = run_apart(program);
        } else {
            verdict = run_program(program, request.verbose ? out : nullptr);
        }
        if (verdict.failed()) {
            return explain(program, verdict.failure, out);
        }
        faults += verdict.faults;
        calls += verdict.calls;
        callbacks += verdict.callbacks;
        const auto now = std::chrono::steady_clock::now();
        if (request.progress && (now - last_line > std::chrono::seconds(5))) {
            last_line = now;
            std::fprintf(out, "%llu of %llu seeds\n", static_cast<unsigned long long>(index + 1),
                         static_cast<unsigned long long>(request.seeds));
            std::fflush(out);
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    std::fprintf(out,
                 "%llu seeds from %llu passed in %.1f s: %llu callbacks, %llu system calls, %llu "
                 "faults\n",
                 static_cast<unsigned long long>(request.seeds),
                 static_cast<unsigned long long>(request.first_seed), took.count(),
                 static_cast<unsigned long long>(callbacks), static_cast<unsigned long long>(calls),
                 static_cast<unsigned long long>(faults));
    return {};
}

}  // namespace sluice::test
