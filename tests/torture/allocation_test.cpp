// Torture by memory: every allocation of every scenario fails once.
//
// This program's operator new fails when it is told to, on one thread and between arming and
// disarming, never inside the simulated kernel. Expected each time: an end, nothing left open, and
// as many blocks of memory as before.
#include "torture/explore.hpp"
#include "torture/scenarios.hpp"

#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

namespace {

// How many allocations are left until one fails; zero: disarmed.
std::uint64_t allocations_until_failure = 0;
bool allocation_failed = false;
std::int64_t live_blocks = 0;

bool fails_now() noexcept {
    if (allocations_until_failure == 0 || sluice::test::in_sim_kernel() ||
        --allocations_until_failure != 0) {
        return false;
    }
    allocation_failed = true;
    return true;
}

void* allocate(std::size_t size, std::size_t alignment) noexcept {
    if (fails_now()) {
        return nullptr;
    }
    // aligned_alloc(3) wants a multiple of the alignment.
    const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    live_blocks += memory == nullptr ? 0 : 1;
    return memory;
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
    if (void* memory = allocate(size, alignment)) {
        return memory;
    }
    throw std::bad_alloc();
}

void release(void* memory) noexcept {
    live_blocks -= memory == nullptr ? 0 : 1;
    std::free(memory);
}

constexpr std::size_t usual = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t size) {
    return allocate_or_throw(size, usual);
}
void* operator new[](std::size_t size) {
    return allocate_or_throw(size, usual);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, usual);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return allocate(size, usual);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    release(memory);
}
void operator delete[](void* memory) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete[](void* memory, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    release(memory);
}
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
    release(memory);
}

namespace sluice::test {

namespace {

/// What one run did, without memory of its own: the run may have had none.
struct Outcome {
    bool problem = false;
    char text[200] = {};
};

void perform_into(const Scenario& scenario, std::uint64_t failing, Outcome& outcome) {
    SimKernel kernel(1);
    allocation_failed = false;
    allocations_until_failure = failing;
    const Performance performance = perform(scenario, kernel);
    allocations_until_failure = 0;
    outcome.problem = !performance.problem.empty();
    std::snprintf(outcome.text, sizeof outcome.text, "%s", performance.problem.c_str());
}

Attempt attempt(const Scenario& scenario, std::uint64_t failing) {
    Outcome outcome;
    const std::int64_t before = live_blocks;
    perform_into(scenario, failing, outcome);
    const std::int64_t left = live_blocks - before;
    Attempt done{.hit = allocation_failed, .problem = outcome.problem ? outcome.text : ""};
    if (!outcome.problem && left != 0) {
        done.problem = std::to_string(left) + " blocks of memory are not freed";
    }
    return done;
}

class AllocationTorture : public testing::TestWithParam<Scenario> {};

TEST_P(AllocationTorture, G10_ends_cleanly_whichever_allocation_fails) {
    // What is made once per process is made here.
    constexpr std::uint64_t none = ~std::uint64_t{0};
    attempt(GetParam(), none);
    const Attempt undisturbed = attempt(GetParam(), none);
    ASSERT_EQ(undisturbed.problem, "");
    const Exploration found =
        explore([&](std::uint64_t number) { return attempt(GetParam(), number); });
    for (const std::string& problem : found.problems) {
        ADD_FAILURE() << problem;
    }
    RecordProperty("failures_met", std::to_string(found.failures_met));
    EXPECT_GT(found.failures_met, 0U) << "nothing was tortured";
}

INSTANTIATE_TEST_SUITE_P(Every, AllocationTorture, testing::ValuesIn(scenarios()),
                         [](const testing::TestParamInfo<Scenario>& scenario) {
                             return std::string(scenario.param.name);
                         });

}  // namespace

}  // namespace sluice::test
