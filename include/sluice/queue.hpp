// Queue<T>, LifoQueue<T>, PriorityQueue<T>: values from tasks to tasks of one loop, bounded, so that
// the fast side waits for the slow one. asyncio's queues, with the shutdown of Python 3.13.
//
// Waiting allocates nothing. A task that is called holds a claim, on a value or on room, until it
// runs: nobody overtakes it, and if it is cancelled meanwhile the claim goes to the next in line, so
// no value is lost. Members of this file know no loop.
#pragma once

#include <sluice/detail/waiting_line.hpp>
#include <sluice/task.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// Thrown by get_nowait() when there is nothing.
class QueueEmpty : public std::runtime_error {
public:
    QueueEmpty() : std::runtime_error("the queue is empty") {}
};
/// Thrown by put_nowait() when there is no room.
class QueueFull : public std::runtime_error {
public:
    QueueFull() : std::runtime_error("the queue is full") {}
};
/// Thrown by put() after shutdown(), and by get() when nothing is left then.
class QueueShutDown : public std::runtime_error {
public:
    QueueShutDown() : std::runtime_error("the queue is shut down") {}
};

namespace detail {

enum class Served : std::uint8_t { oldest_first, newest_first };

template <class T, Served Order>
class InOrder {
public:
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    void put(T value) { items_.push_back(std::move(value)); }
    T take() {
        if constexpr (Order == Served::oldest_first) {
            T value = std::move(items_.front());
            items_.pop_front();
            return value;
        } else {
            T value = std::move(items_.back());
            items_.pop_back();
            return value;
        }
    }
    void clear() noexcept { items_.clear(); }

private:
    std::deque<T> items_;
};

template <class T>
class SmallestFirst {
public:
    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
    void put(T value) {
        items_.push_back(std::move(value));
        std::push_heap(items_.begin(), items_.end(), std::greater<>());
    }
    T take() {
        std::pop_heap(items_.begin(), items_.end(), std::greater<>());
        T value = std::move(items_.back());
        items_.pop_back();
        return value;
    }
    void clear() noexcept { items_.clear(); }

private:
    std::vector<T> items_;
};

/// What a queue knows about its values without knowing them: how many, who waits, who has a claim.
/// Every place in a line that was called has one, until it arrives or is destroyed.
class SLUICE_API QueueState {
public:
    explicit QueueState(std::size_t at_most) noexcept : most(at_most) {}

    [[nodiscard]] bool can_get() const noexcept { return size > promised_values; }
    [[nodiscard]] bool can_put() const noexcept { return most == 0 || size + promised_room < most; }
    /// After a value went in, or a claim on one was given up.
    void call_getters() noexcept;
    /// After a value went out, or a claim on room was given up.
    void call_putters() noexcept;
    void shut_down() noexcept;
    void finish(std::size_t count) noexcept;

    std::size_t size = 0;
    std::size_t most;
    std::size_t promised_values = 0;
    std::size_t promised_room = 0;
    std::size_t unfinished = 0;
    bool is_shut_down = false;
    WaitingLine getters;
    WaitingLine putters;
    WaitingLine joiners;
};

}  // namespace detail

/// A bounded queue. Not movable; must outlive those who wait at it. `Items` decides the order: use
/// the aliases below.
template <class T, class Items>
class BasicQueue {
    class PutPlace;
    class GetPlace;

public:
    /// At most `most` values; 0 for any number. May throw std::bad_alloc.
    explicit BasicQueue(std::size_t most = 0) : state_(most) {}

    /// What put() returns.
    class [[nodiscard]] Put {
    public:
        /// @cond internal
        Put(BasicQueue& queue, T value) : queue_(&queue), value_(std::move(value)) {}
        PutPlace operator co_await() const noexcept { return PutPlace(*queue_, value_); }
        /// @endcond

    private:
        BasicQueue* queue_;
        mutable T value_;
    };
    /// What get() returns.
    class [[nodiscard]] Get {
    public:
        /// @cond internal
        explicit Get(BasicQueue& queue) noexcept : queue_(&queue) {}
        GetPlace operator co_await() const noexcept { return GetPlace(*queue_); }
        /// @endcond

    private:
        BasicQueue* queue_;
    };
    /// What join() returns.
    class [[nodiscard]] Join {
    public:
        /// @cond internal
        explicit Join(BasicQueue& queue) noexcept : queue_(&queue) {}
        detail::PlainPlace operator co_await() const noexcept {
            return {queue_->state_.joiners, queue_->state_.unfinished == 0};
        }
        /// @endcond

    private:
        BasicQueue* queue_;
    };

