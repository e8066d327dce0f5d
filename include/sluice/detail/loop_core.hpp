// LoopCore: one iteration after the other. Ready queue, timers, poller, gathering, shared receive
// buffer, closing list.
//
// It knows no transport, no name, no coroutine: what it runs are intrusive nodes. One thread at a
// time, except wake() and the RemoteQueue, which any thread may use.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/callback.hpp>
#include <sluice/counters.hpp>
#include <sluice/detail/file_completions.hpp>
#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/poller.hpp>
#include <sluice/detail/ready.hpp>
#include <sluice/detail/receive_area.hpp>
#include <sluice/detail/stream_completions.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/detail/warm_list.hpp>
#include <sluice/detail/write_queue.hpp>
#include <sluice/exception_context.hpp>
#include <sluice/ref.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

namespace sluice::inline v0_1::detail {

class DatagramArea;

/// Has gathered bytes to send when the running callback ends.
class Dirty : public ListNode<Dirty> {
public:
    virtual void on_flush() noexcept = 0;

protected:
    ~Dirty() = default;
};

/// Waits on the closing list to be deleted between iterations.
class Retired : public ListNode<Retired> {
public:
    virtual void destroy() noexcept = 0;

protected:
    ~Retired() = default;
};

/// Registered with the loop until it is destroyed: a lost transport that somebody keeps must not
/// find a dead loop. Closing the loop detaches what is left.
class Attached : public ListNode<Attached> {
public:
    /// The loop goes away: let go of descriptors and of the loop, call nobody.
    virtual void on_detach() noexcept = 0;

protected:
    ~Attached() = default;
};

/// Callbacks from other threads. Outlives the loop for whoever holds it, and refuses then.
class RemoteQueue {
public:
    explicit RemoteQueue(Poller& poller) noexcept : poller_(&poller) {}

    /// False once the loop is closed; the callback is then left alone.
    bool post(Callback& callback);
    /// Refuses from now on and hands over what is queued.
    std::vector<Callback> close() noexcept;
    [[nodiscard]] bool is_open() const noexcept;
    /// Moves what is queued to `out`, which is empty.
    void take(std::vector<Callback>& out) noexcept;

private:
    mutable std::mutex mutex_;
    Poller* poller_;  // null once closed
    std::vector<Callback> queued_;
    std::atomic<bool> signalled_{false};
};

/// Threads for what may block. Only the loop's thread submits.
class Workers {
public:
    /// Runs `job`, which must not throw, on some thread. May throw, and has kept nothing then.
    virtual void submit(Callback job) = 0;

protected:
    ~Workers() = default;
};

class LoopCore {
public:
    explicit LoopCore(std::unique_ptr<Poller> poller);
    ~LoopCore();
    LoopCore(const LoopCore&) = delete;
    LoopCore& operator=(const LoopCore&) = delete;

    // ---- scheduling ----

    /// Runs `ready` in the next iteration, after everything scheduled before. It must not be
    /// scheduled already.
    void schedule(Ready& ready) noexcept { ready_.push_back(ready); }
    /// May throw std::bad_alloc.
    void schedule(Timer& timer, TimePoint deadline) { timers_.insert(timer, deadline); }
    void cancel(Timer& timer) noexcept { timers_.remove(timer); }
    [[nodiscard]] const std::shared_ptr<RemoteQueue>& remote() const noexcept { return remote_; }

    /// The threads that this loop's transports may use; they must outlive it or its close().
    void set_workers(Workers& workers) noexcept { workers_ = &workers; }
    /// Null if it has none.
    [[nodiscard]] Workers* workers() const noexcept { return workers_; }

