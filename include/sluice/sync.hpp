// Event, Lock, Semaphore, BoundedSemaphore, Condition: for the tasks of one loop, as asyncio's.
//
// Whoever waits stands in line, first come first served, and waiting allocates nothing (a
// Condition's wait is a coroutine). A lock or permit is handed over to the next in line directly:
// nobody overtakes. None of them is for threads, and all must outlive those who wait and what they
// handed out. https://docs.python.org/3/library/asyncio-sync.html
#pragma once

#include <sluice/detail/waiting_line.hpp>
#include <sluice/task.hpp>

#include <cstddef>
#include <utility>

namespace sluice::inline v0_1 {

class Condition;

/// Something that has happened, or not yet. The counterpart of asyncio.Event.
class SLUICE_API Event {
public:
    /// What wait() returns.
    class [[nodiscard]] Wait {
    public:
        /// @cond internal
        explicit Wait(Event& event) noexcept : event_(&event) {}
        detail::PlainPlace operator co_await() const noexcept {
            return {event_->line_, event_->set_};
        }
        /// @endcond

    private:
        Event* event_;
    };

    /// Wakes every waiting task; from now on nobody waits.
    void set() noexcept {
        set_ = true;
        line_.call_all();
    }
    /// From now on wait() waits again. Tasks that set() has woken go on all the same.
    void clear() noexcept { set_ = false; }
    /// True between set() and clear().
    [[nodiscard]] bool is_set() const noexcept { return set_; }
    /// Awaited, returns when the event is set, at once if it is. Throws Cancelled only.
    Wait wait() noexcept { return Wait(*this); }

private:
    detail::WaitingLine line_;
    bool set_ = false;
};

namespace detail {

/// Permits and who waits for them: what Lock and Semaphore have in common.
class Permits {
public:
    explicit Permits(std::size_t count) noexcept : count_(count) {}

    [[nodiscard]] std::size_t available() const noexcept { return count_; }
    bool take() noexcept {
        const bool taken = count_ > 0;
        count_ -= taken ? 1 : 0;
        return taken;
    }
    /// To the next in line, if there is one.
    void give_back() noexcept {
        if (line_.call_next() == nullptr) {
            ++count_;
        }
    }
    [[nodiscard]] WaitingLine& line() noexcept { return line_; }

private:
    std::size_t count_;
    WaitingLine line_;
};

}  // namespace detail

/// A lock or a permit that somebody has; destroying it gives it back. Move-only; must not outlive
/// what it is of.
class [[nodiscard]] Permit {
public:
    Permit() noexcept = default;
    ///@{
    /// Takes over what `other` has; gives back what it had.
    Permit(Permit&& other) noexcept : permits_(std::exchange(other.permits_, nullptr)) {}
    Permit& operator=(Permit&& other) noexcept {
        if (this != &other) {
            release();
            permits_ = std::exchange(other.permits_, nullptr);
        }
        return *this;
    }
    ///@}
    ~Permit() { release(); }

    /// Gives it back now. Nothing if it has none.
    void release() noexcept {
        if (detail::Permits* permits = std::exchange(permits_, nullptr)) {
            permits->give_back();
        }
    }
    /// Keeps it taken: somebody will call release() of the lock or semaphore.
    void detach() noexcept { permits_ = nullptr; }
    /// True while it has something to give back.
    explicit operator bool() const noexcept { return permits_ != nullptr; }
    /// @cond internal
    explicit Permit(detail::Permits& permits) noexcept : permits_(&permits) {}
    [[nodiscard]] const detail::Permits* permits() const noexcept { return permits_; }
    /// @endcond

private:
    detail::Permits* permits_ = nullptr;
};

namespace detail {

class SLUICE_API PermitPlace final : public Place {
public:
    explicit PermitPlace(Permits& permits) noexcept : Place(permits.line()), permits_(permits) {}
    ~PermitPlace() {
        if (called() && line_exists()) {
            permits_.give_back();
        }
    }
    bool await_ready() const noexcept { return permits_.take(); }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        line_up(coroutine);
    }
    Permit await_resume() {
        arrive();
        return Permit(permits_);
    }

private:
    Permits& permits_;
};

}  // namespace detail

