// EventLoop: running, scheduling, foreign descriptors, executor, debugging.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/backend_choice.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/event_loop.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

namespace detail {

/// The loop that is running on this thread.
SLUICE_INLINE EventLoop*& running_loop() noexcept {
    static thread_local EventLoop* loop = nullptr;
    return loop;
}

/// A forked child runs none of its parent's loops and handles none of its signals.
SLUICE_INLINE void forget_parent() {
    running_loop() = nullptr;
    LoopCore::forget_running_here();
    forget_signals();
}

// ---- sleep ----

SLUICE_INLINE SleepAwaiter::~SleepAwaiter() {
    if (core_ != nullptr && scheduled()) {
        core_->cancel(*this);
    }
}

SLUICE_INLINE void SleepAwaiter::arm(TaskRoot& root) {
    // A task that was cancelled already is scheduled: without memory for a timer it would run on and
    // be resumed once more.
    if (cancelled_) {
        return;
    }
    if (delay_ <= Duration::zero()) {
        root.resume_soon();
        return;
    }
    core_ = &root.core();
    core_->schedule(static_cast<Timer&>(*this), time_after(sys::now(), delay_));
}

SLUICE_INLINE bool SleepAwaiter::cancel() noexcept {
    if (std::exchange(cancelled_, true)) {
        return false;
    }
    if (core_ != nullptr) {
        core_->cancel(*this);
    }
    resume_soon();
    return true;
}

SLUICE_INLINE void SleepAwaiter::await_resume() {
    resumed();
    if (cancelled_) {
        throw Cancelled();
    }
}

}  // namespace detail

namespace detail {

SLUICE_INLINE void check_callback(const Callback& callback, const char* method) {
    if (!callback) {
        throw std::invalid_argument(std::string(method) + "(): the callback is empty");
    }
}

}  // namespace detail

// ---- construction and running ----

SLUICE_INLINE EventLoop::EventLoop(Backend backend)
    : state_(std::make_unique<State>(detail::choose_poller(backend))) {
    static const bool prepared_for_fork = detail::sys::call_in_forked_child(detail::forget_parent);
    static_cast<void>(prepared_for_fork);
    const char* debug = std::getenv("SLUICE_DEBUG");
    set_debug(debug != nullptr && *debug != '\0');
}

SLUICE_INLINE EventLoop::~EventLoop() {
    state_->running = false;
    close();
}

SLUICE_INLINE detail::LoopCore& EventLoop::core() const noexcept {
    return state_->core;
}

SLUICE_INLINE const char* EventLoop::backend_name() const noexcept {
    return state_->core.poller().name();
}

SLUICE_INLINE std::string EventLoop::backend_report() const {
    const std::string details = state_->core.poller().features() + state_->instead_of;
    return details.empty() ? backend_name() : std::string(backend_name()) + ": " + details;
}

SLUICE_INLINE EventLoop* EventLoop::running() noexcept {
    return detail::running_loop();
}

SLUICE_INLINE void EventLoop::run_once(std::optional<Duration> timeout) {
    require_open("run_once");
    require_not_running();
    state_->running = true;
    state_->core.bind_to_this_thread();
    EventLoop* const outer = std::exchange(detail::running_loop(), this);
    state_->core.run_once(timeout);
    state_->core.send_what_is_held();
    detail::running_loop() = outer;
    state_->running = false;
    if (const std::exception_ptr exit = state_->core.take_exit()) {
        std::rethrow_exception(exit);
    }
}

SLUICE_INLINE void EventLoop::run_forever() {
    require_open("run_forever");
    require_not_running();
    if (running() != nullptr) {
        throw std::logic_error("Cannot run the event loop while another loop is running");
    }
    state_->running = true;
    state_->core.bind_to_this_thread();
    detail::running_loop() = this;
    do {
        state_->core.run_once(state_->stopping ? std::optional(Duration::zero()) : std::nullopt);
    } while (!state_->stopping && !state_->core.exit_requested());
    state_->core.send_what_is_held();
    detail::running_loop() = nullptr;
    state_->running = false;
    state_->stopping = false;
    if (const std::exception_ptr exit = state_->core.take_exit()) {
        std::rethrow_exception(exit);
    }
}

