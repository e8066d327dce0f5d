// kqueue(2) behind the sys seam.
#pragma once

#include <sluice/detail/sys_kqueue.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include <fcntl.h>
#include <sys/event.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<int> open_kqueue() noexcept {
    const int fd = ::kqueue();
    if (fd < 0) {
        return Result<int>::failure(errno);
    }
    // A child that is forked does not inherit it, but execve(2) in this process would.
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        const int error = errno;
        ::close(fd);
        return Result<int>::failure(error);
    }
    return fd;
}

SLUICE_INLINE std::error_code kqueue_change(int kqueue_fd,
                                            std::span<struct kevent> changes) noexcept {
    const auto count = static_cast<int>(changes.size());
    // Receipts fill the list, so the call neither sleeps nor collects events.
    const int receipts = ::kevent(kqueue_fd, changes.data(), count, changes.data(), count, nullptr);
    if (receipts < 0) {
        return {errno, std::system_category()};
    }
    for (const struct kevent& receipt : changes.first(static_cast<std::size_t>(receipts))) {
        if (receipt.data != 0) {
            return {static_cast<int>(receipt.data), std::system_category()};
        }
    }
    return {};
}

SLUICE_INLINE std::size_t kqueue_wait(int kqueue_fd, std::span<struct kevent> events,
                                      std::optional<Duration> timeout) noexcept {
    timespec limit{};
    if (timeout) {
        const std::chrono::nanoseconds rest = std::max(*timeout, Duration::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(rest);
        limit.tv_sec = static_cast<decltype(limit.tv_sec)>(seconds.count());
        limit.tv_nsec = static_cast<decltype(limit.tv_nsec)>((rest - seconds).count());
    }
    const int count = ::kevent(kqueue_fd, nullptr, 0, events.data(),
                               static_cast<int>(events.size()), timeout ? &limit : nullptr);
    // Anything but an interruption means that the queue is not there, as in the child of a fork.
    SLUICE_ASSERT(count >= 0 || errno == EINTR);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
}

}  // namespace sluice::inline v0_1::detail::sys