    /// The one that runs an iteration on this thread, or null.
    [[nodiscard]] SLUICE_API static LoopCore* running_here() noexcept;
    /// In the child of a fork none runs.
    static void forget_running_here() noexcept;
    /// Runs one iteration, sleeping at most `timeout` (none: as long as it takes).
    void run_once(std::optional<Duration> timeout);
    /// How long run_once would sleep at most: zero when something is ready, none when nothing is
    /// scheduled.
    [[nodiscard]] std::optional<Duration> next_timeout() const noexcept;
    /// Inside run_once().
    [[nodiscard]] bool running() const noexcept { return running_; }
    /// The time as of the first question in this iteration, which costs a clock reading; now, when
    /// the loop does not run.
    [[nodiscard]] TimePoint iteration_time() noexcept {
        if (time_of_iteration_ != counters.iterations || !running_) {
            read_iteration_time();
        }
        return iteration_time_;
    }

    // ---- readiness ----

    /// Makes the interest of `watcher` in `fd` exactly `interest`; none unregisters it. An error
    /// leaves the old interest.
    [[nodiscard]] std::error_code watch(Watcher& watcher, int fd, Readiness interest) noexcept;
    /// Ends the interest, which cannot fail; nothing if there is none. No event reaches it any
    /// more.
    void unwatch(Watcher& watcher, int fd) noexcept;
    [[nodiscard]] Poller& poller() noexcept { return *poller_; }
    /// What the poller can do for stream transports; mostly null.
    [[nodiscard]] StreamCompletions* completions() noexcept { return completions_; }
    /// And for whoever reads files.
    [[nodiscard]] FileCompletions* file_completions() noexcept { return file_completions_; }
    /// For whoever leaves the loop, which may not wait again soon: nothing is left unsent for that.
    void send_what_is_held() noexcept {
        if (completions_ != nullptr) {
            completions_->send_all_now();
        }
    }
    [[nodiscard]] const Poller& poller() const noexcept { return *poller_; }

    /// Descriptors that transports own, which add_reader() and friends must refuse.
    void own_descriptor(int fd);
    void disown_descriptor(int fd) noexcept;
    [[nodiscard]] bool owns_descriptor(int fd) const noexcept;

    // ---- user code ----

    /// True inside anything the loop runs: writes may be gathered, since a flush will follow.
    [[nodiscard]] bool in_callback() const noexcept { return callback_depth_ > 0; }
    void enter_callback() noexcept { ++callback_depth_; }
    void leave_callback() noexcept {
        if (--callback_depth_ == 0 && !dirty_.empty()) {
            flush_dirty();
        }
    }
    void mark_dirty(Dirty& transport) noexcept {
        if (!transport.linked()) {
            dirty_.push_back(transport);
        }
    }

    /// Reports to the exception handler, or to standard error when there is none or it fails.
    void report(const ExceptionContext& context) noexcept;
    /// The same with what `make` returns; making it may run out of memory.
    template <class Make>
    void report_made(Make&& make) noexcept {
        try {
            report(make());
        } catch (const std::bad_alloc&) {
            report_not_made();
        }
    }
    void set_exception_handler(std::function<void(const ExceptionContext&)> handler);
    /// Leaves the running run_*() with this exception once the iteration is complete. The first one
    /// wins.
    void exit_with(std::exception_ptr exception) noexcept;
    [[nodiscard]] std::exception_ptr take_exit() noexcept { return std::exchange(exit_, nullptr); }
    [[nodiscard]] bool exit_requested() const noexcept { return exit_ != nullptr; }

    // ---- memory ----

    /// Deletes `object` at the end of the iteration, or at the next one's when the loop does not
    /// run.
    void retire(Retired& object) noexcept { retired_.push_back(object); }
    void attach(Attached& object) noexcept { attached_.push_back(object); }
    [[nodiscard]] GatherPool& gather_pool() noexcept { return gather_pool_; }
    /// Where a chunk is received: valid until the next call, to be used by one recv.
    [[nodiscard]] MutableBytes receive_space() { return receive_area_.space(); }
    /// Tells how much of receive_space() was filled, so that its size adapts.
    void received(std::size_t byte_count) noexcept { receive_area_.received(byte_count); }
    /// The same for ciphertext of TLS layer `layer`, below limits::tls_shared_layers: what a layer
    /// opens goes to the area of the next, hence one for each.
    [[nodiscard]] ReceiveArea& tls_receive_area(unsigned layer) noexcept {
        return tls_receive_areas_[layer];
    }

