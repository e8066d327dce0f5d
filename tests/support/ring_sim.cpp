// SimRing: what the library queues, and its entries into the kernel. What then happens is in
// ring_sim_work.cpp.
#include "support/ring_sim.hpp"

#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace sluice::test {

namespace sys = detail::sys;

namespace {

using Kind = SimRingEntry::Kind;

}  // namespace

SimRing::SimRing(SimMachine& machine, int fd)
    : machine_(machine), fd_(fd), random_(SimRandom::mix(machine.seed + 23)) {
    machine.holders.push_back(this);
}

SimRing::~SimRing() {
    forget_queued();
    if (keeps_back()) {
        // What connections hear whose bytes stay behind.
        machine_.errors_given_to_all.insert(ENOMEM);
    }
    for (const detail::RingCompletion& each : kept_back_) {
        // Nobody will ever know of it, see IoUringPoller::save_received().
        if (moved_ && accepts_.contains(each.token) && each.result >= 0) {
            sys::close(each.result);
        }
    }
    for (const auto& completions : {completions_, kept_back_}) {
        for (const detail::RingCompletion& each : completions) {
            lent_count_ -= each.buffer >= 0 && lent_[static_cast<std::size_t>(each.buffer)] ? 1 : 0;
        }
    }
    if (lent_count_ != 0) {
        machine_.violation("a ring is closed while " + std::to_string(lent_count_) +
                           " of its buffers are in use");
    }
    take_buffers_back();
    std::erase(machine_.holders, this);
    operations_.clear();
    machine_.trace("close of ring %d", fd_);
    machine_.descriptors[static_cast<std::size_t>(fd_ - 3)].reset();
}

/// The file stays open for what is under way. That is no use to anybody, but where the library was not
/// let cancel it.
void SimRing::keep(int fd, std::unique_ptr<SimSocket>& socket) {
    std::shared_ptr<SimSocket> kept;
    for (Operation& operation : operations_) {
        if (socket == nullptr && kept == nullptr) {
            return;
        }
        if (operation.entry.fd != fd || operation.file != nullptr) {
            continue;
        }
        if (kept == nullptr) {
            if (!operation.excused && socket->kind != SimSocket::Kind::wake) {
                machine_.violation("close of descriptor " + std::to_string(fd) +
                                   ", on which a ring has an operation");
            }
            kept = std::shared_ptr<SimSocket>(socket.release(), [](SimSocket* held) {
                SimMachine::let_go(*held);
                delete held;
            });
        }
        operation.file = kept;
    }
}

// ---- queueing ----

bool SimRing::queue(SimRingEntry entry) {
    const InSimKernel inside;
    const std::size_t entries =
        std::min<std::size_t>(limits::ring_entries, machine_.kernel.ring_sizes.entries);
    if (queue_.size() >= entries && !moved_) {
        static_cast<void>(consume());
        handed_over_a_part_ = true;
    }
    if (queue_.size() >= entries || fault(machine_.kernel.faults.ring_full)) {
        machine_.trace("    ring: no room in the queue");
        note_refused(entry);
        return false;
    }
    queue_.push_back(entry);
    return true;
}

void SimRing::forget_queued() {
    for (const SimRingEntry& entry : queue_) {
        note_refused(entry);
    }
    queue_.clear();
}

/// The kernel has not seen it, which is not its caller's fault.
void SimRing::note_refused(const SimRingEntry& entry) {
    if (entry.kind == Kind::cancel) {
        excuse(entry.token);
    }
    SimSocket* const socket = entry.kind == Kind::send ? machine_.peek(entry.fd) : nullptr;
    if (socket != nullptr && socket->endpoint != nullptr) {
        socket->endpoint->refused_bytes = true;
    }
}

void SimRing::excuse(std::uint64_t token) {
    if (Operation* const operation = find(token)) {
        operation->excused = true;
    }
}

