// epoll(7) and eventfd(2) of the simulated system, and the place where time passes.
//
// Level-triggered. A wait with nothing ready moves the clock to the next thing that will happen, or
// to the timeout; with neither it reports idleness, which is a deadlock unless a test asked for it.
#include <sluice/detail/sys.hpp>

#include "support/sys_sim_machine.hpp"

#include <algorithm>
#include <cerrno>

#include <sys/epoll.h>

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimCall;
using test::SimMachine;
using test::SimRegistration;
using test::SimSocket;

namespace {

std::error_code system_error_of(int code) noexcept {
    return {code, std::system_category()};
}

Result<int> open_special(SimCall call, SimSocket::Kind kind) {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    if (const int error = machine.enter(call)) {
        return Result<int>::failure(error);
    }
    if (machine.full()) {
        return Result<int>::failure(EMFILE);
    }
    auto socket = std::make_unique<SimSocket>();
    socket->kind = kind;
    socket->random = test::SimRandom(test::SimRandom::mix(machine.seed + 17));
    const int fd = machine.add(std::move(socket));
    machine.trace("%s() = %d", to_string(call), fd);
    return fd;
}

struct Ready {
    std::uint32_t events;
    void* user;
    int fd;
};

std::vector<Ready> collect(SimMachine& machine, SimSocket& epoll) {
    std::vector<Ready> ready;
    if (epoll.counter > 0) {
        // The user event of what is a kqueue.
        ready.push_back({EPOLLIN, nullptr, -1});
    }
    for (const auto& [fd, registration] : epoll.watched) {
        SimSocket* socket = machine.find(fd, "epoll_wait");
        const std::uint32_t wanted = registration.events | EPOLLERR | EPOLLHUP;
        const std::uint32_t events = socket == nullptr ? 0 : machine.poll(*socket) & wanted;
        if (events != 0) {
            ready.push_back({events, registration.user, fd});
        }
    }
    return ready;
}

std::size_t deliver(SimMachine& machine, SimSocket& epoll, std::vector<Ready>& ready,
                    std::span<epoll_event> events) {
    if (ready.size() > 1 && machine.fault(epoll.random, machine.kernel.faults.reorder)) {
        for (std::size_t end = ready.size(); end > 1; --end) {
            std::swap(ready[end - 1], ready[epoll.random.below(end)]);
        }
    }
    std::size_t count = std::min(ready.size(), events.size());
    if (count > 1 && machine.fault(epoll.random, machine.kernel.faults.partial_batch)) {
        count = epoll.random.between(1, count - 1);
    }
    for (std::size_t index = 0; index < count; ++index) {
        events[index].events = ready[index].events;
        events[index].data.ptr = ready[index].user;
        machine.trace("    ready: %d events %#x", ready[index].fd, ready[index].events);
    }
    return count;
}

std::size_t wait_for_events(SimMachine& machine, SimSocket& epoll, std::span<epoll_event> events,
                            std::optional<TimePoint> deadline) {
    bool slept = false;
    for (;;) {
        machine.run_due_actions();
        if (machine.run_readers()) {
            continue;
        }
        std::vector<Ready> ready = collect(machine, epoll);
        if (!ready.empty() && slept &&
            machine.fault(epoll.random, machine.kernel.faults.late_wake)) {
            // The processor was busy with something else.
            slept = false;
            machine.time += machine.some_delay(epoll.random);
            continue;
        }
        if (!ready.empty()) {
            return deliver(machine, epoll, ready, events);
        }
        if (deadline && machine.time >= *deadline) {
            return 0;
        }
        const std::optional<TimePoint> next = machine.next_moment();
        if (!next && !deadline) {
            machine.idle = true;
            return 0;
        }
        slept = true;
        machine.time = !next ? *deadline : !deadline ? *next : std::min(*next, *deadline);
    }
}

std::error_code control(SimCall call, int epoll_fd, int fd, std::uint32_t events, void* user) {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    const int injected = machine.enter(call);
    SimSocket* epoll = machine.find(epoll_fd, to_string(call));
    SimSocket* socket = machine.find(fd, to_string(call));
    if (epoll == nullptr || socket == nullptr) {
        return system_error_of(EBADF);
    }
    int error = injected;
    if (error == 0 && machine.fault(socket->random, machine.kernel.faults.epoll_shortage)) {
        // Only a new registration needs one of max_user_watches (epoll_ctl(2)).
        constexpr int errors[] = {ENOMEM, ENOSPC};
        error = call == SimCall::epoll_add ? machine.one_of(socket->random, errors) : ENOMEM;
    }
    if (error != 0) {
        socket->errors_given.insert(error);
        machine.trace("%s(%d) failed: %d", to_string(call), fd, error);
        return system_error_of(error);
    }
    const bool registered = epoll->watched.contains(fd);
    if (registered != (call == SimCall::epoll_modify)) {
        machine.violation(std::string(to_string(call)) + " of descriptor " + std::to_string(fd) +
                          (registered ? ", which is watched" : ", which is not watched"));
        return system_error_of(registered ? EEXIST : ENOENT);
    }
    epoll->watched[fd] = {.events = events, .user = user};
    socket->watched_by = epoll_fd;
    machine.trace("%s(%d, %#x)", to_string(call), fd, events);
    return {};
}

}  // namespace