SLUICE_INLINE void EventLoop::stop() noexcept {
    state_->stopping = true;
}

SLUICE_INLINE void EventLoop::close() {
    if (state_->closed) {
        return;
    }
    if (state_->running) {
        throw std::logic_error("Cannot close a running event loop");
    }
    // Whoever closes the loop is its last owner, on whatever thread it ran before.
    state_->core.bind_to_this_thread();
    // Suspended coroutines go first, while what their destructors may call still works; the youngest
    // before those that started it, since it may refer to their variables.
    while (!state_->tasks.empty()) {
        detail::TaskRoot& task = state_->tasks.pop_back();
        if (get_debug() && !task.completion().done()) {
            call_exception_handler({.message = "Task was destroyed but it is pending",
                                    .exception = {},
                                    .error = {},
                                    .where = task.where()});
        }
        task.leave_loop();
    }
    state_->closed = true;
    state_->signals.reset();
    for (auto& [fd, callbacks] : state_->descriptors) {
        callbacks->release();
    }
    state_->descriptors.clear();
    state_->executor.shutdown();
    state_->core.close();
    while (!state_->jobs.empty()) {
        delete &state_->jobs.pop_front();
    }
    while (!state_->remote_slots.empty()) {
        delete &state_->remote_slots.pop_front();
    }
}

SLUICE_INLINE bool EventLoop::is_running() const noexcept {
    return state_->running;
}

SLUICE_INLINE bool EventLoop::is_closed() const noexcept {
    return state_->closed;
}

SLUICE_INLINE int EventLoop::pollable_fd() const noexcept {
    return state_->core.poller().pollable_fd();
}

SLUICE_INLINE std::optional<Duration> EventLoop::next_timeout() const noexcept {
    return state_->core.next_timeout();
}

SLUICE_INLINE void EventLoop::require_open(const char* method) const {
    if (state_->closed) {
        throw std::logic_error(std::string(method) + "(): Event loop is closed");
    }
}

SLUICE_INLINE void EventLoop::require_not_running() const {
    if (state_->running) {
        throw std::logic_error("This event loop is already running");
    }
}

// ---- scheduling ----

SLUICE_INLINE Handle EventLoop::call_soon(Callback callback, std::source_location where) {
    require_open("call_soon");
    detail::check_callback(callback, "call_soon");
    state_->core.check_thread("EventLoop::call_soon()");
    Ref<detail::ScheduledCallback> scheduled(
        new detail::ScheduledCallback(state_->core, std::move(callback), where));
    scheduled->run_soon();
    return Handle(std::move(scheduled));
}

SLUICE_INLINE void EventLoop::call_soon_threadsafe(Callback callback, std::source_location where) {
    detail::check_callback(callback, "call_soon_threadsafe");
    if (running() == this) {
        // On the loop's own thread the order with call_soon() holds.
        call_soon(std::move(callback), where);
    } else if (!state_->core.remote()->post(callback)) {
        throw std::logic_error("call_soon_threadsafe(): Event loop is closed");
    }
}

SLUICE_INLINE TimerHandle EventLoop::call_later(Duration delay, Callback callback,
                                                std::source_location where) {
    const TimePoint when = detail::time_after(time(), delay);
    return call_at(when, std::move(callback), where);
}

SLUICE_INLINE TimerHandle EventLoop::call_at(TimePoint when, Callback callback,
                                             std::source_location where) {
    require_open("call_at");
    detail::check_callback(callback, "call_at");
    state_->core.check_thread("EventLoop::call_at()");
    Ref<detail::ScheduledCallback> scheduled(
        new detail::ScheduledCallback(state_->core, std::move(callback), where));
    scheduled->run_at(when);
    return TimerHandle(std::move(scheduled));
}