/// What acquire() returns: awaited, it gives a Permit. Throws Cancelled only, and then holds nothing.
class [[nodiscard]] Acquire {
public:
    /// @cond internal
    explicit Acquire(detail::Permits& permits) noexcept : permits_(&permits) {}
    detail::PermitPlace operator co_await() const noexcept {
        return detail::PermitPlace(*permits_);
    }
    /// @endcond

private:
    detail::Permits* permits_;
};

/// Held by one task at a time. The counterpart of asyncio.Lock.
class SLUICE_API Lock {
public:
    Lock() noexcept = default;

    /// Awaited, gives the lock, in the order of the calls; the Permit's end unlocks it.
    Acquire acquire() noexcept { return Acquire(permits_); }
    /// The lock if it is free, else an empty Permit.
    Permit try_acquire() noexcept { return permits_.take() ? Permit(permits_) : Permit(); }
    /// Unlocks what was acquired with a Permit that was detached. Throws std::logic_error if it is
    /// not locked.
    void release();
    /// True while somebody has it.
    [[nodiscard]] bool locked() const noexcept { return permits_.available() == 0; }

private:
    friend Condition;
    detail::Permits permits_{1};
};

/// A number of permits. The counterpart of asyncio.Semaphore.
class SLUICE_API Semaphore {
public:
    /// `count` permits to begin with.
    explicit Semaphore(std::size_t count = 1) noexcept : permits_(count) {}

    /// Awaited, gives a permit, in the order of the calls; the Permit's end gives it back.
    Acquire acquire() noexcept { return Acquire(permits_); }
    /// A permit if there is one, else an empty Permit.
    Permit try_acquire() noexcept { return permits_.take() ? Permit(permits_) : Permit(); }
    /// One permit more than there were, or back from a Permit that was detached.
    void release() noexcept { permits_.give_back(); }
    /// True if acquire() would wait.
    [[nodiscard]] bool locked() const noexcept { return permits_.available() == 0; }
    /// How many permits nobody has.
    [[nodiscard]] std::size_t available() const noexcept { return permits_.available(); }

private:
    detail::Permits permits_;
};

/// A Semaphore that never has more permits than at the beginning. The counterpart of
/// asyncio.BoundedSemaphore.
class SLUICE_API BoundedSemaphore : public Semaphore {
public:
    /// `count` permits, at the beginning and at most.
    explicit BoundedSemaphore(std::size_t count = 1) noexcept : Semaphore(count), count_(count) {}
    /// As Semaphore::release(). Throws std::logic_error if every permit is there already.
    void release();

private:
    std::size_t count_;
};

/// Waiting for a change of what a lock protects. The counterpart of asyncio.Condition.
class SLUICE_API Condition {
public:
    /// With a lock of its own.
    Condition() noexcept : lock_(&own_lock_) {}
    /// With `lock`, which must outlive it and may be shared by several conditions.
    explicit Condition(Lock& lock) noexcept : lock_(&lock) {}
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

    /// Awaited, gives the lock.
    Acquire acquire() noexcept { return lock_->acquire(); }
    /// The lock if it is free, else an empty Permit.
    Permit try_acquire() noexcept { return lock_->try_acquire(); }
    /// True while somebody has the lock.
    [[nodiscard]] bool locked() const noexcept { return lock_->locked(); }
    /// Unlocks, waits for notify() and locks again, also before it throws Cancelled. `permit` is what
    /// acquire() gave and must live as long; std::logic_error, when awaited, if it has not the lock.
    Task<> wait(Permit& permit);
    /// wait() until `predicate()` is true; it is called with the lock held.
    template <class Predicate>
    Task<> wait_for(Permit& permit, Predicate predicate) {
        while (!predicate()) {
            Task<> changed = wait(permit);
            co_await changed;
        }
    }
    /// Wakes `count` of those that wait(). Throws std::logic_error if the lock is not held.
    void notify(std::size_t count = 1);
    /// Wakes all of them. Throws std::logic_error if the lock is not held.
    void notify_all();

private:
    void require_locked(const char* method) const;

    Lock own_lock_;
    Lock* lock_;
    detail::WaitingLine line_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/sync.ipp>
#endif
