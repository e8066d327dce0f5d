// The timer heap alone: order by deadline, then by insertion, and removal from anywhere.
#include <sluice/detail/timer_heap.hpp>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using sluice::TimePoint;
using sluice::detail::Timer;
using sluice::detail::TimerHeap;

class Numbered final : public Timer {
public:
    explicit Numbered(int value) : number(value) {}
    void on_timer() noexcept override {}
    const int number;
};

constexpr TimePoint at(int milliseconds) {
    return TimePoint{} + std::chrono::milliseconds(milliseconds);
}

std::vector<int> pop_all_due(TimerHeap& heap, TimePoint now) {
    std::vector<int> numbers;
    const std::uint64_t end = heap.next_sequence();
    while (Timer* timer = heap.pop_due(now, end)) {
        numbers.push_back(static_cast<Numbered*>(timer)->number);
    }
    return numbers;
}

TEST(TimerHeap, gives_due_timers_in_the_order_of_their_deadlines) {
    TimerHeap heap;
    Numbered late(3);
    Numbered early(1);
    Numbered middle(2);
    heap.insert(late, at(30));
    heap.insert(early, at(10));
    heap.insert(middle, at(20));
    EXPECT_EQ(heap.earliest(), at(10));
    EXPECT_EQ(pop_all_due(heap, at(25)), (std::vector{1, 2}));
    EXPECT_EQ(pop_all_due(heap, at(30)), (std::vector{3}));
    EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, gives_equal_deadlines_in_the_order_of_insertion) {
    TimerHeap heap;
    std::vector<std::unique_ptr<Numbered>> timers;
    std::vector<int> expected;
    for (int number = 0; number < 100; ++number) {
        timers.push_back(std::make_unique<Numbered>(number));
        heap.insert(*timers.back(), at(5));
        expected.push_back(number);
    }
    EXPECT_EQ(pop_all_due(heap, at(5)), expected);
}

TEST(TimerHeap, a_timer_inserted_after_the_sequence_end_waits_for_the_next_round) {
    TimerHeap heap;
    Numbered first(1);
    heap.insert(first, at(1));
    const std::uint64_t end = heap.next_sequence();
    EXPECT_EQ(heap.pop_due(at(9), end), &first);
    heap.insert(first, at(1));
    EXPECT_EQ(heap.pop_due(at(9), end), nullptr);
    heap.remove(first);
}

TEST(TimerHeap, removing_twice_is_harmless) {
    TimerHeap heap;
    Numbered timer(1);
    heap.insert(timer, at(1));
    heap.remove(timer);
    heap.remove(timer);
    EXPECT_FALSE(timer.scheduled());
    EXPECT_TRUE(heap.empty());
}

TEST(TimerHeap, random_insertions_and_removals_fire_exactly_what_is_left_in_order) {
    std::mt19937 random(7);  // NOLINT: a fixed seed makes a failure repeatable.
    TimerHeap heap;
    struct Entry {
        std::unique_ptr<Numbered> timer;
        int deadline;
        bool removed = false;
    };
    std::vector<Entry> entries;
    for (int number = 0; number < 100'000; ++number) {
        entries.push_back({std::make_unique<Numbered>(number), static_cast<int>(random() % 1000)});
        heap.insert(*entries.back().timer, at(entries.back().deadline));
        Entry& victim = entries[random() % entries.size()];
        if (random() % 2 == 0) {
            heap.remove(*victim.timer);
            victim.removed = true;
        }
    }
    std::vector<std::pair<int, int>> expected;
    for (const Entry& entry : entries) {
        if (!entry.removed) {
            expected.emplace_back(entry.deadline, entry.timer->number);
        }
    }
    std::ranges::sort(expected);
    std::vector<int> numbers;
    for (const auto& [deadline, number] : expected) {
        numbers.push_back(number);
    }
    EXPECT_EQ(heap.size(), numbers.size());
    EXPECT_EQ(pop_all_due(heap, at(1000)), numbers);
}

}  // namespace
