// A thread pool with shared state, so that neither side has to wait for the other.
#pragma once

#include <sluice/detail/executor.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace sluice::inline v0_1::detail {

struct Executor::State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Callback> jobs;
    unsigned threads = 0;
    unsigned idle_threads = 0;
    bool stopping = false;
    std::vector<Callback> on_idle;
};

SLUICE_INLINE Executor::Executor() : state_(std::make_shared<State>()) {}

SLUICE_INLINE Executor::~Executor() {
    shutdown();
}

SLUICE_INLINE void Executor::submit(Callback job) {
    if (!sys::has_threads()) {
        job();
        return;
    }
    std::unique_lock lock(state_->mutex);
    if (state_->stopping) {
        throw std::logic_error("run_in_executor() called after shutdown of the executor");
    }
    state_->jobs.push_back(std::move(job));
    const unsigned limit = std::min(sys::processor_count() + limits::executor_threads_extra,
                                    limits::executor_threads_max);
    if (state_->idle_threads >= state_->jobs.size() || state_->threads >= limit) {
        state_->changed.notify_one();
        return;
    }
    ++state_->threads;
    lock.unlock();
    if (sys::start_thread([state = state_] { work(state); })) {
        return;
    }
    lock.lock();
    if (--state_->threads == 0) {
        state_->jobs.clear();
        throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                "cannot start a thread for the executor");
    }
}

SLUICE_INLINE void Executor::work(const std::shared_ptr<State>& state) {
    std::unique_lock lock(state->mutex);
    for (;;) {
        ++state->idle_threads;
        state->changed.wait(lock, [&] { return !state->jobs.empty() || state->stopping; });
        --state->idle_threads;
        if (state->jobs.empty()) {
            break;
        }
        {
            Callback job = std::move(state->jobs.front());
            state->jobs.pop_front();
            lock.unlock();
            job();
        }
        lock.lock();
    }
    std::vector<Callback> on_idle;
    if (--state->threads == 0) {
        on_idle.swap(state->on_idle);
    }
    lock.unlock();
    for (Callback& callback : on_idle) {
        callback();
    }
}

SLUICE_INLINE void Executor::shutdown() noexcept {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
}

SLUICE_INLINE bool Executor::when_idle(Callback on_idle) {
    const std::lock_guard lock(state_->mutex);
    if (state_->threads == 0) {
        return true;
    }
    state_->on_idle.push_back(std::move(on_idle));
    return false;
}

}  // namespace sluice::inline v0_1::detail
