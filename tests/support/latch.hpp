// Latch: std::latch, which GCC 12's library gets wrong where the system has no futex: a count that reaches
// zero between the look at it and the sleep wakes nobody (its __waiter_pool_base::_M_do_wait).
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace sluice::test {

class Latch {
public:
    explicit Latch(std::ptrdiff_t expected) : expected_(expected) {}

    void count_down() {
        const std::lock_guard lock(mutex_);
        if (--expected_ == 0) {
            zero_.notify_all();
        }
    }
    void wait() {
        std::unique_lock lock(mutex_);
        zero_.wait(lock, [this] { return expected_ <= 0; });
    }
    void arrive_and_wait() {
        count_down();
        wait();
    }

private:
    std::mutex mutex_;
    std::condition_variable zero_;
    std::ptrdiff_t expected_;
};

}  // namespace sluice::test
