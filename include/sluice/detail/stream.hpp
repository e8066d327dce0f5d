// Stream: what the reader, the writer and the protocol of one connection share, and the coroutines
// that wait for it.
//
// It lives as long as one of them does. The protocol tells it what happens (from the loop, never
// inside a reader's or writer's call but for pause_writing) and forgets it with connection_lost, which
// is what breaks the circle transport -> protocol -> stream -> transport. Whoever waits is woken when
// what it waits for is there, not for every piece of it; what it reads is taken only when it runs, so
// that a cancelled read loses nothing.
#pragma once

#include <sluice/detail/intrusive_list.hpp>
#include <sluice/detail/stream_buffer.hpp>
#include <sluice/ref.hpp>
#include <sluice/separators.hpp>
#include <sluice/task.hpp>
#include <sluice/transport.hpp>

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

namespace sluice::inline v0_1::detail {

class ReadOperation;

/// A coroutine that waits for the writing side.
class SLUICE_API WriteWaiter : public LeafAwaiter, public ListNode<WriteWaiter> {
public:
    void wake() noexcept {
        unlink();
        resume_soon();
    }

protected:
    WriteWaiter() noexcept = default;
    ~WriteWaiter() = default;
    /// To be called first in await_resume(): throws Cancelled if that is why it runs.
    void woken();
    bool cancel() noexcept override;

private:
    bool cancelled_ = false;
};

class SLUICE_API Stream final : public RefCounted {
public:
    /// Throws std::invalid_argument for a limit of 0.
    explicit Stream(std::size_t limit_bytes);

    // ---- the protocol's calls ----

    void made(Transport& transport) noexcept;
    [[nodiscard]] MutableBytes room();
    void filled(std::size_t byte_count);
    /// The end of what the peer sends.
    void feed_eof() noexcept;
    void pause_writing() noexcept { writing_paused_ = true; }
    void resume_writing() noexcept;
    void lost(std::error_code reason);

    // ---- reading ----

    [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
    [[nodiscard]] bool eof() const noexcept { return eof_; }
    [[nodiscard]] bool at_eof() const noexcept { return eof_ && buffer_.size() == 0; }
    [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }
    void set_exception(std::exception_ptr exception) noexcept;
    void feed_data(std::string_view text);
    [[nodiscard]] const StreamBuffer& buffer() const noexcept { return buffer_; }

    // ---- writing ----

    /// Null before the connection is made.
    [[nodiscard]] const Ref<Transport>& transport() const noexcept { return transport_; }
    /// The connection is about to go on over another transport (start_tls): what is buffered and no
    /// read has been answered with, taken out of here. Until replace_transport() the old one is left
    /// alone.
    [[nodiscard]] std::string begin_replacing();
    void replace_transport(Ref<Transport> transport) noexcept;
    /// Nothing has come of it, and the old transport is as it was: `taken` belongs here again.
    void cancel_replacing(std::string_view taken);
    /// Can the writing half outlive the reading one?
    [[nodiscard]] bool can_write_eof() const noexcept {
        return !replacing_ && transport_->can_write_eof();
    }
    [[nodiscard]] bool is_lost() const noexcept { return lost_; }
    [[nodiscard]] bool may_write() const noexcept {
        return !writing_paused_ && (transport_ == nullptr || !transport_->is_closing());
    }
    /// Throws what a writer has to hear: the reader's exception, or that the connection is lost.
    void throw_if_broken() const {
        if (exception_ || lost_) [[unlikely]] {
            throw_broken();
        }
    }
    [[nodiscard]] const std::exception_ptr& reason() const noexcept { return reason_; }
    void add_drain(WriteWaiter& waiter) noexcept;
    void add_closed(WriteWaiter& waiter) noexcept { closed_waiters_.push_back(waiter); }

    void writer_made() noexcept { ++writers_; }
    /// Closes the connection with the last one.
    void writer_gone() noexcept;

private:
    friend ReadOperation;

    void unreferenced() noexcept override { delete this; }
    [[noreturn]] void throw_broken() const;
    void received() noexcept;
    void wake_reader() noexcept;
    void pause_reading() noexcept;
    /// Reading goes on if what is buffered, or what is asked for, lets it.
    void resume_reading() noexcept;
    static void wake_all(IntrusiveList<WriteWaiter>& waiters) noexcept;

    StreamBuffer buffer_;
    std::size_t limit_;
    ReadOperation* reading_ = nullptr;
    bool eof_ = false;
    bool reading_paused_ = false;
    bool cannot_pause_ = false;
    bool writing_paused_ = false;
    bool replacing_ = false;
    bool lost_ = false;
    unsigned writers_ = 0;
    Ref<Transport> transport_;
    std::exception_ptr exception_;  // for reads
    std::exception_ptr reason_;     // why the connection was lost
    IntrusiveList<WriteWaiter> drain_waiters_;
    IntrusiveList<WriteWaiter> closed_waiters_;
};

/// One read: what is asked for, and how far it has come.
class SLUICE_API ReadOperation : public LeafAwaiter {
public:
    enum class Kind : std::uint8_t { some, to_end, exactly, until, line };

    ReadOperation(const Ref<Stream>& stream, Kind kind, const char* name,
                  std::size_t count) noexcept
        : stream_(stream), name_(name), kind_(kind), count_(count) {}
    ReadOperation(const Ref<Stream>& stream, Kind kind, const char* name, char separator) noexcept
        : stream_(stream), name_(name), kind_(kind), single_(true), separator_(separator) {}
    ReadOperation(const Ref<Stream>& stream, const char* name, std::string_view separator);
    ReadOperation(const Ref<Stream>& stream, const char* name,
                  const Separators& separators) noexcept
        : stream_(stream), name_(name), kind_(Kind::until), separators_(separators) {}
    /// Of one that nobody awaits yet.
    ReadOperation(const ReadOperation& other)
        : LeafAwaiter(),
          stream_(other.stream_),
          name_(other.name_),
          kind_(other.kind_),
          single_(other.single_),
          separator_(other.separator_),
          count_(other.count_),
          separators_(other.separators_) {}

