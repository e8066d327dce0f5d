// Lock, BoundedSemaphore and Condition: what is more than handing on.
#pragma once

#include <sluice/sync.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

SLUICE_INLINE void Lock::release() {
    if (!locked()) {
        throw std::logic_error("Lock is not acquired.");
    }
    permits_.give_back();
}

SLUICE_INLINE void BoundedSemaphore::release() {
    if (available() >= count_) {
        throw std::logic_error("BoundedSemaphore released too many times");
    }
    Semaphore::release();
}

SLUICE_INLINE Task<> Condition::wait(Permit& permit) {
    if (permit.permits() != &lock_->permits_) {
        throw std::logic_error("Condition::wait(): the permit does not hold the condition's lock");
    }
    permit.release();
    bool cancelled = false;
    // Has the news until this returns: whoever is cancelled or destroyed before passes them on.
    detail::NewsPlace place(line_);
    try {
        co_await place;
    } catch (const Cancelled&) {
        cancelled = true;
    }
    // Whoever waits holds the lock afterwards, however it ended.
    while (!permit) {
        try {
            Acquire lock = lock_->acquire();
            Permit again = co_await lock;
            permit = std::move(again);
        } catch (const Cancelled&) {
            cancelled = true;
        }
    }
    if (cancelled) {
        throw Cancelled();
    }
    place.settle();
}

SLUICE_INLINE void Condition::notify(std::size_t count) {
    require_locked("notify");
    while (count > 0 && line_.call_next() != nullptr) {
        --count;
    }
}

SLUICE_INLINE void Condition::notify_all() {
    require_locked("notify_all");
    line_.call_all();
}

SLUICE_INLINE void Condition::require_locked(const char* method) const {
    if (!locked()) {
        throw std::logic_error(std::string("Condition::") + method +
                               "(): cannot notify on un-acquired lock");
    }
}

}  // namespace sluice::inline v0_1
