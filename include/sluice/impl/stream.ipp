// Stream and the coroutines that wait for it: what does not happen with every message.
#pragma once

#include <sluice/detail/stream.hpp>
#include <sluice/error.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/stream_error.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace sluice::inline v0_1 {

namespace detail {

// ---- waiting for the writing side ----

SLUICE_INLINE void WriteWaiter::woken() {
    resumed();
    if (cancelled_) {
        throw Cancelled();
    }
}

SLUICE_INLINE bool WriteWaiter::cancel() noexcept {
    if (!linked()) {
        return cancelled_;
    }
    cancelled_ = true;
    wake();
    return true;
}

// ---- what the protocol tells ----

SLUICE_INLINE Stream::Stream(std::size_t limit_bytes) : RefCounted(nullptr), limit_(limit_bytes) {
    if (limit_bytes == 0) {
        throw std::invalid_argument("StreamReader: the limit must be greater than 0");
    }
    // So that sums and doubles of it do not overflow.
    limit_ = std::min(limit_, std::numeric_limits<std::size_t>::max() / 4);
}

SLUICE_INLINE void Stream::made(Transport& transport) noexcept {
    transport_ = Ref<Transport>(&transport);
}

SLUICE_INLINE MutableBytes Stream::room() {
    const std::size_t held_bytes = 2 * limit_ + 1;
    const std::size_t buffered = buffer_.size();
    std::size_t most = held_bytes > buffered ? held_bytes - buffered : 1;
    // With a separator longer than the limit a read waits for more than else would be held.
    const bool waits = reading_ != nullptr && !reading_->answered();
    if (waits && (reading_->wants_more() || buffered >= held_bytes)) {
        most = std::max(most, limits::stream_block_max_bytes);
    }
    return buffer_.room(most);
}

SLUICE_INLINE void Stream::filled(std::size_t byte_count) {
    buffer_.filled(byte_count);
    received();
}

SLUICE_INLINE void Stream::received() noexcept {
    wake_reader();
    const bool more_is_wanted = reading_ != nullptr && !reading_->answered();
    if (!more_is_wanted && buffer_.size() > 2 * limit_) {
        pause_reading();
    }
}

SLUICE_INLINE void Stream::wake_reader() noexcept {
    if (reading_ != nullptr && !reading_->answered() && reading_->check()) {
        reading_->wake();
    }
}

SLUICE_INLINE void Stream::pause_reading() noexcept {
    if (reading_paused_ || cannot_pause_ || replacing_ || transport_ == nullptr) {
        return;
    }
    try {
        transport_->pause_reading();
        reading_paused_ = true;
    } catch (const std::exception&) {
        // A transport of somebody else's that cannot; asyncio does not ask it twice either.
        cannot_pause_ = true;
    }
}

SLUICE_INLINE void Stream::resume_reading() noexcept {
    const bool more_is_wanted = reading_ != nullptr && !reading_->answered();
    if (!reading_paused_ || replacing_ || (buffer_.size() > limit_ && !more_is_wanted)) {
        return;
    }
    reading_paused_ = false;
    try {
        transport_->resume_reading();
    } catch (const std::exception&) {
        cannot_pause_ = true;
    }
}

SLUICE_INLINE void Stream::feed_eof() noexcept {
    eof_ = true;
    wake_reader();
}

SLUICE_INLINE void Stream::feed_data(std::string_view text) {
    SLUICE_ASSERT(!eof_);
    if (!text.empty()) {
        buffer_.append(text);
        received();
    }
}

SLUICE_INLINE void Stream::resume_writing() noexcept {
    writing_paused_ = false;
    wake_all(drain_waiters_);
}

SLUICE_INLINE void Stream::lost(std::error_code reason) {
    lost_ = true;
    if (reason) {
        reason_ = std::make_exception_ptr(std::system_error(reason, "the connection was lost"));
        // A TLS stream without close_notify is one that ended: many a server hangs up so, and what it
        // sent before is whole. wait_closed() tells.
        if (!exception_ && reason != Error::tls_truncated) {
            exception_ = reason_;
        }
    }
    eof_ = true;
    wake_reader();
    wake_all(drain_waiters_);
    wake_all(closed_waiters_);
}

SLUICE_INLINE void Stream::wake_all(IntrusiveList<WriteWaiter>& waiters) noexcept {
    while (!waiters.empty()) {
        waiters.front().wake();
    }
}

// ---- what readers and writers ask for ----

SLUICE_INLINE void Stream::set_exception(std::exception_ptr exception) noexcept {
    exception_ = std::move(exception);
    wake_reader();
}

SLUICE_INLINE std::string Stream::begin_replacing() {
    // A read that was answered before has its bytes, although its coroutine has not run yet.
    const std::size_t claimed = reading_ != nullptr ? reading_->claimed() : 0;
    std::string rest(buffer_.text().substr(claimed));
    buffer_.keep(claimed);
    if (reading_ != nullptr) {
        reading_->search_again();
    }
    replacing_ = true;
    return rest;
}

SLUICE_INLINE void Stream::cancel_replacing(std::string_view taken) {
    replacing_ = false;
    buffer_.append(taken);
    received();
}

SLUICE_INLINE void Stream::replace_transport(Ref<Transport> transport) noexcept {
    transport_ = std::move(transport);
    replacing_ = false;
    reading_paused_ = false;
    cannot_pause_ = false;
    received();
}

SLUICE_INLINE void Stream::throw_broken() const {
    if (exception_) {
        std::rethrow_exception(exception_);
    }
    if (reason_) {
        std::rethrow_exception(reason_);
    }
    throw std::system_error(std::make_error_code(std::errc::connection_reset), "Connection lost");
}

SLUICE_INLINE void Stream::add_drain(WriteWaiter& waiter) noexcept {
    if (writing_paused_) {
        drain_waiters_.push_back(waiter);
    } else {
        // Closing: connection_lost gets its chance, so that a loop that writes and drains ends.
        waiter.wake();
    }
}

SLUICE_INLINE void Stream::writer_gone() noexcept {
    if (--writers_ != 0 || transport_ == nullptr || lost_ || transport_->is_closing()) {
        return;
    }
    try {
        if (EventLoop* const loop = EventLoop::running(); loop != nullptr && loop->get_debug()) {
            loop->call_exception_handler(
                {.message = "a StreamWriter was dropped without close(): " +
                            transport_->get_extra_info(extra::peername).to_string(),
                 .exception = {},
                 .error = {},
                 .transport = transport_.get()});
        }
        transport_->close();
    } catch (const std::exception&) {
        // Memory for the report, or a thread that is not the loop's, which debug mode refuses.
    }
}

// ---- one read ----

SLUICE_INLINE ReadOperation::ReadOperation(const Ref<Stream>& stream, const char* name,
                                           std::string_view separator)
    : stream_(stream), name_(name), kind_(Kind::until), single_(separator.size() == 1) {
    if (separator.empty()) {
        throw std::invalid_argument(std::string(name) + "(): a separator has at least one byte");
    }
    if (single_) {
        separator_ = separator.front();
    } else {
        separators_.emplace<std::string>(separator);
    }
}

SLUICE_INLINE bool ReadOperation::begin(std::size_t searched) {
    if (stream_->reading_ != nullptr) {
        throw std::logic_error(
            std::string(name_) +
            "() called while another coroutine is already waiting for incoming data");
    }
    stream_->buffer_.end_loan();
    // It may have been awaited before.
    state_ = State::open;
    cancelled_ = false;
    searched_ = searched;
    return check();
}

SLUICE_INLINE void ReadOperation::wait() noexcept {
    stream_->reading_ = this;
    stream_->buffer_.rest();
    stream_->resume_reading();
}

SLUICE_INLINE bool ReadOperation::cancel() noexcept {
    if (answered()) {
        return false;
    }
    if (!cancelled_) {
        cancelled_ = true;
        stream_->reading_ = nullptr;
        resume_soon();
    }
    return true;
}

SLUICE_INLINE bool ReadOperation::check() noexcept {
    const std::size_t buffered = stream_->buffer_.size();
    if (stream_->exception_) {
        state_ = State::failed;
    } else if (kind_ == Kind::until || kind_ == Kind::line) {
        search();
    } else if (kind_ == Kind::to_end ? stream_->eof_ : buffered >= count_) {
        state_ = State::complete;
        result_ = kind_ == Kind::to_end ? buffered : count_;
    } else if (kind_ == Kind::some && (buffered != 0 || stream_->eof_)) {
        state_ = State::complete;
        result_ = buffered;
    } else if (stream_->eof_) {
        state_ = State::ended;
        result_ = buffered;
    }
    return answered();
}

SLUICE_INLINE void ReadOperation::search() noexcept {
    const std::string_view text = stream_->buffer_.text();
    std::size_t start = 0;
    const std::size_t end = find_end(text, start);
    if (end != std::string_view::npos) {
        state_ = start > stream_->limit_ ? State::overrun_behind : State::complete;
        result_ = start > stream_->limit_ ? start : end;
        return;
    }
    const std::size_t longest = longest_separator();
    // A separator may have begun to arrive.
    searched_ = text.size() >= longest ? text.size() + 1 - longest : 0;
    if (searched_ > stream_->limit_) {
        state_ = State::overrun;
        result_ = searched_;
    } else if (stream_->eof_) {
        state_ = State::ended;
        result_ = text.size();
    }
}

SLUICE_INLINE std::size_t ReadOperation::claimed() const noexcept {
    switch (state_) {
        case State::complete:
        case State::ended:
            return result_;
        case State::overrun_behind:
            return kind_ == Kind::line ? result_ + 1 : 0;
        default:
            return 0;
    }
}

/// Where the separator that ends first ends, and where it starts; npos if there is none.
SLUICE_INLINE std::size_t ReadOperation::find_end(std::string_view text,
                                                  std::size_t& start) const noexcept {
    if (!std::holds_alternative<Separators>(separators_)) {
        const auto* const separator = std::get_if<std::string>(&separators_);
        start = separator != nullptr ? text.find(*separator, searched_)
                                     : text.find(separator_, searched_);
        return start == std::string_view::npos ? start : start + longest_separator();
    }
    // In windows, each as large as all before it: a separator that hardly ever comes would otherwise
    // be looked for in everything that is buffered, with each of many short reads.
    std::size_t from = searched_;
    std::size_t window = 2 * longest_separator() + 64;
    while (window < text.size() - std::min(from, text.size())) {
        const std::size_t end = find_first_end(text.substr(0, from + window), from, start);
        if (end != std::string_view::npos) {
            return end;
        }
        from += window + 1 - longest_separator();
        window *= 2;
    }
    return find_first_end(text, from, start);
}

SLUICE_INLINE std::size_t ReadOperation::find_first_end(std::string_view text, std::size_t from,
                                                        std::size_t& start) const noexcept {
    std::size_t first_end = std::string_view::npos;
    for (const std::string& separator : std::get_if<Separators>(&separators_)->texts()) {
        const std::size_t at = text.find(separator, from);
        if (at != std::string_view::npos && at + separator.size() < first_end) {
            start = at;
            first_end = at + separator.size();
            text = text.substr(0, first_end);
        }
    }
    return first_end;
}

SLUICE_INLINE std::size_t ReadOperation::longest_separator() const noexcept {
    if (const auto* const several = std::get_if<Separators>(&separators_)) {
        return several->longest();
    }
    const auto* const separator = std::get_if<std::string>(&separators_);
    return separator != nullptr ? separator->size() : 1;
}

SLUICE_INLINE std::string_view ReadOperation::finish_slowly() {
    if (cancelled_) {
        throw Cancelled();
    }
    if (state_ == State::failed) {
        std::rethrow_exception(stream_->exception_);
    }
    if (state_ == State::overrun || state_ == State::overrun_behind) {
        throw_overrun();
    }
    const std::string_view taken = take();
    if (state_ == State::ended && kind_ != Kind::line) {
        throw IncompleteReadError(std::string(taken), kind_ == Kind::exactly
                                                          ? std::optional<std::size_t>(count_)
                                                          : std::nullopt);
    }
    return taken;
}

SLUICE_INLINE void ReadOperation::throw_overrun() {
    const bool found = state_ == State::overrun_behind;
    const std::string what = found ? "Separator is found, but chunk is longer than limit"
                                   : "Separator is not found, and chunk exceed the limit";
    const std::size_t consumed = result_;
    if (kind_ != Kind::line) {
        throw LimitOverrunError(what, consumed);
    }
    result_ = found ? consumed + 1 : stream_->buffer_.size();
    static_cast<void>(take());
    throw LineTooLongError(what);
}

}  // namespace detail
}  // namespace sluice::inline v0_1
