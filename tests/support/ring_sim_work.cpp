// SimRing: events, which become work, the operations that the work goes on with, and what they complete.
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include "support/ring_sim.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <sys/epoll.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) static_cast<void>(0)
#endif

namespace sluice::test {

namespace sys = detail::sys;

namespace {

using Kind = SimRingEntry::Kind;

// What the kernel does with one entry, since Linux 6.13, and how often it asks one socket in a row.
constexpr std::size_t usual_portion = 20;
constexpr int receives_in_a_row = 32;

constexpr std::uint32_t readable_events = EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP;

}  // namespace

// ---- events ----

SimRing::Sight SimRing::look_at(const Operation& operation) {
    SimSocket* const socket = machine_.peek(operation.entry.fd);
    if (socket == nullptr || operation.file != nullptr) {
        return {};
    }
    machine_.settle_connect(*socket);
    if (SimEndpoint* const endpoint = socket->endpoint;
        endpoint != nullptr && socket->kind == SimSocket::Kind::stream) {
        const std::uint32_t events = endpoint->poll();
        return {.object = endpoint,
                .arrived = endpoint->taken + endpoint->visible_bytes(),
                .drained = endpoint->peer != nullptr ? endpoint->peer->taken : 0,
                // As if the rest had come just after the read.
                .cut_short = endpoint->cut_short,
                .other = events & ~std::uint32_t{EPOLLIN}};
    }
    const auto visible = [this](const auto& each) { return each.visible_at <= machine_.time; };
    if (!socket->pending.empty()) {
        return {
            .object = socket->pending.front().endpoint,
            .arrived = static_cast<std::uint64_t>(std::ranges::count_if(socket->pending, visible)),
            .other = socket->pending.size()};
    }
    const auto waiting =
        static_cast<std::uint64_t>(std::ranges::count_if(socket->datagrams, visible));
    return {.object = waiting == 0 ? nullptr : &socket->datagrams.front(),
            .arrived = socket->signals + waiting,
            .other = machine_.poll(*socket)};
}

/// What it waits for, of which it is true now.
std::uint32_t SimRing::ready_events(const Operation& operation) {
    SimSocket* const socket = machine_.peek(operation.entry.fd);
    if (socket == nullptr || operation.file != nullptr) {
        return 0;
    }
    if (operation.entry.kind == Kind::read) {
        return operation.done_at <= machine_.time ? EPOLLIN : 0U;
    }
    const std::uint32_t wanted = operation.entry.kind == Kind::poll
                                     ? operation.entry.events | EPOLLERR | EPOLLHUP
                                     : readable_events;
    return machine_.poll(*socket) & wanted;
}

void SimRing::look(Operation& operation) {
    operation.seen = look_at(operation);
    if (ready_events(operation) != 0) {
        wake(operation);
    }
}

/// Whoever wakes a poll says why, and for bytes that they may be urgent; it is believed if nobody else has anything to
/// say until the poll's turn comes.
void SimRing::look_after_event(Operation& operation) {
    const bool was_woken = operation.woken;
    look(operation);
    const std::uint32_t events = was_woken ? 0 : ready_events(operation);
    operation.said =
        (events & EPOLLIN) != 0 ? events | (operation.entry.events & EPOLLPRI) : events;
}

void SimRing::wake(Operation& operation) {
    if (!operation.woken) {
        operation.woken = true;
        work_.push_back(&operation);
    }
}

/// Everything that has happened since becomes work.
void SimRing::settle() {
    for (Operation& operation : operations_) {
        const bool is_poll = operation.entry.kind == Kind::poll;
        const bool waits = (!operation.woken || is_poll) && operation.file == nullptr;
        if (waits && (operation.entry.kind == Kind::read || look_at(operation) != operation.seen)) {
            is_poll ? look_after_event(operation) : look(operation);
        }
    }
}

std::size_t SimRing::portion(std::size_t least) {
    return fault(machine_.kernel.faults.ring_portion) ? random_.between(least, 2) : usual_portion;
}

void SimRing::do_work(std::size_t most, bool all_cancelled) {
    std::vector<Operation*> work = std::exchange(work_, {});
    if (work.size() > 1 && fault(machine_.kernel.faults.reorder)) {
        for (std::size_t end = work.size(); end > 1; --end) {
            std::swap(work[end - 1], work[random_.below(end)]);
        }
    }
    for (Operation* const operation : work) {
        if (most == 0 && !(all_cancelled && operation->cancelled)) {
            work_.push_back(operation);
            continue;
        }
        most -= most == 0 ? 0 : 1;
        operation->woken = false;
        perform(*operation);
    }
}

// ---- operations ----

void SimRing::perform(Operation& operation) {
    if (operation.cancelled) {
        finish(operation, -ECANCELED);
        return;
    }
    switch (operation.entry.kind) {
        case Kind::poll:
            return perform_poll(operation);
        case Kind::receive:
            return perform_receive(operation);
        case Kind::accept:
            return perform_accept(operation);
        case Kind::read:
            return perform_read(operation);
        case Kind::update:
        case Kind::cancel:
        case Kind::send:
            break;
    }
}

void SimRing::perform_poll(Operation& operation) {
    std::uint32_t events = std::exchange(operation.said, 0U);
    if (events == 0) {
        operation.seen = look_at(operation);
        events = ready_events(operation);
    }
    if (events != 0) {
        static_cast<void>(complete(operation, static_cast<std::int32_t>(events)));
    }
}

void SimRing::perform_receive(Operation& operation) {
    for (int count = 0; count < receives_in_a_row; ++count) {
        if (free_.empty() || fault(machine_.kernel.faults.ring_no_buffer)) {
            finish(operation, -ENOBUFS);
            return;
        }
        const std::int32_t number = free_.front();
        free_.pop_front();
        ASAN_UNPOISON_MEMORY_REGION(buffer(number), limits::ring_buffer_bytes);
        const detail::IoResult received =
            sys::recv(operation.entry.fd, {buffer(number), limits::ring_buffer_bytes});
        if (received.ok() && received.value() != 0) {
            if (!complete(operation, static_cast<std::int32_t>(received.value()), number)) {
                return;
            }
            continue;
        }
        if (received.ok() && random_.chance(500)) {
            finish(operation, 0, number);
            return;
        }
        return_buffer(number);
        if (received.blocked()) {
            break;
        }
        finish(operation, received.ok() ? 0 : -received.error().value());
        return;
    }
    look(operation);
}

void SimRing::perform_accept(Operation& operation) {
    for (;;) {
        SocketAddress peer;
        const Result<int> accepted = sys::accept(operation.entry.fd, peer);
        if (accepted.blocked()) {
            look(operation);
            return;
        }
        if (!accepted.ok()) {
            finish(operation, -accepted.error().value());
            return;
        }
        if (!complete(operation, accepted.value())) {
            return;
        }
    }
}

void SimRing::perform_read(Operation& operation) {
    const SimRingEntry& entry = operation.entry;
    const detail::IoResult read =
        sys::read_file(entry.fd, static_cast<std::int64_t>(entry.offset), entry.into, true);
    finish(operation, read.ok() ? static_cast<std::int32_t>(read.value()) : -read.error().value());
}

// ---- completions ----

bool SimRing::has_room() const noexcept {
    const std::size_t room = std::min<std::size_t>(limits::ring_completion_entries,
                                                   machine_.kernel.ring_sizes.completions);
    return kept_back_.empty() && completions_.size() < room;
}

void SimRing::post(const detail::RingCompletion& completion) {
    machine_.trace("    ring: completion of %#llx: %d, buffer %d%s%s",
                   static_cast<unsigned long long>(completion.token), completion.result,
                   completion.buffer, completion.more ? ", more" : "",
                   has_room() ? "" : ", kept back");
    if (completion.buffer >= 0) {
        lent_[static_cast<std::size_t>(completion.buffer)] = true;
        ++lent_count_;
    }
    (has_room() ? completions_ : kept_back_).push_back(completion);
}

/// True if the operation goes on. Without room for what it completes it ends with that.
bool SimRing::complete(Operation& operation, std::int32_t result, std::int32_t buffer) {
    if (!has_room() || fault(machine_.kernel.faults.ring_end)) {
        finish(operation, result, buffer);
        return false;
    }
    post({.token = operation.entry.token, .result = result, .more = true, .buffer = buffer});
    return true;
}

void SimRing::finish(Operation& operation, std::int32_t result, std::int32_t buffer) {
    post({.token = operation.entry.token, .result = result, .more = false, .buffer = buffer});
    std::erase(work_, &operation);
    operations_.remove_if([&operation](const Operation& each) { return &each == &operation; });
}

void SimRing::show_kept_back() {
    const std::size_t room = std::min<std::size_t>(limits::ring_completion_entries,
                                                   machine_.kernel.ring_sizes.completions);
    while (!kept_back_.empty() && completions_.size() < room) {
        completions_.push_back(kept_back_.front());
        kept_back_.pop_front();
    }
}

std::size_t SimRing::take(std::span<detail::RingCompletion> into) {
    std::size_t count = 0;
    while (count < into.size() && !completions_.empty()) {
        into[count++] = completions_.front();
        completions_.pop_front();
    }
    found_nothing_ = count == 0;
    return count;
}

// ---- buffers ----

void SimRing::provide_buffers() {
    memory_.reset(new std::byte[limits::ring_buffers * limits::ring_buffer_bytes]);
    lent_.assign(limits::ring_buffers, false);
    const std::size_t count = std::min(limits::ring_buffers, machine_.kernel.ring_sizes.buffers);
    for (std::size_t number = 0; number < count; ++number) {
        return_buffer(static_cast<std::int32_t>(number));
    }
}

std::byte* SimRing::buffer(std::int32_t number) const noexcept {
    return memory_.get() + static_cast<std::size_t>(number) * limits::ring_buffer_bytes;
}

void SimRing::return_buffer(std::int32_t number) {
    ASAN_POISON_MEMORY_REGION(buffer(number), limits::ring_buffer_bytes);
    free_.push_back(number);
}

void SimRing::give_back(std::int32_t number) {
    if (!lent_[static_cast<std::size_t>(number)]) {
        machine_.violation("buffer " + std::to_string(number) + " of a ring is given back twice");
        return;
    }
    lent_[static_cast<std::size_t>(number)] = false;
    --lent_count_;
    // Whoever still reads it is found without a sanitizer, too.
    std::memset(buffer(number), 0xdb, limits::ring_buffer_bytes);
    return_buffer(number);
}

/// Before their memory goes.
void SimRing::take_buffers_back() {
    if (memory_ != nullptr) {
        ASAN_UNPOISON_MEMORY_REGION(memory_.get(),
                                    limits::ring_buffers * limits::ring_buffer_bytes);
    }
}

}  // namespace sluice::test
