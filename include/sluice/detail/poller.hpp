// Poller: the whole of what a readiness backend is. Five verbs, one file per backend.
//
// It waits and says who is ready; it calls nobody. That the loop core dispatches keeps the rules
// about stale events and user code in one place for all backends.
#pragma once

#include <sluice/detail/timer_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <system_error>

namespace sluice::inline v0_1::detail {

class AcceptCompletions;
class FileCompletions;
class SendfileCompletions;
class StreamCompletions;

/// What a watcher wants to hear of, or has become; bits.
enum class Readiness : std::uint8_t {
    none = 0,
    readable = 1,
    writable = 2,
    both = 3,
    // For a backend with completions only, and never together with `readable`:
    received = 4,   // it has received bytes, the end or an error: StreamCompletions::take()
    parked = 8,     // nothing now, but what it has received is to be kept
    accepted = 16,  // it has accepted connections: AcceptCompletions::take_accepted()
};

constexpr Readiness operator|(Readiness a, Readiness b) noexcept {
    return static_cast<Readiness>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr Readiness operator&(Readiness a, Readiness b) noexcept {
    return static_cast<Readiness>(static_cast<unsigned>(a) & static_cast<unsigned>(b));
}
constexpr Readiness operator-(Readiness a, Readiness b) noexcept {
    return static_cast<Readiness>(static_cast<unsigned>(a) & ~static_cast<unsigned>(b));
}
constexpr bool has(Readiness set, Readiness bit) noexcept {
    return (set & bit) != Readiness::none;
}

/// Somebody who wants to know about one descriptor.
class Watcher {
public:
    Watcher() noexcept = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

    /// Called by the loop core. `events` may hold more than the interest: an error or hang-up is
    /// delivered as readable and writable, and an interest withdrawn since the event was collected
    /// may still show.
    virtual void on_ready(Readiness events) noexcept = 0;

    /// What is registered now; none when not registered.
    [[nodiscard]] Readiness interest() const noexcept { return interest_; }

protected:
    ~Watcher() { SLUICE_ASSERT(interest_ == Readiness::none); }

private:
    friend class LoopCore;
    Readiness interest_ = Readiness::none;
};

struct ReadyEvent {
    Watcher* watcher;  // null once the watcher was removed
    Readiness events;
};

class Poller {
public:
    Poller() = default;
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    virtual ~Poller() = default;

    /// Starts watching `fd`. Level-triggered and persistent. One watcher per descriptor.
    /// operation_not_permitted: the system cannot wait for such a file. After an error nothing is
    /// watched.
    virtual std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept = 0;
    /// Meanwhile watcher.interest() is what has been watched so far, and after an error still is.
    virtual std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept = 0;
    /// Stops watching. To be called before the descriptor is closed: epoll forgets a descriptor
    /// only with its last duplicate.
    virtual void remove(int fd) noexcept = 0;

    /// Sleeps until something is ready, wake() was called or `timeout` has passed (none: no limit),
    /// and writes what is ready to `batch`. Returns how many; an interrupted sleep returns 0.
    virtual std::size_t wait(std::optional<Duration> timeout,
                             std::span<ReadyEvent> batch) noexcept = 0;

    /// Ends the current or the next wait. The only verb another thread may call. Wakes collapse
    /// into one.
    virtual void wake() noexcept = 0;

    /// What it can do for stream transports beyond waiting; null: nothing.
    [[nodiscard]] virtual StreamCompletions* completions() noexcept { return nullptr; }
    /// The same for stream transports that send files.
    [[nodiscard]] virtual SendfileCompletions* sendfile_completions() noexcept { return nullptr; }
    /// The same for acceptors, and for whoever reads files.
    [[nodiscard]] virtual AcceptCompletions* accept_completions() noexcept { return nullptr; }
    [[nodiscard]] virtual FileCompletions* file_completions() noexcept { return nullptr; }

    /// "epoll", "io_uring", "kqueue", "iocp".
    [[nodiscard]] virtual const char* name() const noexcept = 0;
    /// What it uses of the system beyond its name, and what it does without and why, for people; may
    /// be empty.
    [[nodiscard]] virtual std::string features() const { return {}; }
    /// Readable when wait() would not sleep, for embedding in a foreign loop; -1 if the backend has
    /// none. Another thread may run the loop later, but then asks again.
    [[nodiscard]] virtual int pollable_fd() noexcept = 0;
};

}  // namespace sluice::inline v0_1::detail
