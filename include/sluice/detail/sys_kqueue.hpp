// The part of the sys seam that systems with kqueue(2) have.
#pragma once

#include <sluice/detail/result.hpp>
#include <sluice/detail/timer_heap.hpp>

#include <optional>
#include <span>

struct kevent;  // <sys/event.h>; only the kqueue backend looks inside

namespace sluice::inline v0_1::detail::sys {

Result<int> open_kqueue() noexcept;
/// Makes every change that can be made and gives the error of the first that cannot. Each must ask
/// for its receipt (EV_RECEIPT), for which it gives its place.
std::error_code kqueue_change(int kqueue_fd, std::span<struct kevent> changes) noexcept;
/// Interrupted and timed out both give 0.
std::size_t kqueue_wait(int kqueue_fd, std::span<struct kevent> events,
                        std::optional<Duration> timeout) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && SLUICE_HAS_KQUEUE
#include <sluice/impl/sys_kqueue.ipp>
#endif
