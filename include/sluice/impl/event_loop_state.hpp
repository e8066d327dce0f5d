// What an EventLoop owns besides its core. Private to the .ipp files of event_loop.hpp.
#pragma once

#include <sluice/detail/backend_choice.hpp>
#include <sluice/detail/dispatch.hpp>
#include <sluice/detail/executor.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/event_loop.hpp>

#include <map>
#include <memory>
#include <string>

namespace sluice::inline v0_1 {

namespace detail {

/// Waits, once, for one direction of a descriptor.
class DescriptorWaiter {
public:
    /// It may be ready, and is not watched any more. From the loop; must not call user code.
    virtual void on_descriptor_ready() noexcept = 0;

protected:
    ~DescriptorWaiter() = default;
};

/// Callbacks of add_reader() and add_writer() for one descriptor, or who uses a direction instead.
class DescriptorCallbacks final : public Watcher, public Retired {
public:
    DescriptorCallbacks(LoopCore& core, int fd) noexcept : core_(core), fd_(fd) {}

    /// Sets (or with null removes) the callback of one direction. Throws std::system_error if the
    /// system refuses.
    void set(Readiness direction, std::shared_ptr<Callback> callback);
    [[nodiscard]] bool has_callback(Readiness direction) const noexcept {
        return (direction == Readiness::readable ? reader_ : writer_) != nullptr;
    }
    [[nodiscard]] bool unused() const noexcept {
        return reader_ == nullptr && writer_ == nullptr && used_ == Readiness::none;
    }
    /// Reserves a direction. False if it is used or has a callback.
    [[nodiscard]] bool use(Readiness direction) noexcept;
    void end_use(Readiness direction) noexcept { used_ = used_ - direction; }
    [[nodiscard]] bool in_use(Readiness direction) const noexcept { return has(used_, direction); }
    /// Tells `waiter` once; by whoever uses that direction.
    [[nodiscard]] std::error_code wait(Readiness direction, DescriptorWaiter& waiter) noexcept;
    void forget_waiter(Readiness direction) noexcept;
    /// Unregisters; the descriptor may be closed afterwards.
    void release() noexcept;

    void destroy() noexcept override { delete this; }

private:
    void on_ready(Readiness events) noexcept override;
    void wake(Readiness events) noexcept;
    [[nodiscard]] DescriptorWaiter*& waiter(Readiness direction) noexcept {
        return direction == Readiness::readable ? read_waiter_ : write_waiter_;
    }

    LoopCore& core_;
    int fd_;
    Readiness used_ = Readiness::none;
    DescriptorWaiter* read_waiter_ = nullptr;
    DescriptorWaiter* write_waiter_ = nullptr;
    // Shared, so that a callback that removes itself is not destroyed while it runs.
    std::shared_ptr<Callback> reader_;
    std::shared_ptr<Callback> writer_;
};

/// Throws std::logic_error if `fd` belongs to a transport or a listener.
void check_foreign(const LoopCore& core, int fd, const char* method);
/// Throws std::logic_error if a socket call uses that direction.
void check_unused(const DescriptorCallbacks& callbacks, int fd, Readiness direction);

using DescriptorMap = std::map<int, std::unique_ptr<DescriptorCallbacks>>;

/// Throws std::invalid_argument, naming `method`, if there is nothing to call.
void check_callback(const Callback& callback, const char* method);

/// Ends the handling of every signal by this process's loops, without touching dispositions.
void forget_signals() noexcept;

/// Signals that this loop handles: a descriptor the signal handler writes to.
class SignalWatcher final : public Watcher {
public:
    explicit SignalWatcher(LoopCore& core);
    ~SignalWatcher();

    void add(int signal_number, Callback callback);
    bool remove(int signal_number) noexcept;

private:
    void on_ready(Readiness events) noexcept override;

    LoopCore& core_;
    Descriptor wake_;
    std::map<int, std::shared_ptr<Callback>> callbacks_;
};

/// A job of run_in_executor, from submission until its result has come back. Never leaves the
/// loop's thread.
class ExecutorJob final : public ListNode<ExecutorJob> {
public:
    explicit ExecutorJob(Callback on_done) noexcept : on_done_(std::move(on_done)) {}
    void finish() { on_done_(); }

private:
    Callback on_done_;
};

}  // namespace detail

struct EventLoop::State {
    explicit State(detail::PollerChoice choice)
        : core(std::move(choice.poller)), instead_of(std::move(choice.instead_of)) {
        core.set_workers(executor);
    }

    detail::LoopCore core;
    std::string instead_of;
    detail::IntrusiveList<detail::TaskRoot> tasks;
    detail::IntrusiveList<detail::ExecutorJob> jobs;
    detail::IntrusiveList<detail::RemoteSlot> remote_slots;
    detail::DescriptorMap descriptors;
    std::unique_ptr<detail::SignalWatcher> signals;
    detail::Executor executor;
    bool running = false;
    bool stopping = false;
    bool closed = false;
};

}  // namespace sluice::inline v0_1