    /// Is it answered already? Throws std::logic_error while another one waits.
    bool await_ready() {
        Stream& stream = *stream_;
        std::size_t searched = 0;
        if (stream.reading_ == nullptr && single_ && !stream.exception_) [[likely]] {
            stream.buffer_.end_loan();
            const std::string_view text = stream.buffer_.text();
            const std::size_t at = text.find(separator_);
            if (at <= stream.limit_) [[likely]] {
                result_ = at + 1;
                state_ = State::complete;
                return true;
            }
            searched = std::min(at, text.size());
        }
        return begin(searched);
    }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        suspend(coroutine);
        wait();
    }
    /// Does it wait for more than the limit lets the buffer hold?
    [[nodiscard]] bool wants_more() const noexcept {
        return !answered() && (kind_ == Kind::exactly || kind_ == Kind::to_end);
    }
    /// Something has changed: is it answered now?
    [[nodiscard]] bool check() noexcept;
    [[nodiscard]] bool answered() const noexcept { return state_ != State::open; }
    /// Of an answered one: how many buffered bytes it is going to take.
    [[nodiscard]] std::size_t claimed() const noexcept;
    /// What is buffered is other bytes now.
    void search_again() noexcept { searched_ = 0; }
    void wake() noexcept { resume_soon(); }

protected:
    enum class State : std::uint8_t { open, complete, ended, overrun, overrun_behind, failed };

    ~ReadOperation() {
        if (stream_->reading_ == this) [[unlikely]] {
            stream_->reading_ = nullptr;
        }
    }
    /// What was read, lent by the buffer, or throws; to be called once, by await_resume().
    std::string_view finish() {
        // First, since resumed() may throw and this object live on as a coroutine's parameter.
        if (stream_->reading_ == this) {
            stream_->reading_ = nullptr;
        }
        resumed();
        if (state_ == State::complete) [[likely]] {
            return take();
        }
        return finish_slowly();
    }
    /// Was nothing left but the end of the stream?
    [[nodiscard]] bool found_end() const noexcept { return state_ == State::ended && result_ == 0; }

private:
    bool cancel() noexcept override;
    bool begin(std::size_t searched);
    void wait() noexcept;
    void search() noexcept;
    [[nodiscard]] std::size_t find_end(std::string_view text, std::size_t& start) const noexcept;
    [[nodiscard]] std::size_t find_first_end(std::string_view text, std::size_t from,
                                             std::size_t& start) const noexcept;
    [[nodiscard]] std::size_t longest_separator() const noexcept;
    std::string_view take() noexcept {
        const std::string_view taken = stream_->buffer_.take(result_);
        if (stream_->reading_paused_) [[unlikely]] {
            stream_->resume_reading();
        }
        return taken;
    }
    std::string_view finish_slowly();
    [[noreturn]] void throw_overrun();

    Ref<Stream> stream_;
    const char* name_;
    Kind kind_;
    State state_ = State::open;
    bool single_ = false;  // the separator is one byte
    bool cancelled_ = false;
    char separator_ = '\n';
    std::size_t count_ = 0;
    std::size_t result_ = 0;    // bytes to take; for overruns, asyncio's `consumed`
    std::size_t searched_ = 0;  // no separator begins before this
    std::variant<std::monostate, std::string, Separators> separators_;  // of more than one byte
};

/// The form in which a read gives what it read.
template <class Result>
class ReadAwaiter final : public ReadOperation {
public:
    using ReadOperation::ReadOperation;

    Result await_resume() { return Result(finish()); }
};

/// A line without its end, nothing at the end of the stream.
template <class Text>
class LineAwaiter final : public ReadOperation {
public:
    using ReadOperation::ReadOperation;

    std::optional<Text> await_resume() {
        std::string_view line = finish();
        if (found_end()) {
            return std::nullopt;
        }
        if (line.ends_with('\n')) {
            line.remove_suffix(line.ends_with("\r\n") ? 2 : 1);
        }
        return std::optional<Text>(std::in_place, line);
    }
};

class SLUICE_API DrainAwaiter final : public WriteWaiter {
public:
    explicit DrainAwaiter(Ref<Stream> stream) noexcept : stream_(std::move(stream)) {}
    DrainAwaiter(const DrainAwaiter& other) noexcept : WriteWaiter(), stream_(other.stream_) {}

    bool await_ready() const noexcept {
        return stream_->may_write() || stream_->exception() || stream_->is_lost();
    }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        suspend(coroutine);
        stream_->add_drain(*this);
    }
    void await_resume() {
        woken();
        stream_->throw_if_broken();
    }

private:
    Ref<Stream> stream_;
};

class SLUICE_API ClosedAwaiter final : public WriteWaiter {
public:
    explicit ClosedAwaiter(Ref<Stream> stream) noexcept : stream_(std::move(stream)) {}
    ClosedAwaiter(const ClosedAwaiter& other) noexcept : WriteWaiter(), stream_(other.stream_) {}

    bool await_ready() const noexcept { return stream_->is_lost(); }
    template <TaskLike Promise>
    void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
        suspend(coroutine);
        stream_->add_closed(*this);
    }
    void await_resume() {
        woken();
        if (stream_->reason()) {
            std::rethrow_exception(stream_->reason());
        }
    }

private:
    Ref<Stream> stream_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream.ipp>
#endif
