// Completion: done or not, and who is to be told. What Future and a running Task have in common.
#pragma once

#include <sluice/callback.hpp>
#include <sluice/config.hpp>
#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/ready.hpp>

#include <cstdint>

namespace sluice::inline v0_1::detail {

class LoopCore;

/// Somebody who waits for a completion. Destroying it while it waits withdraws it.
class Waiter : public ListNode<Waiter> {
public:
    /// Called once, inside the call that completes: only schedules.
    virtual void on_completed() noexcept = 0;
    /// The completion goes away undone.
    virtual void on_abandoned() noexcept {}

protected:
    ~Waiter() = default;
};

class SLUICE_API Completion {
public:
    Completion() noexcept = default;
    ~Completion();
    Completion(const Completion&) = delete;
    Completion& operator=(const Completion&) = delete;

    [[nodiscard]] bool done() const noexcept { return done_; }
    void add(Waiter& waiter) noexcept { waiters_.push_back(waiter); }
    /// Runs `callback` with call_soon once done; at the next opportunity if it is already.
    void add_done_callback(LoopCore& core, Callback callback);
    /// Tells everybody, in the order they came.
    void complete() noexcept;

private:
    class DoneCallback;

    IntrusiveList<Waiter> waiters_;
    bool done_ = false;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/completion.ipp>
#endif
