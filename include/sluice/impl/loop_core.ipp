// The iteration of the loop and what its phases share.
#pragma once

#include <sluice/detail/datagram_area.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE bool RemoteQueue::post(Callback& callback) {
    const std::lock_guard lock(mutex_);
    if (poller_ == nullptr) {
        return false;
    }
    queued_.push_back(std::move(callback));
    if (!signalled_.exchange(true)) {
        poller_->wake();
    }
    return true;
}

SLUICE_INLINE std::vector<Callback> RemoteQueue::close() noexcept {
    const std::lock_guard lock(mutex_);
    poller_ = nullptr;
    return std::exchange(queued_, {});
}

SLUICE_INLINE bool RemoteQueue::is_open() const noexcept {
    const std::lock_guard lock(mutex_);
    return poller_ != nullptr;
}

SLUICE_INLINE void RemoteQueue::take(std::vector<Callback>& out) noexcept {
    if (!signalled_.load(std::memory_order_relaxed)) {
        return;
    }
    const std::lock_guard lock(mutex_);
    signalled_ = false;
    out.swap(queued_);
}

SLUICE_INLINE LoopCore::LoopCore(std::unique_ptr<Poller> poller)
    : poller_(std::move(poller)),
      completions_(poller_->completions()),
      file_completions_(poller_->file_completions()),
      remote_(std::make_shared<RemoteQueue>(*poller_)) {}

SLUICE_INLINE LoopCore::~LoopCore() {
    SLUICE_ASSERT(attached_.empty());
    free_retired();
}

SLUICE_INLINE DatagramArea& LoopCore::make_datagram_area() {
    datagram_area_ = std::make_unique<DatagramArea>();
    return *datagram_area_;
}

SLUICE_INLINE LoopCore*& core_of_this_thread() noexcept {
    static thread_local LoopCore* core = nullptr;
    return core;
}

SLUICE_INLINE LoopCore* LoopCore::running_here() noexcept {
    return core_of_this_thread();
}

SLUICE_INLINE void LoopCore::forget_running_here() noexcept {
    core_of_this_thread() = nullptr;
}

SLUICE_INLINE void LoopCore::run_once(std::optional<Duration> timeout) {
    if (running_) {
        throw std::logic_error("run_once() called from inside the running event loop");
    }
    running_ = true;
    LoopCore* const outer = std::exchange(core_of_this_thread(), this);
    const std::optional<Duration> due = next_timeout();
    if (due && (!timeout || *due < *timeout)) {
        timeout = due;
    }
    if (timeout && *timeout > limits::poll_wait_max) {
        timeout = limits::poll_wait_max;
    }
    if (observer_ == nullptr) [[likely]] {
        run_phases(poller_->wait(timeout, batch_));
    } else {
        run_observed(timeout);
    }
    core_of_this_thread() = outer;
    running_ = false;
}

SLUICE_INLINE void LoopCore::run_phases(std::size_t collected) noexcept {
    ++counters.iterations;
    counters.readiness_events += collected;
    batch_next_ = 0;
    batch_end_ = collected;
    handshake_turns_ = limits::tls_handshake_turns;
    if (completions_ != nullptr) {
        completions_->report_sends();
    }
    if (file_completions_ != nullptr) {
        file_completions_->report_reads();
    }
    // Callbacks queued before this iteration run before what the wait collected: asyncio's order,
    // on which "the awaiting caller runs before the first data arrives" rests.
    run_ready_phase();
    dispatch_batch(collected);
    run_timer_phase();
    free_retired();
}

SLUICE_INLINE void LoopCore::run_observed(std::optional<Duration> timeout) noexcept {
    const TimePoint before = sys::now();
    const std::size_t collected = poller_->wait(timeout, batch_);
    const TimePoint woken = sys::now();
    run_phases(collected);
    // A callback may have taken the observer away.
    if (observer_ != nullptr) {
        observer_->on_iteration(woken - before, sys::now() - woken, collected);
    }
}

SLUICE_INLINE std::optional<Duration> LoopCore::next_timeout() const noexcept {
    const bool something_to_free = !retired_.empty() || gather_pool_.has_retired();
    if (!ready_.empty() || something_to_free || exit_ != nullptr) {
        return Duration::zero();
    }
    if (timers_.empty()) {
        return std::nullopt;
    }
    // Compared first: the difference to a deadline in the far past would overflow.
    const TimePoint now = sys::now();
    return timers_.earliest() <= now ? Duration::zero() : timers_.earliest() - now;
}

SLUICE_INLINE void LoopCore::run_ready_phase() noexcept {
    remote_->take(remote_batch_);
    // The batch is what was queued before: a callback that reschedules itself for ever must not
    // starve I/O.
    IntrusiveList<Ready> batch;
    batch.splice_back(ready_);
    while (!batch.empty()) {
        batch.pop_front().on_ready_phase();
    }
    for (Callback& callback : remote_batch_) {
        dispatch(*this, {.name = "call_soon_threadsafe() callback"}, callback);
    }
    remote_batch_.clear();
}

