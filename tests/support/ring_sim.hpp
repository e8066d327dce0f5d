// SimRing: an io_uring of the simulated system, which the fake ring of ring_sim_calls.cpp shows through
// detail/ring.hpp.
//
// What happens to a descriptor becomes work; an entry into the kernel does some of it, in any order of
// the descriptors, and each piece of it may complete an operation. What the kernel orders, the
// completions of one operation, stays in order. It calls the simulated system calls for whatever moves
// bytes, so their faults hit it, too. Private to ring_sim*.cpp.
#pragma once

#include <sluice/detail/ring.hpp>

#include "support/sys_sim_machine.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace sluice::test {

/// An entry of the submission queue.
struct SimRingEntry {
    enum class Kind : std::uint8_t { poll, update, cancel, receive, send, accept, read };

    Kind kind;
    int fd = -1;
    std::uint64_t token = 0;
    std::uint64_t own_token = 0;  // update, cancel
    std::uint32_t events = 0;     // poll, update
    Bytes bytes{};                // send
    MutableBytes into{};          // read
    std::uint64_t offset = 0;
    bool left_over = false;  // an entry into the kernel has not taken it
};

class SimRing final : public SimHolder {
public:
    SimRing(SimMachine& machine, int fd);
    ~SimRing();
    SimRing(const SimRing&) = delete;
    SimRing& operator=(const SimRing&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    void start() noexcept { started_ = true; }

    /// False if there is no room for it.
    bool queue(SimRingEntry entry);
    [[nodiscard]] std::size_t queued() const noexcept { return queue_.size(); }
    void forget_queued();

    void provide_buffers();
    [[nodiscard]] bool has_buffers() const noexcept { return memory_ != nullptr; }
    [[nodiscard]] std::byte* buffer(std::int32_t number) const noexcept;
    void give_back(std::int32_t number);
    [[nodiscard]] bool keeps_back() const noexcept { return !kept_back_.empty(); }

    /// Both return an errno, or 0.
    int submit();
    int submit_and_wait(Duration timeout);
    std::size_t take(std::span<detail::RingCompletion> into);

    void keep(int fd, std::unique_ptr<SimSocket>& socket) override;
    [[nodiscard]] std::size_t buffers_lent() const noexcept override { return lent_count_; }
    [[nodiscard]] std::size_t operations() const noexcept override { return operations_.size(); }

private:
    /// What of a descriptor's state, once it has changed, wakes who waits for it.
    struct Sight {
        const void* object = nullptr;
        std::uint64_t arrived = 0;
        std::uint64_t drained = 0;
        std::uint64_t cut_short = 0;
        std::uint64_t other = 0;
        bool operator==(const Sight&) const noexcept = default;
    };
    struct Operation {
        SimRingEntry entry;
        Sight seen{};
        TimePoint done_at{};     // read
        bool woken = false;      // it is in work_
        std::uint32_t said = 0;  // poll: by what has woken it
        bool cancelled = false;
        // The library was not let tell of its end, so that the file may be closed before.
        bool excused = false;
        std::shared_ptr<SimSocket> file{};  // once its descriptor has been closed
    };

    bool fault(unsigned per_mille) { return machine_.fault(random_, per_mille); }
    [[nodiscard]] Operation* find(std::uint64_t token);
    void excuse(std::uint64_t token);
    void excuse_all();
    void note_refused(const SimRingEntry& send);

    int enter();
    void wait_until(std::optional<TimePoint> deadline);
    bool consume();
    void begin(SimRingEntry& entry);
    void begin_operation(const SimRingEntry& entry);
    void update(const SimRingEntry& entry);
    void cancel(const SimRingEntry& entry);
    void send(const SimRingEntry& entry);

    [[nodiscard]] Sight look_at(const Operation& operation);
    [[nodiscard]] std::uint32_t ready_events(const Operation& operation);
    void look(Operation& operation);
    void look_after_event(Operation& operation);
    void wake(Operation& operation);
    void settle();
    void do_work(std::size_t most, bool all_cancelled);
    [[nodiscard]] std::size_t portion(std::size_t least);

    void perform(Operation& operation);
    void perform_poll(Operation& operation);
    void perform_receive(Operation& operation);
    void perform_accept(Operation& operation);
    void perform_read(Operation& operation);

    void post(const detail::RingCompletion& completion);
    [[nodiscard]] bool has_room() const noexcept;
    bool complete(Operation& operation, std::int32_t result, std::int32_t buffer = -1);
    void finish(Operation& operation, std::int32_t result, std::int32_t buffer = -1);
    void show_kept_back();
    void return_buffer(std::int32_t number);
    void take_buffers_back();

    SimMachine& machine_;
    int fd_;
    SimRandom random_;
    bool started_ = false;
    bool moved_ = false;  // it is another thread's
    bool handed_over_a_part_ = false;
    bool found_nothing_ = false;  // the last take()
    std::deque<SimRingEntry> queue_;
    std::list<Operation> operations_;
    std::vector<Operation*> work_;
    std::deque<detail::RingCompletion> completions_;
    std::deque<detail::RingCompletion> kept_back_;
    std::set<std::uint64_t> accepts_;  // the tokens of all that were begun

    std::unique_ptr<std::byte[]> memory_;
    std::deque<std::int32_t> free_;
    std::vector<bool> lent_;
    std::size_t lent_count_ = 0;
};

}  // namespace sluice::test