    /// What datagram endpoints are lent; made by the first call, which may throw std::bad_alloc.
    [[nodiscard]] DatagramArea& datagram_area() {
        return datagram_area_ != nullptr ? *datagram_area_ : make_datagram_area();
    }

    /// TLS connections that keep OpenSSL's record buffers.
    [[nodiscard]] WarmList& warm_list() noexcept { return warm_list_; }
    /// True while this iteration may still spend time on the handshakes of new connections.
    [[nodiscard]] bool take_handshake_turn() noexcept {
        if (handshake_turns_ == 0) {
            return false;
        }
        --handshake_turns_;
        return true;
    }

    // ---- threads and debugging ----

    [[nodiscard]] const OwnerThread* owner() const noexcept { return &owner_; }
    void bind_to_this_thread() noexcept { owner_.bind(); }
    /// In debug mode throws std::logic_error on a thread other than the loop's, naming `what` was
    /// called.
    void check_thread(const char* what) const {
        if (debug_) [[unlikely]] {
            check_thread_slow(what);
        }
    }
    void set_debug(bool on) noexcept { debug_ = on; }
    [[nodiscard]] bool debug() const noexcept { return debug_; }
    Duration slow_callback_duration = limits::slow_callback_duration;

    /// Counted by whoever does the thing.
    LoopCounters counters;
    [[nodiscard]] std::size_t timers_pending() const noexcept { return timers_.size(); }
    /// Null for none. Must outlive its registration.
    void set_observer(LoopObserver* observer) noexcept { observer_ = observer; }

    /// Frees what is retired; for the end of an iteration and for closing.
    void free_retired() noexcept;
    /// Ends everything that is still registered. Called once, by the owner, before destruction.
    void close() noexcept;

private:
    void run_phases(std::size_t collected) noexcept;
    void run_observed(std::optional<Duration> timeout) noexcept;
    void run_ready_phase() noexcept;
    void dispatch_batch(std::size_t count) noexcept;
    void run_timer_phase() noexcept;
    void flush_dirty() noexcept;
    void forget_events_of(const Watcher& watcher) noexcept;
    void check_thread_slow(const char* what) const;
    void report_not_made() noexcept;
    [[nodiscard]] DatagramArea& make_datagram_area();
    void read_iteration_time() noexcept;

    std::unique_ptr<Poller> poller_;
    StreamCompletions* completions_;
    FileCompletions* file_completions_;
    std::shared_ptr<RemoteQueue> remote_;
    Workers* workers_ = nullptr;
    std::vector<Callback> remote_batch_;
    IntrusiveList<Ready> ready_;
    TimerHeap timers_;
    IntrusiveList<Dirty> dirty_;
    IntrusiveList<Retired> retired_;
    IntrusiveList<Attached> attached_;

    std::array<ReadyEvent, limits::poll_batch_events> batch_;
    std::size_t batch_next_ = 0;
    std::size_t batch_end_ = 0;

    TimePoint iteration_time_{};
    std::uint64_t time_of_iteration_ = 0;  // whose time that is

    int callback_depth_ = 0;
    bool running_ = false;
    bool debug_ = false;
    OwnerThread owner_;
    std::exception_ptr exit_;
    std::function<void(const ExceptionContext&)> exception_handler_;
    std::vector<bool> owned_descriptors_;
    LoopObserver* observer_ = nullptr;

    GatherPool gather_pool_;
    ReceiveArea receive_area_;
    std::array<ReceiveArea, limits::tls_shared_layers> tls_receive_areas_{
        ReceiveArea(limits::tls_receive_slack_bytes), ReceiveArea(limits::tls_receive_slack_bytes)};
    std::unique_ptr<DatagramArea> datagram_area_;
    WarmList warm_list_{limits::tls_warm_connections};
    unsigned handshake_turns_ = limits::tls_handshake_turns;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/detail/dispatch.hpp>
#endif