SLUICE_INLINE void LoopCore::dispatch_batch(std::size_t count) noexcept {
    while (batch_next_ < count) {
        const ReadyEvent event = batch_[batch_next_++];
        if (event.watcher != nullptr) {
            event.watcher->on_ready(event.events);
        }
    }
    batch_end_ = 0;
}

SLUICE_INLINE void LoopCore::run_timer_phase() noexcept {
    if (timers_.empty()) {
        return;
    }
    // A timer set by a timer waits for the next iteration, even if it is due.
    const std::uint64_t sequence_end = timers_.next_sequence();
    const TimePoint now = sys::now();
    while (Timer* timer = timers_.pop_due(now, sequence_end)) {
        ++counters.timers_fired;
        timer->on_timer();
    }
}

SLUICE_INLINE void LoopCore::read_iteration_time() noexcept {
    iteration_time_ = sys::now();
    time_of_iteration_ = counters.iterations;
}

SLUICE_INLINE void LoopCore::flush_dirty() noexcept {
    // Flushing can call pause_writing or resume_writing, whose writes make transports dirty again.
    // Staying inside a callback here keeps this the one loop that flushes them, however deep they
    // nest.
    ++callback_depth_;
    while (!dirty_.empty()) {
        dirty_.pop_front().on_flush();
    }
    --callback_depth_;
}

SLUICE_INLINE std::error_code LoopCore::watch(Watcher& watcher, int fd,
                                              Readiness interest) noexcept {
    if (watcher.interest_ == interest) {
        return {};
    }
    if (interest == Readiness::none) {
        unwatch(watcher, fd);
        return {};
    }
    const std::error_code error = watcher.interest_ == Readiness::none
                                      ? poller_->add(watcher, fd, interest)
                                      : poller_->modify(watcher, fd, interest);
    if (!error) {
        watcher.interest_ = interest;
    }
    return error;
}

SLUICE_INLINE void LoopCore::unwatch(Watcher& watcher, int fd) noexcept {
    if (watcher.interest_ == Readiness::none) {
        return;
    }
    poller_->remove(fd);
    watcher.interest_ = Readiness::none;
    forget_events_of(watcher);
}

SLUICE_INLINE void LoopCore::forget_events_of(const Watcher& watcher) noexcept {
    for (std::size_t index = batch_next_; index < batch_end_; ++index) {
        if (batch_[index].watcher == &watcher) {
            batch_[index].watcher = nullptr;
        }
    }
}

SLUICE_INLINE void LoopCore::own_descriptor(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= owned_descriptors_.size()) {
        owned_descriptors_.resize(std::max(index + 1, owned_descriptors_.size() * 2));
    }
    owned_descriptors_[index] = true;
}

SLUICE_INLINE void LoopCore::disown_descriptor(int fd) noexcept {
    owned_descriptors_[static_cast<std::size_t>(fd)] = false;
}

SLUICE_INLINE bool LoopCore::owns_descriptor(int fd) const noexcept {
    const auto index = static_cast<std::size_t>(fd);
    return index < owned_descriptors_.size() && owned_descriptors_[index];
}

SLUICE_INLINE void LoopCore::report(const ExceptionContext& context) noexcept {
    ++counters.exceptions_reported;
    if (exception_handler_) {
        try {
            exception_handler_(context);
            return;
        } catch (const StopLoop&) {
            exit_with(std::current_exception());
            return;
        } catch (...) {
            std::fputs("sluice: the exception handler itself failed; the report it was given:\n",
                       stderr);
        }
    }
    try {
        std::fprintf(stderr, "sluice: %s\n", to_string(context).c_str());
    } catch (...) {
        std::fputs("sluice: an error could not be reported for lack of memory\n", stderr);
    }
}

SLUICE_INLINE void LoopCore::report_not_made() noexcept {
    ++counters.exceptions_reported;
    std::fputs("sluice: an error could not be reported for lack of memory\n", stderr);
}

SLUICE_INLINE void LoopCore::set_exception_handler(
    std::function<void(const ExceptionContext&)> handler) {
    exception_handler_ = std::move(handler);
}

SLUICE_INLINE void LoopCore::exit_with(std::exception_ptr exception) noexcept {
    if (exit_ == nullptr) {
        exit_ = std::move(exception);
    }
}

SLUICE_INLINE void LoopCore::check_thread_slow(const char* what) const {
    if (!owner_.is_current_or_unbound()) {
        throw std::logic_error(std::string("Non-thread-safe operation: ") + what +
                               " called on a thread that is not the event loop's");
    }
}

SLUICE_INLINE void LoopCore::free_retired() noexcept {
    // Each may lead to the other: a Buffer may hold the last reference to a transport.
    gather_pool_.release_retired();
    while (!retired_.empty()) {
        retired_.pop_front().destroy();
        gather_pool_.release_retired();
    }
}

SLUICE_INLINE void LoopCore::close() noexcept {
    while (!attached_.empty()) {
        attached_.pop_front().on_detach();
    }
    // Closures may own whatever they captured; they go while the loop still exists.
    remote_->close().clear();
    while (!ready_.empty()) {
        ready_.pop_front().on_loop_closed();
    }
    while (!timers_.empty()) {
        timers_.pop_any().on_loop_closed();
    }
    free_retired();
}

}  // namespace sluice::inline v0_1::detail
