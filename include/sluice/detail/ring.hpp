// Ring: the seam over io_uring. impl/ring.ipp, over liburing, is the real one; a fake ring can be linked
// in its place, as a simulated system is in the place of sys.hpp.
//
// It knows operations and tokens, no watcher and no loop. Operations are queued in memory that the
// kernel shares, so queueing is no system call.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/detail/result.hpp>
#include <sluice/detail/timer_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>

namespace sluice::inline v0_1::detail {

/// What became of the operation that `token` was given with.
struct RingCompletion {
    std::uint64_t token;
    std::int32_t result;  // negative: an errno
    bool more;            // the operation goes on and will complete again
    std::int32_t buffer;  // the provided buffer that holds what was received; -1: none
};

/// When the kernel does the part of its work that needs our thread.
enum class RingMode : std::uint8_t {
    interrupting,  // at once, interrupting whatever runs
    cooperative,   // in whichever system call comes next (COOP_TASKRUN)
    deferred,      // when asked for completions; one thread only (SINGLE_ISSUER, DEFER_TASKRUN)
};

class Ring {
public:
    Ring() noexcept;
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// Sets up a ring in the best mode that the kernel has. EPERM, ENOSYS and the like are its refusal;
    /// EOPNOTSUPP means that it has no update of polls or no timeouts, that is before Linux 5.17.
    [[nodiscard]] std::error_code open() noexcept;
    /// Safe when it is not open. What the kernel still holds it lets go of later, not now.
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr; }
    /// The thread that calls this is the one that may use the ring from now on, see `mode()`.
    [[nodiscard]] std::error_code start() noexcept;

    [[nodiscard]] RingMode mode() const noexcept;
    /// Readable when there are completions to take.
    [[nodiscard]] int fd() const noexcept;

    // ---- queueing; false if there is no room, even after a submit() ----

    /// Multishot poll(2): completes with the events each time that something happens, and at once if
    /// something has.
    [[nodiscard]] bool poll(int fd, std::uint32_t events, std::uint64_t token) noexcept;
    /// Gives the poll of `token` other events, or the same, and looks afresh: it completes again if
    /// something is ready. `own_token` completes only if that failed: ENOENT when there is no such poll,
    /// EALREADY when it is just about to complete.
    [[nodiscard]] bool update_poll(std::uint64_t token, std::uint32_t events,
                                   std::uint64_t own_token) noexcept;
    /// Ends the operation of `token`, which then completes with ECANCELED; `own_token` completes only if
    /// there was none.
    [[nodiscard]] bool cancel(std::uint64_t token, std::uint64_t own_token) noexcept;

    /// Multishot recv(2): completes with each piece that arrives, in a provided buffer; with 0 at the end
    /// of the stream, ENOBUFS when there is no buffer.
    [[nodiscard]] bool receive(int fd, std::uint64_t token) noexcept;
    /// send(2), which never waits; done, as far as the socket takes it, when the entry into the kernel
    /// that takes it returns. Completes only if not all was taken: with how much was, or EAGAIN.
    [[nodiscard]] bool send(int fd, Bytes bytes, std::uint64_t token) noexcept;
    /// Multishot accept(2): completes with a descriptor for each connection, non-blocking and
    /// close-on-exec, or with the error that ends it. RLIMIT_NOFILE counts as it is now.
    [[nodiscard]] bool accept(int listener, std::uint64_t token) noexcept;
    /// pread(2) that may wait for a disk: completes with how much was read. `into` is the kernel's until
    /// then.
    [[nodiscard]] bool read(int fd, MutableBytes into, std::uint64_t offset,
                            std::uint64_t token) noexcept;
    /// Operations that are queued and that the kernel has not seen.
    [[nodiscard]] std::size_t queued() const noexcept;
    /// Takes them out of the queue: no later call hands them over.
    void forget_queued() noexcept;

    // ---- provided buffers ----

    /// Registers limits::ring_buffers of them. The ring must not have been started.
    [[nodiscard]] std::error_code provide_buffers() noexcept;
    [[nodiscard]] bool has_buffers() const noexcept;
    /// The memory of a completion's buffer, this ring's until give_back().
    [[nodiscard]] std::byte* buffer(std::int32_t number) const noexcept;
    void give_back(std::int32_t number) noexcept;
    /// Have completions been kept back for which there was no room? They can be had by another thread
    /// only through a system call, which it may not make.
    [[nodiscard]] bool keeps_back() const noexcept;

    // ---- one system call each; EEXIST: another thread owns the ring ----

    /// Hands over what is queued and lets the kernel do its work. What was cancelled is let go of.
    [[nodiscard]] std::error_code submit() noexcept;
    /// The same, then sleeps until there is a completion or `timeout` has passed. No system call at all if
    /// nothing is queued and there would be no sleep and nothing to do.
    [[nodiscard]] std::error_code submit_and_wait(Duration timeout) noexcept;

    /// Stops this thread, for whoever has no ring to wait with.
    static void sleep(Duration duration) noexcept;

    /// Takes completions, oldest first; returns how many.
    [[nodiscard]] std::size_t take(std::span<RingCompletion> into) noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace sluice::inline v0_1::detail

// Whoever compiles the library into their own program says whether they have liburing.
#if defined(SLUICE_HEADER_ONLY) && defined(SLUICE_IO_URING)
#include <sluice/impl/ring.ipp>
#endif
