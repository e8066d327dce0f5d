// epoll(7) behind the sys seam.
#pragma once

#include <sluice/detail/sys.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>

#include <sys/epoll.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<int> epoll_create() noexcept {
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    return fd >= 0 ? Result<int>(fd) : Result<int>::failure(errno);
}

SLUICE_INLINE std::error_code epoll_control(int epoll_fd, int operation, int fd,
                                            std::uint32_t events, void* user) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = user;
    if (::epoll_ctl(epoll_fd, operation, fd, &event) == 0) {
        return {};
    }
    return {errno, std::system_category()};
}

SLUICE_INLINE std::error_code epoll_add(int epoll_fd, int fd, std::uint32_t events,
                                        void* user) noexcept {
    return epoll_control(epoll_fd, EPOLL_CTL_ADD, fd, events, user);
}

SLUICE_INLINE std::error_code epoll_modify(int epoll_fd, int fd, std::uint32_t events,
                                           void* user) noexcept {
    return epoll_control(epoll_fd, EPOLL_CTL_MOD, fd, events, user);
}

SLUICE_INLINE void epoll_remove(int epoll_fd, int fd) noexcept {
    // Fails only for a descriptor that somebody closed behind our back, which epoll has forgotten
    // then.
    static_cast<void>(epoll_control(epoll_fd, EPOLL_CTL_DEL, fd, 0, nullptr));
}

SLUICE_INLINE std::size_t epoll_wait(int epoll_fd, std::span<epoll_event> events,
                                     std::optional<Duration> timeout) noexcept {
    int timeout_ms = -1;
    if (timeout) {
        const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(*timeout).count();
        timeout_ms =
            static_cast<int>(std::clamp<std::int64_t>(rounded, 0, std::numeric_limits<int>::max()));
    }
    const int count =
        ::epoll_wait(epoll_fd, events.data(), static_cast<int>(events.size()), timeout_ms);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

}  // namespace sluice::inline v0_1::detail::sys
