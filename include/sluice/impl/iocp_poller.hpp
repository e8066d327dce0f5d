// The IOCP backend. A poll tells of a socket once, so what was reported is polled anew by the next wait,
// which completes at once if something is still ready: that makes it level-triggered.
//
// For stream transports it also receives: a connection that reads has a receive of no bytes under way,
// which needs no memory while nothing comes, completes when something has, and tells why a stream failed.
// The bytes are then received when they are taken. It sends their files, too. For acceptors it accepts, a few
// connections ahead.
//
// The system writes to an operation until that has completed, so one whose registration is removed
// meanwhile waits for that.
#pragma once

#include <sluice/impl/windows_operations.ipp>

#include <sluice/descriptor.hpp>
#include <sluice/detail/accept_completions.hpp>
#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/sendfile_completions.hpp>
#include <sluice/detail/stream_completions.hpp>
#include <sluice/detail/sys_iocp.hpp>
#include <sluice/limits.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace sluice::inline v0_1::detail {

class IocpPoller final : public Poller,
                         public StreamCompletions,
                         public SendfileCompletions,
                         public AcceptCompletions {
public:
    IocpPoller()
        : port_(checked(sys::open_completion_port(), "CreateIoCompletionPort")),
          afd_(checked(sys::open_afd(port_.get()), "\\Device\\Afd")) {}
    ~IocpPoller() override;

    std::error_code add(Watcher& watcher, int fd, Readiness interest) noexcept override;
    std::error_code modify(Watcher& watcher, int fd, Readiness interest) noexcept override;
    void remove(int fd) noexcept override;
    std::size_t wait(std::optional<Duration> timeout,
                     std::span<ReadyEvent> batch) noexcept override;

    void wake() noexcept override;
    StreamCompletions* completions() noexcept override { return this; }
    SendfileCompletions* sendfile_completions() noexcept override {
        return sends_files_ ? this : nullptr;
    }
    AcceptCompletions* accept_completions() noexcept override { return this; }
    const char* name() const noexcept override { return "iocp"; }
    int pollable_fd() noexcept override { return Descriptor::none; }

    Taken take(int fd) noexcept override;
    void put_back(int fd, ReceivedPiece& piece) noexcept override;
    void give_back(ReceivedPiece& piece) noexcept override;
    void note_emptied(int) noexcept override {}
    // WSASend of a non-blocking socket is done when it returns; later would cost two calls instead of one.
    bool send_later(BatchedSender&, int, Bytes) noexcept override { return false; }
    Bytes take_back(BatchedSender&) noexcept override { return {}; }
    void report_sends() noexcept override {}
    void send_all_now() noexcept override {}

    IoResult sendfile(int fd, int file, std::int64_t offset, std::size_t count) noexcept override;

    Result<int> take_accepted(int listener) noexcept override;

private:
    struct Registration;
    struct Operation : SocketOperation {
        using SocketOperation::SocketOperation;

        Registration* registration = nullptr;  // null: removed
    };
    /// Stands in one of the lists of its listener.
    struct Accept : AcceptOperation, ListNode<Accept> {
        Registration* registration = nullptr;  // null: removed
    };
    /// Of a listener. Nothing more is accepted until all of `accepted` has been taken.
    struct Accepts {
        Family family = Family::unspecified;
        IntrusiveList<Accept> under_way;
        std::size_t under_way_count = 0;
        IntrusiveList<Accept> accepted;
        int error = 0;  // what came after them

        [[nodiscard]] bool nothing_to_take() const noexcept {
            return accepted.empty() && error == 0;
        }
    };
    /// What is taken, with its memory.
    struct Piece : ReceivedPiece {
        std::array<std::byte, limits::ring_buffer_bytes> memory;
    };
    /// Stands in stale_ when the system is to be asked something for it, or something received waits.
    struct Registration : AfdPoll, ListNode<Registration> {
        Watcher* watcher = nullptr;  // null: removed
        int fd = Descriptor::none;
        int socket = Descriptor::none;  // what AFD knows it by
        Readiness interest = Readiness::none;
        std::uint32_t polled = 0;   // what the system's poll is for; 0: it has none
        bool has_port = false;      // its operations complete here
        bool only_polled = false;   // they cannot: it has another port
        bool input_waits = false;   // a receive has said so
        bool stream_ended = false;  // nothing more will be received
        std::error_code stream_error;
        Operation* receiving = nullptr;     // the system's
        Operation* sending_file = nullptr;  // the system's
        std::optional<IoResult> file_sent;  // and nobody has taken that
        ReceivedPiece* piece = nullptr;     // that was put back
        std::unique_ptr<Accepts> accepts;   // of a listener

        [[nodiscard]] bool has_received() const noexcept {
            return piece != nullptr || input_waits || stream_ended;
        }
        [[nodiscard]] bool has_accepted() const noexcept {
            return accepts != nullptr && !accepts->nothing_to_take();
        }
    };

    static constexpr std::size_t kept_pieces = 64;
    static constexpr Duration retry_interval = std::chrono::milliseconds(10);

    static Descriptor checked(Result<int> opened, const char* call) {
        if (!opened.ok()) {
            throw std::system_error(opened.error(), call);
        }
        return Descriptor(opened.value());
    }
    static std::uint32_t events_to_poll(const Registration& registration) noexcept;
    static Readiness readiness(std::uint32_t events) noexcept;
    /// What its watcher is to be told without the system's being asked.
    static Readiness known(const Registration& registration) noexcept {
        const bool has_input = registration.has_received() || registration.has_accepted();
        return (has_input ? wanted_input(registration) : Readiness::none) |
               (registration.file_sent ? registration.interest & Readiness::writable
                                       : Readiness::none);
    }
    /// What it is to be told of what has been received or accepted.
    static Readiness wanted_input(const Registration& registration) noexcept {
        return registration.interest &
               (Readiness::received | Readiness::readable | Readiness::accepted);
    }

    [[nodiscard]] Registration* find(int fd) noexcept;
    void mark_stale(Registration& registration) noexcept;
    void cancel_poll(Registration& registration) noexcept;
    [[nodiscard]] std::size_t hand_over_stale(std::span<ReadyEvent> batch) noexcept;
    [[nodiscard]] bool hand_over_poll(Registration& registration) noexcept;
    [[nodiscard]] bool completes_here(Registration& registration) noexcept;
    [[nodiscard]] ReadyEvent note(const PortCompletion& completion) noexcept;
    [[nodiscard]] ReadyEvent note_poll(Registration& registration) noexcept;
    std::size_t take_completions(std::optional<Duration> timeout,
                                 std::span<ReadyEvent> batch) noexcept;

    void hand_over_receive(Registration& registration) noexcept;
    [[nodiscard]] ReceivedPiece* receive_now(Registration& registration) noexcept;
    [[nodiscard]] ReadyEvent note_receive(Operation& receive) noexcept;
    static void end_stream(Registration& registration, std::error_code reason) noexcept;
    void forget_received(Registration& registration) noexcept;
    [[nodiscard]] Piece* take_free() noexcept;

    [[nodiscard]] ReadyEvent note_file_sent(Operation& sending) noexcept;

    void hand_over_accepts(Registration& registration) noexcept;
    [[nodiscard]] std::error_code start_accept(Registration& registration) noexcept;
    [[nodiscard]] ReadyEvent note_accept(Accept& accept) noexcept;
    static void close_accepts(Registration& registration) noexcept;

    Descriptor port_;
    Descriptor afd_;
    // Else two peers that stopped reading would hold up every file of the system.
    const bool sends_files_ = !sys::is_client_edition();
    std::unordered_map<int, std::unique_ptr<Registration>> registrations_;  // by descriptor
    IntrusiveList<Registration> stale_;
    std::size_t under_way_ = 0;  // operations that the system has, those of removed ones included
    ReceivedPiece* free_ = nullptr;  // Pieces that nobody has taken
    std::size_t free_count_ = 0;
    std::atomic<bool> woken_{false};
    std::array<PortCompletion, limits::poll_batch_events> completed_;
};

}  // namespace sluice::inline v0_1::detail
