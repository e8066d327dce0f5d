// WaitingLine: tasks that wait for the same thing, in the order they came. What Event, Lock, Queue
// and the rest are made of.
//
// A place in a line is an awaiter, which lives in the coroutine's frame: waiting allocates nothing.
// Between being called and being resumed a place owns what it was called for; if the task is
// cancelled or destroyed in between, the place must give it back, in its destructor, where called()
// still tells.
#pragma once

#include <sluice/detail/intrusive_list.hpp>
#include <sluice/task.hpp>

namespace sluice::inline v0_1::detail {

class WaitingLine;

class SLUICE_API Place : public LeafAwaiter, public ListNode<Place> {
protected:
    explicit Place(WaitingLine& line) noexcept : line_(&line) {}
    ~Place() = default;

    /// To be called in await_suspend().
    template <TaskLike Promise>
    void line_up(std::coroutine_handle<Promise> coroutine) noexcept {
        enter();
        suspend(coroutine);
    }
    /// To be called first in await_resume(): throws Cancelled if that is why the task goes on.
    void wake();
    /// wake(), and what it was called for is the caller's business from now on.
    void arrive() {
        wake();
        settle();
    }
    /// What it was called for has been used.
    void settle() noexcept;
    /// True if it was called and has not arrived.
    [[nodiscard]] bool called() const noexcept { return state_ == State::called; }
    /// False once the line, and what it belongs to, is gone.
    [[nodiscard]] bool line_exists() const noexcept { return line_ != nullptr; }
    [[nodiscard]] WaitingLine& line() const noexcept { return *line_; }

private:
    friend WaitingLine;
    enum class State : std::uint8_t { outside, waiting, called, left };

    void enter() noexcept;
    bool cancel() noexcept override;

    WaitingLine* line_;
    State state_ = State::outside;
};

class SLUICE_API WaitingLine {
public:
    WaitingLine() noexcept = default;
    WaitingLine(const WaitingLine&) = delete;
    WaitingLine& operator=(const WaitingLine&) = delete;
    /// Who still waits is left alone: only cancelling helps them.
    ~WaitingLine();

    [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
    /// Lets the first one go on in the next iteration. Null if nobody waits.
    Place* call_next() noexcept;
    void call_all() noexcept;

private:
    friend Place;
    IntrusiveList<Place> waiting_;
    // So that they learn of the line's end.
    IntrusiveList<Place> called_;
};

/// A place of somebody who is called for nothing in particular.
class SLUICE_API PlainPlace final : public Place {
public:
    /// Does not wait if there is no need to.
    PlainPlace(WaitingLine& line, bool ready) noexcept : Place(line), ready_(ready) {}
    bool await_ready() const noexcept { return ready_; }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        line_up(coroutine);
    }
    void await_resume() { arrive(); }

private:
    bool ready_;
};

/// A place of somebody who is called for news that one task must get: if that one is cancelled or
/// destroyed before it has said settle(), the next in line is called.
class SLUICE_API NewsPlace final : public Place {
public:
    explicit NewsPlace(WaitingLine& line) noexcept : Place(line) {}
    ~NewsPlace();
    bool await_ready() const noexcept { return false; }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        line_up(coroutine);
    }
    void await_resume() { wake(); }
    using Place::settle;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/waiting_line.ipp>
#endif
