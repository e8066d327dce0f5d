// The kqueue backend. Knows descriptors and watchers' addresses, not what they are.
//
// Changes are made at once and not handed in with the next wait: add() has to tell whether the
// system can wait for the descriptor, and a deletion that came late would find the number closed or
// somebody else's.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/kqueue.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_kqueue.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <cstdint>

#include <sys/event.h>

namespace sluice::inline v0_1::detail {

class KqueuePoller final : public Poller {
public:
    KqueuePoller() {
        const Result<int> opened = sys::open_kqueue();
        if (!opened.ok()) {
            throw std::system_error(opened.error(), "kqueue");
        }
        kqueue_ = Descriptor(opened.value());
        // EV_CLEAR: delivered once for all the wakes before it.
        if (const std::error_code error = change_wake(EV_ADD | EV_CLEAR, 0)) {
            throw std::system_error(error, "kevent");
        }
    }

    std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept override {
        // Of a regular file the system would tell when it is not at its end, and nothing after that.
        const Result<sys::FileStatus> status = sys::file_status(fd);
        if (!status.ok()) {
            return status.error();
        }
        if (status.value().regular || status.value().directory) {
            return std::make_error_code(std::errc::operation_not_permitted);
        }
        const std::error_code error = change(fd, interest, EV_ADD, &watcher);
        if (!error) {
            return {};
        }
        // The other direction may have been taken.
        remove(fd);
        return cannot_be_waited_for(error)
                   ? std::make_error_code(std::errc::operation_not_permitted)
                   : error;
    }

    std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept override {
        const Readiness before = watcher.interest();
        // First what can fail. It is one direction at most, as the other one is watched already.
        if (const std::error_code error = change(fd, interest - before, EV_ADD, &watcher)) {
            return error;
        }
        static_cast<void>(change(fd, before - interest, EV_DELETE, nullptr));
        return {};
    }

    void remove(int fd) noexcept override {
        // ENOENT for a direction that is not watched; EBADF for a descriptor that somebody closed
        // behind our back, with which its knotes went.
        static_cast<void>(change(fd, Readiness::both, EV_DELETE, nullptr));
    }

    std::size_t wait(std::optional<Duration> timeout,
                     std::span<ReadyEvent> batch) noexcept override {
        const std::size_t room = std::min(batch.size(), events_.size());
        const std::size_t count =
            sys::kqueue_wait(kqueue_.get(), std::span(events_).first(room), timeout);
        std::size_t collected = 0;
        for (const KernelEvent& event : std::span(events_).first(count)) {
            if (event.filter != EVFILT_USER) {
                batch[collected++] = {static_cast<Watcher*>(event.udata), readiness(event)};
            }
        }
        return collected;
    }

    void wake() noexcept override {
        // The event exists as long as the queue does, so this cannot fail.
        static_cast<void>(change_wake(0, NOTE_TRIGGER));
    }

    const char* name() const noexcept override { return "kqueue"; }
    int pollable_fd() noexcept override { return kqueue_.get(); }

private:
    using KernelEvent = struct kevent;
    using Filter = decltype(KernelEvent::filter);
    using Flags = decltype(KernelEvent::flags);

    std::error_code change(int fd, Readiness directions, unsigned action,
                           Watcher* watcher) noexcept {
        std::array<KernelEvent, 2> changes{};
        std::size_t count = 0;
        const auto append = [&](int filter) {
            KernelEvent& change = changes[count++];
            change.ident = static_cast<std::uintptr_t>(fd);
            change.filter = static_cast<Filter>(filter);
            change.flags = static_cast<Flags>(action | EV_RECEIPT);
            change.udata = watcher;
        };
        if (has(directions, Readiness::readable)) {
            append(EVFILT_READ);
        }
        if (has(directions, Readiness::writable)) {
            append(EVFILT_WRITE);
        }
        return count == 0 ? std::error_code()
                          : sys::kqueue_change(kqueue_.get(), std::span(changes).first(count));
    }

    std::error_code change_wake(unsigned action, unsigned note) noexcept {
        KernelEvent change{};
        change.filter = EVFILT_USER;
        change.flags = static_cast<Flags>(action | EV_RECEIPT);
        change.fflags = note;
        return sys::kqueue_change(kqueue_.get(), std::span(&change, 1));
    }

    /// What systems say of a device without such a filter.
    static bool cannot_be_waited_for(std::error_code error) noexcept {
        return error == std::errc::invalid_argument || error == std::errc::not_supported ||
               error == std::errc::operation_not_supported || error == std::errc::no_such_device;
    }

    static Readiness readiness(const KernelEvent& event) noexcept {
        if (event.filter == EVFILT_READ) {
            // With EV_EOF the peer has said all: it may still listen, so this is no hang-up.
            return Readiness::readable;
        }
        // With EV_EOF nobody listens any more. Whoever reads or writes then learns why; fflags is
        // no more than a hint.
        return (event.flags & EV_EOF) != 0 ? Readiness::both : Readiness::writable;
    }

    Descriptor kqueue_;
    std::array<KernelEvent, limits::poll_batch_events> events_;
};

SLUICE_INLINE std::unique_ptr<Poller> make_kqueue_poller() {
    return std::make_unique<KqueuePoller>();
}

}  // namespace sluice::inline v0_1::detail