SLUICE_INLINE TimePoint EventLoop::time() const noexcept {
    return detail::sys::now();
}

SLUICE_INLINE void EventLoop::adopt_task(detail::TaskRoot& task,
                                         std::source_location where) noexcept {
    state_->tasks.push_back(task);
    task.start(state_->core, where);
}

// ---- foreign descriptors ----

SLUICE_INLINE void detail::DescriptorCallbacks::set(Readiness direction,
                                                    std::shared_ptr<Callback> callback) {
    const Readiness wanted = callback != nullptr ? interest() | direction : interest() - direction;
    const std::error_code error = core_.watch(*this, fd_, wanted);
    if (error && callback != nullptr) {
        throw std::system_error(error, "cannot watch descriptor " + std::to_string(fd_));
    }
    if (error) {
        core_.unwatch(*this, fd_);
        // Without memory the other direction must not fall silent: a new registration may find
        // some. Otherwise the owner closed the descriptor too early, and nothing is left to watch.
        if (error == std::errc::not_enough_memory) {
            static_cast<void>(core_.watch(*this, fd_, wanted));
        }
    }
    (direction == Readiness::readable ? reader_ : writer_) = std::move(callback);
}

SLUICE_INLINE void detail::DescriptorCallbacks::release() noexcept {
    core_.unwatch(*this, fd_);
    reader_.reset();
    writer_.reset();
}

SLUICE_INLINE void detail::DescriptorCallbacks::on_ready(Readiness events) noexcept {
    wake(events);
    if (const auto reader = has(events, Readiness::readable) ? reader_ : nullptr) {
        dispatch(core_, {.name = "reader callback"}, *reader);
    }
    if (const auto writer = has(events, Readiness::writable) ? writer_ : nullptr) {
        dispatch(core_, {.name = "writer callback"}, *writer);
    }
}

namespace detail {

SLUICE_INLINE void check_foreign(const LoopCore& core, int fd, const char* method) {
    if (fd < 0) {
        throw std::invalid_argument(std::string(method) + "(): descriptor " + std::to_string(fd) +
                                    " is negative");
    }
    if (core.owns_descriptor(fd)) {
        throw std::logic_error(std::string(method) + "(): descriptor " + std::to_string(fd) +
                               " is used by a transport or server");
    }
}

template <class Descriptors>
void set_callback(LoopCore& core, Descriptors& descriptors, int fd, Readiness direction,
                  Callback callback) {
    auto& entry = descriptors[fd];
    try {
        if (entry == nullptr) {
            entry = std::make_unique<DescriptorCallbacks>(core, fd);
        }
        check_unused(*entry, fd, direction);
        entry->set(direction, std::make_shared<Callback>(std::move(callback)));
    } catch (...) {
        if (entry == nullptr || entry->unused()) {
            descriptors.erase(fd);
        }
        throw;
    }
}

template <class Descriptors>
bool remove_callback(LoopCore& core, Descriptors& descriptors, int fd,
                     Readiness direction) noexcept {
    const auto found = descriptors.find(fd);
    if (found == descriptors.end() || !found->second->has_callback(direction)) {
        return false;
    }
    found->second->set(direction, nullptr);
    if (found->second->unused()) {
        // It may be the one whose callback is running.
        core.retire(*found->second.release());
        descriptors.erase(found);
    }
    return true;
}

}  // namespace detail

SLUICE_INLINE void EventLoop::add_reader(int fd, Callback callback) {
    require_open("add_reader");
    detail::check_callback(callback, "add_reader");
    detail::check_foreign(state_->core, fd, "add_reader");
    detail::set_callback(state_->core, state_->descriptors, fd, detail::Readiness::readable,
                         std::move(callback));
}

SLUICE_INLINE void EventLoop::add_writer(int fd, Callback callback) {
    require_open("add_writer");
    detail::check_callback(callback, "add_writer");
    detail::check_foreign(state_->core, fd, "add_writer");
    detail::set_callback(state_->core, state_->descriptors, fd, detail::Readiness::writable,
                         std::move(callback));
}

