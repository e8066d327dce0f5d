// What the coroutines of the socket calls wait with: one direction of a borrowed descriptor at a time.
// Private to socket_calls.ipp and socket_sendfile.ipp.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_socket_calls.hpp>
#include <sluice/event_loop.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1::detail {

// ---- waiting for a descriptor ----

SLUICE_INLINE bool DescriptorCallbacks::use(Readiness direction) noexcept {
    if (in_use(direction) || has_callback(direction)) {
        return false;
    }
    used_ = used_ | direction;
    return true;
}

SLUICE_INLINE std::error_code DescriptorCallbacks::wait(Readiness direction,
                                                        DescriptorWaiter& waiter) noexcept {
    const std::error_code error = core_.watch(*this, fd_, interest() | direction);
    if (!error) {
        this->waiter(direction) = &waiter;
    }
    return error;
}

SLUICE_INLINE void DescriptorCallbacks::forget_waiter(Readiness direction) noexcept {
    waiter(direction) = nullptr;
    const Readiness wanted = interest() - direction;
    if (core_.watch(*this, fd_, wanted)) {
        // Closed too early, or no memory: the other direction must not fall silent for that.
        core_.unwatch(*this, fd_);
        static_cast<void>(core_.watch(*this, fd_, wanted));
    }
}

SLUICE_INLINE void DescriptorCallbacks::wake(Readiness events) noexcept {
    for (const Readiness direction : {Readiness::readable, Readiness::writable}) {
        DescriptorWaiter* const ready = has(events, direction) ? waiter(direction) : nullptr;
        if (ready != nullptr) {
            // Level-triggered readiness would be told again and again until the coroutine runs.
            forget_waiter(direction);
            ready->on_descriptor_ready();
        }
    }
}

SLUICE_INLINE void check_unused(const DescriptorCallbacks& callbacks, int fd, Readiness direction) {
    if (callbacks.in_use(direction)) {
        throw std::logic_error("descriptor " + std::to_string(fd) +
                               " is in use by a socket call in this direction");
    }
}

/// Waits for what its DescriptorUse reserves.
class ReadinessAwaiter final : public LeafAwaiter, private DescriptorWaiter {
public:
    ReadinessAwaiter(DescriptorCallbacks& descriptor, Readiness direction) noexcept
        : descriptor_(descriptor), direction_(direction) {}
    ~ReadinessAwaiter() { stop(); }

    bool await_ready() const noexcept { return false; }
    template <TaskLike Promise>
    bool await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        error_ = descriptor_.wait(direction_, *this);
        waiting_ = !error_;
        if (waiting_) {
            suspend(coroutine);
        }
        return waiting_;
    }
    void await_resume() {
        resumed();
        if (cancelled_) {
            throw Cancelled();
        }
        if (error_) {
            throw std::system_error(error_, "cannot wait for a descriptor");
        }
    }

private:
    void on_descriptor_ready() noexcept override {
        waiting_ = false;
        resume_soon();
    }
    bool cancel() noexcept override {
        if (std::exchange(cancelled_, true)) {
            return false;
        }
        stop();
        resume_soon();
        return true;
    }
    void stop() noexcept {
        if (std::exchange(waiting_, false)) {
            descriptor_.forget_waiter(direction_);
        }
    }

    DescriptorCallbacks& descriptor_;
    Readiness direction_;
    std::error_code error_;
    bool waiting_ = false;
    bool cancelled_ = false;
};

/// One direction of a descriptor, for one socket call. The entry it uses stays with the loop, not
/// watched, so that later calls on that number allocate nothing.
class DescriptorUse {
public:
    DescriptorUse(LoopCore& core, DescriptorMap& descriptors, int fd, Readiness direction,
                  const char* method)
        : direction_(direction) {
        auto found = descriptors.find(fd);
        if (found == descriptors.end()) {
            // Made first: a place without an entry must not be left for want of memory.
            auto made = std::make_unique<DescriptorCallbacks>(core, fd);
            found = descriptors.emplace(fd, std::move(made)).first;
        }
        const auto& entry = found->second;
        if (!entry->use(direction)) {
            throw std::logic_error(std::string(method) + "(): descriptor " + std::to_string(fd) +
                                   (direction == Readiness::readable
                                        ? " is being read by another call or has a reader"
                                        : " is being written by another call or has a writer"));
        }
        entry_ = entry.get();
    }
    DescriptorUse(const DescriptorUse&) = delete;
    DescriptorUse& operator=(const DescriptorUse&) = delete;
    ~DescriptorUse() { entry_->end_use(direction_); }

    [[nodiscard]] ReadinessAwaiter ready() const noexcept {
        return ReadinessAwaiter(*entry_, direction_);
    }

private:
    Readiness direction_;
    DescriptorCallbacks* entry_ = nullptr;
};

// ---- what the calls have in common ----

[[noreturn]] SLUICE_INLINE void throw_socket_error(std::error_code error, const char* method,
                                                   int fd) {
    throw std::system_error(error, std::string(method) + "() on descriptor " + std::to_string(fd));
}

/// Throws what SocketCalls says is thrown at once.
SLUICE_INLINE void check_socket(const EventLoop& loop, int fd, const char* method) {
    if (loop.is_closed()) {
        throw std::logic_error(std::string(method) + "(): Event loop is closed");
    }
    loop.core().check_thread(method);
    check_foreign(loop.core(), fd, method);
    const Result<bool> nonblocking = sys::is_nonblocking(fd);
    if (!nonblocking.ok()) {
        throw_socket_error(nonblocking.error(), method, fd);
    }
    if (!nonblocking.value()) {
        throw std::invalid_argument(std::string(method) + "(): descriptor " + std::to_string(fd) +
                                    " is blocking");
    }
}

/// What a socket call works on. The loop outlives it: it destroys its tasks first.
struct Borrowed {
    LoopCore& core;
    DescriptorMap& descriptors;
    int fd;
    const char* method;

    [[nodiscard]] DescriptorUse use(Readiness direction) const {
        return DescriptorUse(core, descriptors, fd, direction, method);
    }
};

}  // namespace sluice::inline v0_1::detail
