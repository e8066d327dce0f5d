// The epoll backend. Knows descriptors and watchers' addresses, not what they are.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/epoll.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>

#include <sys/epoll.h>

namespace sluice::inline v0_1::detail {

class EpollPoller final : public Poller {
public:
    EpollPoller()
        : epoll_(checked(sys::epoll_create(), "epoll_create1")),
          wake_(checked(sys::open_wake(), "eventfd")) {
        if (const std::error_code error =
                sys::epoll_add(epoll_.get(), wake_.get(), EPOLLIN, nullptr)) {
            throw std::system_error(error, "epoll_ctl");
        }
    }

    std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept override {
        return sys::epoll_add(epoll_.get(), fd, native(interest), &watcher);
    }

    std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept override {
        return sys::epoll_modify(epoll_.get(), fd, native(interest), &watcher);
    }

    void remove(int fd) noexcept override { sys::epoll_remove(epoll_.get(), fd); }

    std::size_t wait(std::optional<Duration> timeout,
                     std::span<ReadyEvent> batch) noexcept override {
        const std::size_t room = std::min(batch.size(), events_.size());
        const std::size_t count =
            sys::epoll_wait(epoll_.get(), std::span(events_).first(room), timeout);
        std::size_t collected = 0;
        for (std::size_t index = 0; index < count; ++index) {
            const epoll_event& event = events_[index];
            if (event.data.ptr == nullptr) {
                sys::drain_wake(wake_.get());
                continue;
            }
            batch[collected++] = {static_cast<Watcher*>(event.data.ptr), readiness(event.events)};
        }
        return collected;
    }

    void wake() noexcept override { sys::signal_wake(wake_.get()); }
    const char* name() const noexcept override { return "epoll"; }
    int pollable_fd() noexcept override { return epoll_.get(); }

private:
    static Descriptor checked(Result<int> opened, const char* call) {
        if (!opened.ok()) {
            throw std::system_error(opened.error(), call);
        }
        return Descriptor(opened.value());
    }

    static std::uint32_t native(Readiness interest) noexcept {
        return (has(interest, Readiness::readable) ? std::uint32_t{EPOLLIN} : 0U) |
               (has(interest, Readiness::writable) ? std::uint32_t{EPOLLOUT} : 0U);
    }

    static Readiness readiness(std::uint32_t events) noexcept {
        // EPOLLERR and EPOLLHUP come unasked. Whoever reads or writes then learns what happened.
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
            return Readiness::both;
        }
        return ((events & EPOLLIN) != 0 ? Readiness::readable : Readiness::none) |
               ((events & EPOLLOUT) != 0 ? Readiness::writable : Readiness::none);
    }

    Descriptor epoll_;
    Descriptor wake_;
    std::array<epoll_event, limits::poll_batch_events> events_;
};

SLUICE_INLINE std::unique_ptr<Poller> make_epoll_poller() {
    return std::make_unique<EpollPoller>();
}

}  // namespace sluice::inline v0_1::detail
