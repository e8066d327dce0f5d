// Timers ordered by deadline, then by insertion: a 4-ary heap whose entries carry their keys.
//
// The keys stand in the array, so that sifting touches no timer but the ones it moves; four
// children fit one cache line and halve the depth of a binary heap. Cancelling removes at once:
// nothing is left to compact.
#pragma once

#include <sluice/config.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sluice::inline v0_1 {

/// The loop's clock: monotonic, never set back (clock_gettime(2), CLOCK_MONOTONIC).
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

namespace detail {

/// `now + delay`, or the end of time: a delay of centuries must not wrap around.
constexpr TimePoint time_after(TimePoint now, Duration delay) noexcept {
    return delay < TimePoint::max() - now ? now + delay : TimePoint::max();
}

/// `delay` in the loop's unit. What does not fit means for ever, or at once where it is negative.
template <class Rep, class Period>
constexpr Duration to_duration(std::chrono::duration<Rep, Period> delay) noexcept {
    using Seconds = std::chrono::duration<double>;
    const Seconds seconds = delay;
    if (!(seconds < Seconds(Duration::max()))) {
        return Duration::max();
    }
    return seconds < Seconds::zero() ? Duration::zero()
                                     : std::chrono::duration_cast<Duration>(delay);
}

/// Something to run at a time. Embedded in its owner, which must not move while it is scheduled.
class Timer {
public:
    Timer() noexcept = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    /// Runs once, in the loop's timer phase.
    virtual void on_timer() noexcept = 0;
    /// The loop is closed and will not run it; the timer is out of the heap.
    virtual void on_loop_closed() noexcept {}

    [[nodiscard]] bool scheduled() const noexcept { return index_ != not_in_heap; }

protected:
    ~Timer() { SLUICE_ASSERT(!scheduled()); }

private:
    friend class TimerHeap;
    static constexpr std::size_t not_in_heap = static_cast<std::size_t>(-1);
    std::size_t index_ = not_in_heap;
};

class TimerHeap {
public:
    [[nodiscard]] bool empty() const noexcept { return entries_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    /// The earliest deadline; there must be one.
    [[nodiscard]] TimePoint earliest() const noexcept { return entries_.front().deadline; }

    /// May throw std::bad_alloc, and then has changed nothing.
    void insert(Timer& timer, TimePoint deadline) {
        SLUICE_ASSERT(!timer.scheduled());
        entries_.push_back({deadline, next_sequence_, &timer});
        ++next_sequence_;
        sift_up(entries_.size() - 1, entries_.back());
    }

    void remove(Timer& timer) noexcept {
        if (!timer.scheduled()) {
            return;
        }
        const std::size_t hole = timer.index_;
        timer.index_ = Timer::not_in_heap;
        const Entry last = entries_.back();
        entries_.pop_back();
        if (hole == entries_.size()) {
            return;
        }
        if (hole > 0 && last.before(entries_[parent(hole)])) {
            sift_up(hole, last);
        } else {
            sift_down(hole, last);
        }
    }

    /// Takes the earliest timer out if it is due at `now` and was inserted before `sequence_end`,
    /// else returns null.
    Timer* pop_due(TimePoint now, std::uint64_t sequence_end) noexcept {
        if (empty() || entries_.front().deadline > now ||
            entries_.front().sequence >= sequence_end) {
            return nullptr;
        }
        Timer* timer = entries_.front().timer;
        remove(*timer);
        return timer;
    }

    /// Takes any timer out; there must be one.
    Timer& pop_any() noexcept {
        Timer& timer = *entries_.back().timer;
        remove(timer);
        return timer;
    }

    /// Every timer inserted from now on has this sequence number or a higher one.
    [[nodiscard]] std::uint64_t next_sequence() const noexcept { return next_sequence_; }

private:
    struct Entry {
        TimePoint deadline;
        std::uint64_t sequence;
        Timer* timer;

        [[nodiscard]] bool before(const Entry& other) const noexcept {
            return deadline != other.deadline ? deadline < other.deadline
                                              : sequence < other.sequence;
        }
    };

    static constexpr std::size_t arity = 4;
    static constexpr std::size_t parent(std::size_t index) noexcept { return (index - 1) / arity; }

    void place(std::size_t index, const Entry& entry) noexcept {
        entries_[index] = entry;
        entry.timer->index_ = index;
    }

    void sift_up(std::size_t hole, const Entry entry) noexcept {
        while (hole > 0 && entry.before(entries_[parent(hole)])) {
            place(hole, entries_[parent(hole)]);
            hole = parent(hole);
        }
        place(hole, entry);
    }

    void sift_down(std::size_t hole, const Entry entry) noexcept {
        for (;;) {
            const std::size_t first = hole * arity + 1;
            if (first >= entries_.size()) {
                break;
            }
            const std::size_t end =
                first + arity < entries_.size() ? first + arity : entries_.size();
            std::size_t least = first;
            for (std::size_t child = first + 1; child < end; ++child) {
                if (entries_[child].before(entries_[least])) {
                    least = child;
                }
            }
            if (!entries_[least].before(entry)) {
                break;
            }
            place(hole, entries_[least]);
            hole = least;
        }
        place(hole, entry);
    }

    std::vector<Entry> entries_;
    std::uint64_t next_sequence_ = 0;
};

}  // namespace detail
}  // namespace sluice::inline v0_1