void SimRing::excuse_all() {
    for (Operation& operation : operations_) {
        operation.excused = true;
    }
}

SimRing::Operation* SimRing::find(std::uint64_t token) {
    const auto found = std::ranges::find_if(
        operations_, [token](const Operation& each) { return each.entry.token == token; });
    return found == operations_.end() ? nullptr : &*found;
}

/// True if the kernel takes all of the queue.
bool SimRing::consume() {
    std::size_t count = queue_.size();
    if (count > 0 && fault(machine_.kernel.faults.ring_partial)) {
        count = random_.below(count);
        machine_.trace("    ring: %zu of %zu entries taken", count, queue_.size());
    }
    for (; count > 0; --count) {
        SimRingEntry entry = queue_.front();
        queue_.pop_front();
        begin(entry);
    }
    for (SimRingEntry& entry : queue_) {
        entry.left_over = true;
        if (entry.kind == Kind::cancel) {
            excuse(entry.token);
        }
    }
    return queue_.empty();
}

void SimRing::begin(SimRingEntry& entry) {
    switch (entry.kind) {
        case Kind::update:
            return update(entry);
        case Kind::cancel:
            return cancel(entry);
        case Kind::send:
            return send(entry);
        case Kind::poll:
        case Kind::receive:
        case Kind::accept:
        case Kind::read:
            return begin_operation(entry);
    }
}

void SimRing::begin_operation(const SimRingEntry& entry) {
    if (machine_.peek(entry.fd) == nullptr) {
        if (!entry.left_over) {
            machine_.violation("a ring is to watch descriptor " + std::to_string(entry.fd) +
                               ", which is not open");
        }
        post({.token = entry.token, .result = -EBADF, .more = false, .buffer = -1});
        return;
    }
    if (find(entry.token) != nullptr) {
        machine_.violation("a ring has two operations with one token, on descriptor " +
                           std::to_string(entry.fd));
    }
    machine_.trace("    ring: %s of %d, token %#llx, events %#x",
                   entry.kind == Kind::poll      ? "poll"
                   : entry.kind == Kind::receive ? "receive"
                   : entry.kind == Kind::accept  ? "accept"
                                                 : "read",
                   entry.fd, static_cast<unsigned long long>(entry.token), entry.events);
    Operation& operation = operations_.emplace_back(Operation{.entry = entry});
    if (entry.kind == Kind::accept) {
        accepts_.insert(entry.token);
    }
    if (entry.kind == Kind::read) {
        operation.done_at = machine_.time;
        if (fault(machine_.kernel.faults.cold_file)) {
            operation.done_at += machine_.some_delay(random_);
            machine_.expect(operation.done_at);
        }
    }
    look(operation);
    if (entry.kind == Kind::receive && free_.empty()) {
        // It takes a buffer before it looks for bytes.
        wake(operation);
    }
}

void SimRing::update(const SimRingEntry& entry) {
    Operation* const operation = find(entry.token);
    int error = operation == nullptr ? ENOENT : 0;
    if (operation != nullptr && (operation->woken || fault(machine_.kernel.faults.ring_race))) {
        error = EALREADY;
        operation->said = 0;
        wake(*operation);
    }
    machine_.trace("    ring: update of token %#llx, events %#x, error %d",
                   static_cast<unsigned long long>(entry.token), entry.events, error);
    if (error != 0) {
        post({.token = entry.own_token, .result = -error, .more = false, .buffer = -1});
        return;
    }
    operation->entry.events = entry.events;
    look(*operation);
}

void SimRing::cancel(const SimRingEntry& entry) {
    Operation* const operation = find(entry.token);
    const bool running = operation != nullptr && operation->entry.kind == Kind::read &&
                         fault(machine_.kernel.faults.ring_race);
    const int error = operation == nullptr || operation->cancelled ? ENOENT
                      : running                                    ? EALREADY
                                                                   : 0;
    machine_.trace("    ring: cancel of token %#llx, error %d",
                   static_cast<unsigned long long>(entry.token), error);
    if (error != 0) {
        post({.token = entry.own_token, .result = -error, .more = false, .buffer = -1});
        return;
    }
    operation->cancelled = true;
    wake(*operation);
}