Result<int> epoll_create() noexcept {
    return open_special(SimCall::epoll_create, SimSocket::Kind::epoll);
}

std::error_code epoll_add(int epoll_fd, int fd, std::uint32_t events, void* user) noexcept {
    return control(SimCall::epoll_add, epoll_fd, fd, events, user);
}

std::error_code epoll_modify(int epoll_fd, int fd, std::uint32_t events, void* user) noexcept {
    return control(SimCall::epoll_modify, epoll_fd, fd, events, user);
}

void epoll_remove(int epoll_fd, int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    machine.tick();
    SimSocket* epoll = machine.find(epoll_fd, "epoll_remove");
    SimSocket* socket = machine.find(fd, "epoll_remove");
    if (epoll == nullptr || socket == nullptr) {
        return;
    }
    if (epoll->watched.erase(fd) == 0) {
        machine.violation("epoll_remove of descriptor " + std::to_string(fd) +
                          ", which is not watched");
    }
    socket->watched_by = -1;
    machine.trace("epoll_remove(%d)", fd);
}

std::size_t epoll_wait(int epoll_fd, std::span<epoll_event> events,
                       std::optional<Duration> timeout) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    const int injected = machine.enter(SimCall::epoll_wait);
    SimSocket* epoll = machine.find(epoll_fd, "epoll_wait");
    if (epoll == nullptr) {
        return 0;
    }
    std::optional<TimePoint> deadline;
    if (timeout) {
        // Whole milliseconds, like the real one.
        deadline = machine.time + std::max(std::chrono::ceil<std::chrono::milliseconds>(*timeout),
                                           std::chrono::milliseconds(0));
    }
    if (injected != 0 || machine.fault(epoll->random, machine.kernel.faults.interrupt)) {
        machine.trace("epoll_wait() interrupted");
        return 0;
    }
    const std::size_t count = wait_for_events(machine, *epoll, events, deadline);
    machine.trace("epoll_wait(%s) = %zu",
                  timeout ? std::to_string(timeout->count()).c_str() : "for ever", count);
    return count;
}

Result<int> open_wake() noexcept {
    return open_special(SimCall::open_wake, SimSocket::Kind::wake);
}

void signal_wake(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    machine.tick();
    if (SimSocket* socket = machine.find(fd, "signal_wake")) {
        ++socket->counter;
        ++socket->signals;
    }
}

void drain_wake(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    machine.tick();
    if (SimSocket* socket = machine.find(fd, "drain_wake")) {
        socket->counter = 0;
    }
}

}  // namespace sluice::inline v0_1::detail::sys
