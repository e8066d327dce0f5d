// kqueue(2) of the simulated system, over its epoll(7): the same faults then hit the kqueue backend, each
// filter by itself, under the same rules.
//
// What is watched of a descriptor is one registration there: a filter is a bit of its events, and both have
// the watcher that was given last. The one user event is the counter of the queue itself.
#include <sluice/detail/sys.hpp>
#include <sluice/detail/sys_kqueue.hpp>

#include "support/sys_sim_machine.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>
#include <sys/event.h>

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimMachine;
using test::SimSocket;

namespace {

using Event = struct kevent;

constexpr std::size_t most_descriptors = 64;

Event event_of(const epoll_event& ready, int filter, bool ended) {
    Event event{};
    event.filter = static_cast<std::int16_t>(filter);
    event.flags = ended ? EV_EOF : 0;
    event.udata = ready.data.ptr;
    return event;
}

std::error_code trigger(SimSocket& queue, const Event& wanted) {
    if ((wanted.fflags & NOTE_TRIGGER) != 0) {
        ++queue.counter;
    }
    return {};
}

std::error_code remove_filter(SimSocket& queue, int queue_fd, int fd, std::uint32_t bit) {
    const auto found = queue.watched.find(fd);
    if (found == queue.watched.end() || (found->second.events & bit) == 0) {
        return {ENOENT, std::system_category()};
    }
    if (found->second.events == bit) {
        epoll_remove(queue_fd, fd);
    } else {
        // Not by epoll_modify(), which may fail where a deletion cannot.
        found->second.events &= ~bit;
    }
    return {};
}

std::error_code change(int queue_fd, const Event& wanted) {
    SimMachine& machine = SimMachine::current();
    SimSocket* const queue = machine.find(queue_fd, "kevent");
    if (queue == nullptr) {
        return {EBADF, std::system_category()};
    }
    if (wanted.filter == EVFILT_USER) {
        return trigger(*queue, wanted);
    }
    const auto fd = static_cast<int>(wanted.ident);
    const std::uint32_t bit = wanted.filter == EVFILT_READ ? EPOLLIN : EPOLLOUT;
    if ((wanted.flags & EV_DELETE) != 0) {
        return remove_filter(*queue, queue_fd, fd, bit);
    }
    const auto found = queue->watched.find(fd);
    return found == queue->watched.end()
               ? epoll_add(queue_fd, fd, bit, wanted.udata)
               : epoll_modify(queue_fd, fd, found->second.events | bit, wanted.udata);
}

/// The events of one descriptor, in either order.
std::size_t deliver(SimMachine& machine, SimSocket& queue, const epoll_event& ready,
                    std::uint32_t filters, std::span<Event> into) {
    std::size_t count = 0;
    if ((filters & EPOLLIN) != 0 && (ready.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        into[count++] = event_of(ready, EVFILT_READ, (ready.events & EPOLLHUP) != 0);
    }
    if ((filters & EPOLLOUT) != 0 && (ready.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        into[count++] = event_of(ready, EVFILT_WRITE, (ready.events & EPOLLHUP) != 0);
    }
    if (count == 2 && machine.fault(queue.random, machine.kernel.faults.reorder)) {
        std::swap(into[0], into[1]);
    }
    return count;
}

/// The filters that `watcher` has. It watches one descriptor.
std::uint32_t filters_of(const SimSocket& queue, const void* watcher) {
    const auto found =
        std::find_if(queue.watched.begin(), queue.watched.end(),
                     [watcher](const auto& each) { return each.second.user == watcher; });
    return found == queue.watched.end() ? 0 : found->second.events;
}

}  // namespace

Result<int> open_kqueue() noexcept {
    return epoll_create();
}

std::error_code kqueue_change(int kqueue_fd, std::span<struct kevent> changes) noexcept {
    const InSimKernel inside;
    std::error_code first;
    for (const Event& wanted : changes) {
        const std::error_code error = change(kqueue_fd, wanted);
        first = first ? first : error;
    }
    return first;
}

std::size_t kqueue_wait(int kqueue_fd, std::span<struct kevent> events,
                        std::optional<Duration> timeout) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    std::array<epoll_event, most_descriptors> ready;
    const std::size_t room = std::min(events.size() / 2, ready.size());
    const std::size_t descriptors = epoll_wait(kqueue_fd, std::span(ready).first(room), timeout);
    SimSocket* const queue = machine.find(kqueue_fd, "kevent");
    std::size_t count = 0;
    for (const epoll_event& each : std::span(ready).first(descriptors)) {
        if (each.data.ptr == nullptr) {
            queue->counter = 0;
            events[count++] = event_of(each, EVFILT_USER, false);
        } else {
            count += deliver(machine, *queue, each, filters_of(*queue, each.data.ptr),
                             events.subspan(count));
        }
    }
    return count;
}

}  // namespace sluice::inline v0_1::detail::sys
