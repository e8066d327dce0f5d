// The seeds that every test run tries, and the simulation's own reliability.
//
// A slice of seeds is one case, so that slices run in parallel. SLUICE_SIMULATION_SEEDS says how many
// seeds all slices have together. The rest asks whether a failure could be found at all: that a seed
// does the same twice, that shrinking keeps what matters, that a hang and a crash are failures.
#include "simulation/program.hpp"
#include "simulation/runner.hpp"
#include "simulation/shrink.hpp"
#include "simulation/world.hpp"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace sluice::test {

namespace {

constexpr std::uint64_t usual_seeds = 10'000;
constexpr std::uint64_t slices = 10;

std::uint64_t wanted_seeds() {
    const char* wanted = std::getenv("SLUICE_SIMULATION_SEEDS");
    return wanted == nullptr ? usual_seeds : std::strtoull(wanted, nullptr, 10);
}

class Simulation : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Simulation, NoProgramOfTheSliceBreaksARule) {
    RunRequest request;
    request.seeds = std::max<std::uint64_t>(1, wanted_seeds() / slices);
    request.first_seed = 1 + GetParam() * request.seeds;
    EXPECT_EQ(run_seeds(request, stdout), "");
}

INSTANTIATE_TEST_SUITE_P(Slice, Simulation, testing::Range(std::uint64_t{0}, slices));

/// The first program with the property, as one more connection than needed.
template <class Property>
Program first_with(Property&& property) {
    std::uint64_t seed = 1;
    while (!property(generate(seed))) {
        ++seed;
    }
    return generate(seed);
}

std::size_t count_of(const Program& program, Op op) {
    std::size_t count = 0;
    for (const ConnectionPlan& plan : program.connections) {
        for (const EndPlan& end : plan.ends) {
            count += static_cast<std::size_t>(std::ranges::count(end.actions, op, &Action::op));
        }
    }
    return count;
}

TEST(SimulationItself, ASeedDoesTheSameTwice) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        const Program program = generate(seed);
        EXPECT_EQ(describe(program), describe(generate(seed)));
        const Verdict first = run_program(program);
        const Verdict second = run_program(program);
        EXPECT_EQ(first.calls, second.calls) << "seed " << seed;
        EXPECT_EQ(first.faults, second.faults) << "seed " << seed;
        EXPECT_EQ(first.callbacks, second.callbacks) << "seed " << seed;
    }
}

TEST(SimulationItself, EveryOperationAndFaultOccursWithinAHundredSeeds) {
    std::string all;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        all += describe(generate(seed));
    }
    for (std::size_t op = 0; op < op_count; ++op) {
        EXPECT_NE(all.find(to_string(static_cast<Op>(op))), std::string::npos)
            << to_string(static_cast<Op>(op));
    }
    for (const char* fault :
         {"short_read", "short_write", "spurious_block", "interrupt", "stream_error",
          "accept_shortage", "accept_aborted", "open_shortage", "epoll_shortage", "reorder",
          "partial_batch", "late_wake", "delay", "slow_connect", "resolver_failure", "cold_file",
          "unfit_file", "file_error"}) {
        EXPECT_NE(all.find(std::string(fault) + " "), std::string::npos) << fault;
    }
    for (const char* fault : {"ring_shortage", "ring_full", "ring_partial", "ring_moved",
                              "ring_end", "ring_portion", "ring_race", "ring_no_buffer"}) {
        EXPECT_EQ(all.find(std::string(fault) + " ") != std::string::npos, has_io_uring) << fault;
    }
}

TEST(SimulationItself, AnOperationLeftOutDoesNotOccur) {
    const std::uint32_t left_out = 1U << static_cast<unsigned>(Op::abort);
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        EXPECT_EQ(count_of(generate(seed, left_out), Op::abort), 0U);
    }
}

TEST(SimulationItself, ShrinkingLeavesTheOneActionThatFails) {
    const Program failing = first_with([](const Program& program) {
        return count_of(program, Op::set_protocol) > 1 && action_count(program) > 30;
    });
    const auto judge = [](const Program& program) -> std::string {
        return count_of(program, Op::set_protocol) > 0 ? "planted: here" : "";
    };
    const Program least = shrink(failing, judge(failing), judge);
    EXPECT_EQ(action_count(least), 1U);
    EXPECT_EQ(count_of(least, Op::set_protocol), 1U);
    EXPECT_EQ(least.faults.most, 0U);
}

TEST(SimulationItself, ShrinkingDoesNotSlipIntoAnotherFailure) {
    const Program failing = first_with([](const Program& program) {
        return count_of(program, Op::write) > 2 && count_of(program, Op::abort) > 0;
    });
    const auto judge = [](const Program& program) -> std::string {
        return count_of(program, Op::abort) == 0  ? "another: easier to reach"
               : count_of(program, Op::write) > 1 ? "planted: here"
                                                  : "";
    };
    const Program least = shrink(failing, judge(failing), judge);
    EXPECT_EQ(count_of(least, Op::abort), 1U);
    EXPECT_EQ(count_of(least, Op::write), 2U);
    EXPECT_EQ(action_count(least), 3U);
}

TEST(SimulationItself, AProgramRunApartGivesTheSameVerdict) {
    EXPECT_EQ(run_apart(generate(1)), "");
}

}  // namespace

}  // namespace sluice::test
