// StreamCompletions: what a backend offers to stream transports that can do the work itself instead of
// saying when it may be done: receiving into buffers of its own, and sending in batches.
//
// It calls no code of the user. A transport uses it in place of one recv and one send; whatever else is
// done with the descriptor stays what it is.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace sluice::inline v0_1::detail {

/// Somebody whose bytes leave with the loop's next wait instead of by a system call of their own.
class BatchedSender {
public:
    BatchedSender() noexcept = default;
    BatchedSender(const BatchedSender&) = delete;
    BatchedSender& operator=(const BatchedSender&) = delete;

    /// The kernel has not taken `unsent`, which are valid during the call: for `error`, or because the
    /// socket's buffer is full. Not called when all went well.
    virtual void not_sent(Bytes unsent, std::error_code error) noexcept = 0;
    /// To be sent now, by a system call of its own.
    virtual void send_held() noexcept = 0;

    /// Has it bytes in the batch?
    [[nodiscard]] bool holds_bytes() const noexcept { return place_ != none; }

protected:
    ~BatchedSender() { SLUICE_ASSERT(place_ == none); }

private:
    friend class SendBatch;
    static constexpr std::uint32_t none = 0xffffffff;
    std::uint32_t place_ = none;
};

/// Bytes that the backend has received. Whoever took it gives it back, whole.
struct ReceivedPiece {
    ReceivedPiece* next = nullptr;
    std::byte* data = nullptr;
    std::uint32_t begin = 0;  // what is before has been consumed
    std::uint32_t end = 0;
    std::int32_t buffer = -1;  // the backend's number for its memory; -1: memory of its own

    [[nodiscard]] MutableBytes rest() const noexcept { return {data + begin, end - begin}; }
};

class StreamCompletions {
public:
    StreamCompletions() = default;
    StreamCompletions(const StreamCompletions&) = delete;
    StreamCompletions& operator=(const StreamCompletions&) = delete;

    // ---- receiving: for a watcher with Readiness::received ----

    struct Taken {
        ReceivedPiece* piece;   // the oldest; null: see the others
        std::error_code error;  // the stream has failed
        bool ended;             // the peer has sent everything
        bool running;           // more may come this way; if not, recv(2) may be called
    };
    [[nodiscard]] virtual Taken take(int fd) noexcept = 0;
    /// As the oldest again.
    virtual void put_back(int fd, ReceivedPiece& piece) noexcept = 0;
    virtual void give_back(ReceivedPiece& piece) noexcept = 0;
    /// recv(2) has just taken all that had arrived: what comes next will be told without looking again.
    virtual void note_emptied(int fd) noexcept = 0;

    // ---- sending ----

    /// Takes a copy of `bytes`, to be sent by the next wait. False if it has no room. To be called
    /// again only after take_back() or the wait.
    [[nodiscard]] virtual bool send_later(BatchedSender& sender, int fd, Bytes bytes) noexcept = 0;
    /// Not to be sent any more: the bytes, valid until the next send_later().
    [[nodiscard]] virtual Bytes take_back(BatchedSender& sender) noexcept = 0;
    /// Tells the senders whose bytes the last wait could not send. Called by the loop core.
    virtual void report_sends() noexcept = 0;
    /// Sends what is held without a wait.
    virtual void send_all_now() noexcept = 0;

protected:
    ~StreamCompletions() = default;
};

}  // namespace sluice::inline v0_1::detail