SLUICE_INLINE bool EventLoop::remove_reader(int fd) noexcept {
    return detail::remove_callback(state_->core, state_->descriptors, fd,
                                   detail::Readiness::readable);
}

SLUICE_INLINE bool EventLoop::remove_writer(int fd) noexcept {
    return detail::remove_callback(state_->core, state_->descriptors, fd,
                                   detail::Readiness::writable);
}

// ---- executor ----

SLUICE_INLINE void EventLoop::submit_job(Callback work, Callback on_done) {
    require_open("run_in_executor");
    auto job = std::make_unique<detail::ExecutorJob>(std::move(on_done));
    // The pointer crosses to the other thread and back; only this thread looks at what it points
    // to, and not after the loop has been closed, since the queue then refuses the callback.
    state_->executor.submit([work = std::make_unique<Callback>(std::move(work)),
                             remote = state_->core.remote(), job = job.get()]() mutable {
        (*work)();
        work.reset();
        Callback finish([job] {
            const std::unique_ptr<detail::ExecutorJob> owner(job);
            job->finish();
        });
        remote->post(finish);
    });
    state_->jobs.push_back(*job.release());
}

SLUICE_INLINE const std::shared_ptr<detail::RemoteQueue>& EventLoop::remote_queue() const noexcept {
    return state_->core.remote();
}

SLUICE_INLINE detail::RemoteSlot* EventLoop::hold_for_remote(Ref<RefCounted> object) {
    require_open("remote_ref");
    state_->core.check_thread("EventLoop::remote_ref()");
    auto* slot = new detail::RemoteSlot;
    slot->object = std::move(object);
    state_->remote_slots.push_back(*slot);
    return slot;
}

SLUICE_INLINE Task<bool> EventLoop::shutdown_default_executor(std::optional<Duration> timeout) {
    Future<bool> ended = create_future<bool>();
    state_->executor.shutdown();
    auto job = std::make_unique<detail::ExecutorJob>([ended] { ended.try_set_result(true); });
    const bool idle = state_->executor.when_idle([remote = state_->core.remote(), job = job.get()] {
        Callback finish([job] {
            const std::unique_ptr<detail::ExecutorJob> owner(job);
            job->finish();
        });
        remote->post(finish);
    });
    if (idle) {
        co_return true;
    }
    state_->jobs.push_back(*job.release());
    TimerHandle timer;
    if (timeout) {
        timer = call_later(*timeout, [ended] { ended.try_set_result(false); });
    }
    const bool all_ended = co_await ended;
    timer.cancel();
    co_return all_ended;
}

// ---- errors and debugging ----

SLUICE_INLINE void EventLoop::set_exception_handler(
    std::function<void(const ExceptionContext&)> handler) {
    state_->core.set_exception_handler(std::move(handler));
}

SLUICE_INLINE void EventLoop::call_exception_handler(const ExceptionContext& context) noexcept {
    state_->core.report(context);
}

SLUICE_INLINE void EventLoop::set_debug(bool on) noexcept {
    state_->core.set_debug(on);
}

SLUICE_INLINE bool EventLoop::get_debug() const noexcept {
    return state_->core.debug();
}

SLUICE_INLINE void EventLoop::set_slow_callback_duration(Duration duration) noexcept {
    state_->core.slow_callback_duration = duration;
}

SLUICE_INLINE LoopCounters EventLoop::counters() const noexcept {
    LoopCounters counters = state_->core.counters;
    counters.timers_pending = state_->core.timers_pending();
    return counters;
}

SLUICE_INLINE void EventLoop::set_observer(LoopObserver* observer) noexcept {
    state_->core.set_observer(observer);
}

SLUICE_INLINE Duration EventLoop::slow_callback_duration() const noexcept {
    return state_->core.slow_callback_duration;
}

}  // namespace sluice::inline v0_1