    /// Awaited, waits for room, in the order of the calls, and puts `value`. Throws QueueShutDown,
    /// also while waiting, or Cancelled, and then has put nothing.
    Put put(T value) { return Put(*this, std::move(value)); }
    /// Awaited, waits for a value, in the order of the calls, and gives it. Throws QueueShutDown when
    /// none is left and none can come, or Cancelled, and then has taken nothing.
    Get get() noexcept { return Get(*this); }
    /// Puts `value` or throws QueueFull, or QueueShutDown.
    void put_nowait(T value) {
        require_open();
        if (full()) {
            throw QueueFull();
        }
        insert(std::move(value));
    }
    /// Gives a value or throws QueueEmpty, or QueueShutDown if none can come.
    T get_nowait() {
        if (empty()) {
            require_open();
            throw QueueEmpty();
        }
        return extract();
    }
    /// How many values there are for whoever comes: those that waiting tasks were called for do not
    /// count any more.
    [[nodiscard]] std::size_t qsize() const noexcept {
        return empty() ? 0 : state_.size - state_.promised_values;
    }
    /// True if get() would wait.
    [[nodiscard]] bool empty() const noexcept { return !state_.can_get(); }
    /// True if put() would wait.
    [[nodiscard]] bool full() const noexcept { return !state_.can_put(); }
    /// The bound; 0 if there is none.
    [[nodiscard]] std::size_t maxsize() const noexcept { return state_.most; }

    /// Says that a value taken from the queue has been dealt with. Throws std::logic_error if that
    /// was said for every value already.
    void task_done() {
        if (state_.unfinished == 0) {
            throw std::logic_error("Queue::task_done() called too many times");
        }
        state_.finish(1);
    }
    /// Awaited, waits until task_done() was called for every value that was put.
    Join join() noexcept { return Join(*this); }
    /// Accepts no more values: put() throws, also in tasks that wait in it, and so does get() once
    /// nothing is left. With `immediate`, nothing is left from now on, and join() counts that as done.
    void shutdown(bool immediate = false) noexcept {
        if (immediate) {
            items_.clear();
            const std::size_t dropped = std::exchange(state_.size, 0);
            state_.finish(dropped < state_.unfinished ? dropped : state_.unfinished);
        }
        state_.shut_down();
    }

private:
    void require_open() const {
        if (state_.is_shut_down) {
            throw QueueShutDown();
        }
    }
    void insert(T value) {
        items_.put(std::move(value));
        ++state_.size;
        ++state_.unfinished;
        state_.call_getters();
    }
    T extract() {
        T value = items_.take();
        --state_.size;
        state_.call_putters();
        return value;
    }

    detail::QueueState state_;
    Items items_;
};

/// First in, first out. The counterpart of asyncio.Queue.
template <class T>
using Queue = BasicQueue<T, detail::InOrder<T, detail::Served::oldest_first>>;
/// Last in, first out. The counterpart of asyncio.LifoQueue.
template <class T>
using LifoQueue = BasicQueue<T, detail::InOrder<T, detail::Served::newest_first>>;
/// The smallest first. The counterpart of asyncio.PriorityQueue.
template <class T>
using PriorityQueue = BasicQueue<T, detail::SmallestFirst<T>>;

/// @cond internal
// ---- waiting ----

template <class T, class Items>
class BasicQueue<T, Items>::PutPlace final : public detail::Place {
public:
    PutPlace(BasicQueue& queue, T& value) noexcept
        : Place(queue.state_.putters), queue_(queue), value_(value) {}
    ~PutPlace() {
        if (called() && line_exists()) {
            --queue_.state_.promised_room;
            queue_.state_.call_putters();
        }
    }
    bool await_ready() const noexcept { return queue_.state_.is_shut_down || !queue_.full(); }
    template <detail::TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        line_up(coroutine);
    }
    void await_resume() {
        const bool had_claim = called();
        arrive();
        queue_.state_.promised_room -= had_claim ? 1 : 0;
        queue_.require_open();
        try {
            queue_.insert(std::move(value_));
        } catch (...) {
            queue_.state_.call_putters();
            throw;
        }
    }

private:
    BasicQueue& queue_;
    T& value_;
};

template <class T, class Items>
class BasicQueue<T, Items>::GetPlace final : public detail::Place {
public:
    explicit GetPlace(BasicQueue& queue) noexcept : Place(queue.state_.getters), queue_(queue) {}
    ~GetPlace() {
        if (called() && line_exists()) {
            --queue_.state_.promised_values;
            queue_.state_.call_getters();
        }
    }
    bool await_ready() const noexcept { return queue_.state_.is_shut_down || !queue_.empty(); }
    template <detail::TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        line_up(coroutine);
    }
    T await_resume() {
        const bool had_claim = called();
        arrive();
        queue_.state_.promised_values -= had_claim ? 1 : 0;
        // Shutting down calls more getters than there are values: the first ones get them.
        if (had_claim ? queue_.state_.size == 0 : queue_.empty()) {
            throw QueueShutDown();
        }
        try {
            return queue_.extract();
        } catch (...) {
            queue_.state_.call_getters();
            throw;
        }
    }

private:
    BasicQueue& queue_;
};
/// @endcond

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/queue.ipp>
#endif