void SimRing::send(const SimRingEntry& entry) {
    if (entry.left_over && machine_.peek(entry.fd) == nullptr) {
        post({.token = entry.token, .result = -EBADF, .more = false, .buffer = -1});
        return;
    }
    const detail::IoResult sent = sys::send(entry.fd, entry.bytes);
    if (sent.ok() && sent.value() == entry.bytes.size()) {
        return;
    }
    const int result = sent.ok()        ? static_cast<int>(sent.value())
                       : sent.blocked() ? -EAGAIN
                                        : -sent.error().value();
    post({.token = entry.token, .result = result, .more = false, .buffer = -1});
}

// ---- system calls ----

/// What each begins with: an errno, or 0.
int SimRing::enter() {
    if (!started_) {
        machine_.violation("a ring is entered before it was started");
    }
    if (const int error = machine_.enter(SimCall::ring_enter)) {
        return error;
    }
    // Not amid a turn: a thread that was let hand over a part is let hand over the rest, and one that has found nothing
    // but what is kept back fetches that.
    const bool amid_turn =
        std::exchange(handed_over_a_part_, false) || (found_nothing_ && keeps_back());
    found_nothing_ = false;
    if (!amid_turn && !moved_ && fault(machine_.kernel.faults.ring_moved)) {
        machine_.trace("    ring: another thread's from now on");
        moved_ = true;
        excuse_all();
    }
    return moved_ ? EEXIST : 0;
}

int SimRing::submit() {
    if (const int error = enter()) {
        excuse_all();
        return error;
    }
    machine_.trace("ring_submit(%zu)", queue_.size());
    const std::size_t queued = queue_.size();
    const bool all = consume();
    show_kept_back();
    settle();
    do_work(portion(0), true);
    return all || queue_.size() < queued ? 0 : EAGAIN;
}

int SimRing::submit_and_wait(Duration timeout) {
    machine_.tick();
    if (timeout <= Duration::zero() || !completions_.empty()) {
        if (!queue_.empty()) {
            return submit();
        }
        machine_.run_due_actions();
        static_cast<void>(machine_.run_readers());
        settle();
        return work_.empty() && kept_back_.empty() ? 0 : submit();
    }
    if (const int error = enter()) {
        excuse_all();
        return error;
    }
    machine_.trace("ring_wait(%zu)", queue_.size());
    if (!consume() || fault(machine_.kernel.faults.interrupt)) {
        show_kept_back();
        return 0;
    }
    const bool bounded = timeout < limits::poll_wait_max;
    wait_until(bounded ? std::optional(machine_.time + timeout) : std::nullopt);
    return 0;
}

/// Until there is a completion, or the time has come.
void SimRing::wait_until(std::optional<TimePoint> deadline) {
    bool slept = false;
    for (;;) {
        machine_.run_due_actions();
        if (machine_.run_readers()) {
            continue;
        }
        settle();
        if (slept && !work_.empty() && fault(machine_.kernel.faults.late_wake)) {
            // The processor was busy with something else.
            slept = false;
            machine_.time += machine_.some_delay(random_);
            continue;
        }
        show_kept_back();
        do_work(portion(1), false);
        if (!completions_.empty()) {
            return;
        }
        if (!work_.empty()) {
            continue;
        }
        if (deadline && machine_.time >= *deadline) {
            return;
        }
        const std::optional<TimePoint> next = machine_.next_moment();
        if (!next && !deadline) {
            machine_.idle = true;
            return;
        }
        slept = true;
        machine_.time = !next ? *deadline : !deadline ? *next : std::min(*next, *deadline);
    }
}

}  // namespace sluice::test
