// The io_uring backend. A multishot poll tells of events, not of states, so a descriptor that was reported
// is looked at afresh by the next wait: an update of its poll, which costs a queue entry and no system
// call, makes level-triggered of it.
//
// For stream transports it also receives, into buffers that all connections share, and sends: what the
// callbacks of a turn write leaves with the entry into the kernel that waits for the next. For acceptors it
// accepts, and what is not in memory of a file it reads.
//
// A token names one operation of one registration of a descriptor. Completions of an earlier registration
// carry an old token.
#pragma once

#include <sluice/descriptor.hpp>
#include <sluice/detail/accept_completions.hpp>
#include <sluice/detail/file_completions.hpp>
#include <sluice/detail/io_uring.hpp>
#include <sluice/detail/ring.hpp>
#include <sluice/detail/send_batch.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include <array>
#include <memory>
#include <vector>

namespace sluice::inline v0_1::detail {

class IoUringPoller final : public Poller,
                            public StreamCompletions,
                            public AcceptCompletions,
                            public FileCompletions {
public:
    IoUringPoller() noexcept = default;
    ~IoUringPoller() override;

    /// Opens nothing but the ring, so that a refusal leaves nothing behind.
    [[nodiscard]] std::error_code open_ring() noexcept;
    /// Throws std::system_error.
    void open_wake();
    /// Where the kernel has it, receives and sends for transports from now on.
    void use_completions() noexcept;

    std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept override;
    std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept override;
    void remove(int fd) noexcept override;
    std::size_t wait(std::optional<Duration> timeout,
                     std::span<ReadyEvent> batch) noexcept override;

    void wake() noexcept override { sys::signal_wake(wake_.get()); }
    StreamCompletions* completions() noexcept override {
        return pieces_ != nullptr ? this : nullptr;
    }
    AcceptCompletions* accept_completions() noexcept override {
        return acts_when_entered() ? this : nullptr;
    }
    FileCompletions* file_completions() noexcept override {
        return acts_when_entered() ? this : nullptr;
    }
    const char* name() const noexcept override { return "io_uring"; }
    std::string features() const override;
    int pollable_fd() noexcept override;

    Taken take(int fd) noexcept override;
    void put_back(int fd, ReceivedPiece& piece) noexcept override;
    void give_back(ReceivedPiece& piece) noexcept override;
    void note_emptied(int fd) noexcept override;
    bool send_later(BatchedSender& sender, int fd, Bytes bytes) noexcept override {
        return sends_.put(sender, fd, bytes);
    }
    Bytes take_back(BatchedSender& sender) noexcept override { return sends_.take_back(sender); }
    void report_sends() noexcept override { sends_.report(); }
    void send_all_now() noexcept override;

    Result<int> take_accepted(int listener) noexcept override;

    bool read(const std::shared_ptr<FileRead>& reading, int file, MutableBytes into,
              std::int64_t offset) noexcept override;
    void report_reads() noexcept override;

private:
    // Of the operation that receives, or accepts.
    enum class Receiving : std::uint8_t { no, yes, being_cancelled };
    // Of a listener: what has been accepted and not been taken.
    struct Accepted {
        Accepted() noexcept = default;
        Accepted(const Accepted&) = delete;
        Accepted& operator=(const Accepted&) = delete;
        ~Accepted();

        [[nodiscard]] bool empty() const noexcept { return taken == sockets.size() && error == 0; }

        std::vector<int> sockets;
        std::size_t taken = 0;   // of them
        std::int32_t error = 0;  // an errno: what came after them
        Receiving accepting = Receiving::no;
    };
    struct Registration {
        Watcher* watcher = nullptr;  // null: none
        std::uint32_t generation = 0;
        // Where the running batch has this one, if `batch` is its number.
        std::uint32_t batch = 0;
        std::uint32_t place = 0;
        Readiness interest = Readiness::none;
        bool polled = false;              // the kernel has a poll for it
        std::uint32_t polled_events = 0;  // what it was last asked for; 0 if that may have failed
        // What a poll has said, until a batch has had room for it.
        Readiness untold = Readiness::none;
        bool stale = false;      // and is to be told, or asked, something: it stands in stale_
        bool only_told = false;  // stale for no other reason than that it was reported
        bool emptied = false;    // and it need not be looked at again
        bool due = false;        // something is to be told without asking: it stands in due_
        Receiving receiving = Receiving::no;
        bool stream_ended = false;      // nothing more will be received
        std::int32_t stream_error = 0;  // an errno: why
        ReceivedPiece* oldest = nullptr;
        ReceivedPiece* newest = nullptr;
        std::unique_ptr<Accepted> accepted;  // of a listener

        [[nodiscard]] bool has_accepted() const noexcept {
            return accepted != nullptr && !accepted->empty();
        }
        [[nodiscard]] bool has_received() const noexcept {
            return oldest != nullptr || stream_ended;
        }
    };

    // Of a file: what is to be read, is being read, or has been.
    enum class Reading : std::uint8_t { free, asked_for, under_way, done };
    struct FileReading {
        std::shared_ptr<FileRead> reading;
        MutableBytes into;
        std::int64_t offset = 0;
        int file = Descriptor::none;
        std::int32_t result = 0;  // negative: an errno
        Reading state = Reading::free;
    };

    // Bits 0 to 31: the descriptor; 32 to 60: the generation; 61 to 63: which operation it is, none of them
    // for a poll.
    static constexpr std::uint64_t operation_bits = std::uint64_t{7} << 61;
    static constexpr std::uint64_t send_bits = std::uint64_t{1}
                                               << 61;  // and its place in the batch
    static constexpr std::uint64_t receive_bits = std::uint64_t{2} << 61;
    static constexpr std::uint64_t accept_bits = std::uint64_t{3} << 61;
    static constexpr std::uint64_t update_bits = std::uint64_t{4} << 61;
    static constexpr std::uint64_t read_bits = std::uint64_t{5}
                                               << 61;  // and its place in readings_
    // An update that changes nothing, which has the kernel look again.
    static constexpr std::uint64_t look_bits = std::uint64_t{6} << 61;
    static constexpr std::uint32_t generation_mask = 0x1fffffff;
    // With which a watcher is told what it has not taken yet.
    static constexpr Readiness due_interest =
        Readiness::received | Readiness::readable | Readiness::accepted;
    // No descriptor has these numbers.
    static constexpr std::uint64_t wake_token = 0xffffffff;
    static constexpr std::uint64_t cancel_token = 0xfffffffe;

    [[nodiscard]] Registration& at(int fd) noexcept {
        return registrations_[static_cast<std::size_t>(fd)];
    }
    [[nodiscard]] static std::uint64_t token_of(int fd, const Registration& registration) noexcept {
        return std::uint64_t{registration.generation} << 32 | static_cast<std::uint32_t>(fd);
    }
    [[nodiscard]] static std::uint32_t events_to_poll(const Registration& registration) noexcept;
    static Readiness readiness(std::uint32_t events, Readiness interest) noexcept;

    /// Is nothing done but inside our own system calls? Then closing the ring ends everything.
    [[nodiscard]] bool acts_when_entered() const noexcept { return mode_ == RingMode::deferred; }
    void make_room_for(int fd);
    [[nodiscard]] bool cancel_operations(int fd, const Registration& registration) noexcept;
    void mark_stale(int fd) noexcept;
    void look_again_at(int fd) noexcept;
    [[nodiscard]] bool renew_ring() noexcept;
    void abandon_ring() noexcept;
    [[nodiscard]] bool hand_over_stale() noexcept;
    [[nodiscard]] bool may_not_sleep() noexcept;
    [[nodiscard]] bool hand_over(int fd) noexcept;
    [[nodiscard]] std::error_code enter(Duration timeout) noexcept;
    [[nodiscard]] std::size_t collect(std::span<ReadyEvent> batch) noexcept;
    void take_completions(std::span<ReadyEvent> batch, std::size_t& collected) noexcept;
    [[nodiscard]] Readiness note(const RingCompletion& completion) noexcept;
    [[nodiscard]] Readiness note_poll(int fd, Registration& registration,
                                      const RingCompletion& completion) noexcept;
    [[nodiscard]] Readiness note_received(int fd, Registration& registration,
                                          const RingCompletion& completion) noexcept;
    void note_update_failed(int fd, Registration& registration, int error,
                            bool only_looked) noexcept;
    void add_to_batch(int fd, Readiness ready, std::span<ReadyEvent> batch,
                      std::size_t& collected) noexcept;

    [[nodiscard]] bool hand_over_poll(int fd, Registration& registration) noexcept;
    [[nodiscard]] bool hand_over_reads() noexcept;
    void note_read(std::size_t place, std::int32_t result) noexcept;
    void finish_reads() noexcept;
    void give_up_reads() noexcept;
    [[nodiscard]] bool hand_over_receive(int fd, Registration& registration) noexcept;
    [[nodiscard]] bool hand_over_accept(int fd, Registration& registration) noexcept;
    [[nodiscard]] Readiness note_accepted(int fd, Registration& registration,
                                          const RingCompletion& completion) noexcept;
    [[nodiscard]] static Readiness what_is_due(const Registration& registration) noexcept;
    [[nodiscard]] bool anything_due() noexcept;
    void collect_due(std::span<ReadyEvent> batch, std::size_t& collected) noexcept;
    void mark_due(int fd) noexcept;
    void append(Registration& registration, ReceivedPiece& piece) noexcept;
    void release(ReceivedPiece& piece) noexcept;
    void move_out_of_buffers(Registration& registration) noexcept;
    void end_for_want_of_memory(Registration& registration) noexcept;
    void forget_received(Registration& registration) noexcept;
    void save_received() noexcept;
    [[nodiscard]] bool see_sends_taken() noexcept;
    void show_what_is_left() noexcept;

    Ring ring_;
    RingMode mode_ = RingMode::interrupting;
    Descriptor wake_;
    bool started_ = false;                     // the ring is this thread's
    bool wake_polled_ = false;                 // the kernel has a poll for wake_
    bool woken_ = false;                       // and wait() has not seen to it yet
    bool embedded_ = false;                    // somebody may poll the ring itself
    std::vector<Registration> registrations_;  // by descriptor
    std::vector<int> stale_;                   // neither is longer than registrations_
    std::vector<int> due_;
    std::unique_ptr<ReceivedPiece[]> pieces_;  // one for each buffer; null: no completions
    std::size_t pieces_taken_ = 0;             // and not given back yet
    bool abandon_later_ = false;               // when they have been
    SendBatch sends_;
    std::vector<FileReading> readings_;
    std::size_t reads_asked_for_ = 0;  // of those, by their state
    std::size_t reads_under_way_ = 0;
    std::size_t reads_done_ = 0;
    std::error_code no_completions_;  // why there are none
    std::uint32_t batch_number_ = 0;
    std::array<RingCompletion, limits::ring_completions> completions_;
};

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && defined(SLUICE_IO_URING)
#include <sluice/impl/io_uring.ipp>
#include <sluice/impl/io_uring_accept.ipp>
#include <sluice/impl/io_uring_files.ipp>
#include <sluice/impl/io_uring_polls.ipp>
#include <sluice/impl/io_uring_streams.ipp>
#endif
