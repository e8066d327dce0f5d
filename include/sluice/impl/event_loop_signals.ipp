// Signals: the process-wide handler writes to the descriptor of the loop that asked, and the loop
// calls the user.
//
// Signal dispositions belong to the process, so this is the one place with global state: per
// signal, the descriptor to write to.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/sys.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>

namespace sluice::inline v0_1 {

namespace detail {

struct SignalSlot {
    std::atomic<int> wake_fd{Descriptor::none};
    std::atomic<bool> pending{false};
    std::atomic<int> under_way{0};  // calls of note_signal(), on whatever threads

    // What a signal handler may use.
    static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);
};

inline std::array<SignalSlot, 65> signal_slots;

inline void note_signal(int signal_number) {
    SignalSlot& slot = signal_slots[static_cast<std::size_t>(signal_number)];
    slot.under_way.fetch_add(1);
    const int saved_errno = errno;
    if (const int fd = slot.wake_fd.load(); fd != Descriptor::none) {
        slot.pending.store(true);
        sys::signal_wake(fd);
    }
    errno = saved_errno;
    slot.under_way.fetch_sub(1);
}

SLUICE_INLINE void forget_signals() noexcept {
    for (SignalSlot& slot : signal_slots) {
        slot.wake_fd = Descriptor::none;
        slot.pending = false;
        slot.under_way = 0;
    }
}

/// A handler on another thread (Windows has one for Ctrl+C) may have seen the descriptor just before it was
/// taken away, which may be closed next, and its number be another connection's.
inline void wait_for_handlers(const SignalSlot& slot) noexcept {
    constexpr int yields = 100;
    // Less than none where a handler forked: it ends in the child, which has forgotten its beginning.
    for (int round = 0; slot.under_way.load() > 0; ++round) {
        if (round < yields) {
            std::this_thread::yield();
        } else {
            // That thread may have less priority than this one.
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
}

SLUICE_INLINE SignalWatcher::SignalWatcher(LoopCore& core) : core_(core) {
    const Result<int> opened = sys::open_wake();
    if (!opened.ok()) {
        throw std::system_error(opened.error(), "cannot open a descriptor for signals");
    }
    wake_ = Descriptor(opened.value());
    if (const std::error_code error = core_.watch(*this, wake_.get(), Readiness::readable)) {
        throw std::system_error(error, "cannot watch the descriptor for signals");
    }
}

SLUICE_INLINE SignalWatcher::~SignalWatcher() {
    while (!callbacks_.empty()) {
        remove(callbacks_.begin()->first);
    }
    core_.unwatch(*this, wake_.get());
}

SLUICE_INLINE void SignalWatcher::add(int signal_number, Callback callback) {
    auto shared = std::make_shared<Callback>(std::move(callback));
    SignalSlot& slot = signal_slots[static_cast<std::size_t>(signal_number)];
    int expected = Descriptor::none;
    if (slot.wake_fd.compare_exchange_strong(expected, wake_.get())) {
        // One that came while the last owner removed its handler was for that one.
        slot.pending = false;
    } else if (expected != wake_.get()) {
        throw std::logic_error("signal " + std::to_string(signal_number) +
                               " is handled by another event loop");
    }
    if (const std::error_code error = sys::set_signal_handler(signal_number, note_signal)) {
        slot.wake_fd = Descriptor::none;
        throw std::invalid_argument("signal " + std::to_string(signal_number) +
                                    " cannot be caught: " + error.message());
    }
    callbacks_[signal_number] = std::move(shared);
}

SLUICE_INLINE bool SignalWatcher::remove(int signal_number) noexcept {
    if (callbacks_.erase(signal_number) == 0) {
        return false;
    }
    static_cast<void>(sys::set_signal_handler(signal_number, nullptr));
    SignalSlot& slot = signal_slots[static_cast<std::size_t>(signal_number)];
    slot.wake_fd = Descriptor::none;
    wait_for_handlers(slot);
    return true;
}

SLUICE_INLINE void SignalWatcher::on_ready(Readiness) noexcept {
    sys::drain_wake(wake_.get());
    for (int number = 1; number < static_cast<int>(signal_slots.size()); ++number) {
        SignalSlot& slot = signal_slots[static_cast<std::size_t>(number)];
        const auto found = callbacks_.find(number);
        if (found == callbacks_.end() || !slot.pending.exchange(false)) {
            continue;
        }
        const std::shared_ptr<Callback> callback = found->second;
        dispatch(core_, {.name = "signal handler"}, *callback);
    }
}

}  // namespace detail

SLUICE_INLINE void EventLoop::add_signal_handler(int signal_number, Callback callback) {
    require_open("add_signal_handler");
    detail::check_callback(callback, "add_signal_handler");
    if (signal_number < 1 || signal_number >= static_cast<int>(detail::signal_slots.size())) {
        throw std::invalid_argument("signal " + std::to_string(signal_number) + " does not exist");
    }
    if (!detail::sys::is_main_thread()) {
        throw std::logic_error("add_signal_handler() works on the main thread only");
    }
    if (state_->signals == nullptr) {
        state_->signals = std::make_unique<detail::SignalWatcher>(state_->core);
    }
    state_->signals->add(signal_number, std::move(callback));
}

SLUICE_INLINE bool EventLoop::remove_signal_handler(int signal_number) {
    return state_->signals != nullptr && state_->signals->remove(signal_number);
}

}  // namespace sluice::inline v0_1
