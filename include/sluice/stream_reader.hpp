// StreamReader: what a connection received, for coroutines to read: so many bytes, up to a separator,
// line by line.
//
// The counterpart of asyncio.StreamReader
// (https://docs.python.org/3/library/asyncio-stream.html#streamreader). A read whose bytes have
// arrived already neither suspends nor allocates. The forms named ..._view copy nothing.
#pragma once

#include <sluice/detail/awaitable.hpp>
#include <sluice/detail/stream.hpp>
#include <sluice/limits.hpp>
#include <sluice/separators.hpp>
#include <sluice/stream_error.hpp>
#include <sluice/task.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1 {

/// The reading half of a stream. A handle: copies read the same stream, one read at a time; to be
/// used on the loop's thread.
///
/// A read can be awaited where it is called, or handed on as a value, above all to timeout(). Each,
/// when awaited, throws: the stored exception, if there is one (a std::system_error when
/// the connection broke; not for a TLS stream that ended without close_notify, see
/// StreamWriter::wait_closed()), although bytes may still be buffered; std::logic_error while another task
/// waits in a read of the same stream; Cancelled if the task is cancelled, and then no byte is lost.
///
/// Views that a read gives point into the reader's buffer and are valid until the next read is
/// awaited, whatever arrives meanwhile, and no longer than the last StreamReader and StreamWriter of
/// the stream exist.
///
/// The limit is the most bytes that a line or what stands before a separator may have. At most twice
/// as many are buffered, plus one, but for read() to the end and readexactly(), which hold what they
/// are asked for.
class SLUICE_API StreamReader {
public:
    /// A reader that nothing feeds yet: for StreamReaderProtocol, and for tests. Throws
    /// std::invalid_argument for a limit of 0.
    explicit StreamReader(std::size_t limit_bytes = limits::stream_limit_bytes);

    /// Waits until there is something, and gives at most `count` bytes of it; "" only at the end of
    /// the stream, or at once for 0. Without a count, or with a negative one, everything up to the
    /// end of the stream, however much that is.
    [[nodiscard]] detail::ReadAwaiter<std::string> read(std::ptrdiff_t count = -1) const {
        return {stream_, count < 0 ? Kind::to_end : Kind::some, "read", size_of(count)};
    }
    /// Waits until there is something, and gives all of it, at most `most` bytes; "" at the end of
    /// the stream. The size of the pieces says nothing about those that were sent.
    [[nodiscard]] detail::ReadAwaiter<std::string> read_some(
        std::size_t most = std::numeric_limits<std::size_t>::max()) const {
        return {stream_, Kind::some, "read_some", most};
    }
    /// The same, without a copy.
    [[nodiscard]] detail::ReadAwaiter<std::string_view> read_some_view(
        std::size_t most = std::numeric_limits<std::size_t>::max()) const {
        return {stream_, Kind::some, "read_some_view", most};
    }

    /// Exactly `count` bytes. Throws IncompleteReadError with what there was if the stream ends
    /// before; std::invalid_argument at once for a negative count.
    [[nodiscard]] detail::ReadAwaiter<std::string> readexactly(std::ptrdiff_t count) const {
        require_not_negative(count);
        return {stream_, Kind::exactly, "readexactly", size_of(count)};
    }
    /// The same, without a copy.
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readexactly_view(
        std::ptrdiff_t count) const {
        require_not_negative(count);
        return {stream_, Kind::exactly, "readexactly_view", size_of(count)};
    }

    ///@{
    /// Everything up to and with `separator`. Throws IncompleteReadError with what there was if the
    /// stream ends before, LimitOverrunError if more bytes than the limit come before it, which then
    /// stay in the reader; std::invalid_argument at once for an empty separator.
    [[nodiscard]] detail::ReadAwaiter<std::string> readuntil(char separator = '\n') const {
        return {stream_, Kind::until, "readuntil", separator};
    }
    [[nodiscard]] detail::ReadAwaiter<std::string> readuntil(std::string_view separator) const {
        return {stream_, "readuntil", separator};
    }
    [[nodiscard]] detail::ReadAwaiter<std::string> readuntil(const char* separator) const {
        return readuntil(std::string_view(separator));
    }
    ///@}
    /// Up to the one of several separators that ends first.
    [[nodiscard]] detail::ReadAwaiter<std::string> readuntil(const Separators& separators) const {
        return {stream_, "readuntil", separators};
    }
    ///@{
    /// The same, without a copy.
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readuntil_view(
        char separator = '\n') const {
        return {stream_, Kind::until, "readuntil_view", separator};
    }
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readuntil_view(
        std::string_view separator) const {
        return {stream_, "readuntil_view", separator};
    }
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readuntil_view(
        const char* separator) const {
        return readuntil_view(std::string_view(separator));
    }
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readuntil_view(
        const Separators& separators) const {
        return {stream_, "readuntil_view", separators};
    }
    ///@}

    /// A line with its '\n'; the last one may have none, and "" is the end of the stream. Throws
    /// LineTooLongError for one beyond the limit, of which what has arrived is dropped.
    [[nodiscard]] detail::ReadAwaiter<std::string> readline() const {
        return {stream_, Kind::line, "readline", '\n'};
    }
    /// The same, without a copy.
    [[nodiscard]] detail::ReadAwaiter<std::string_view> readline_view() const {
        return {stream_, Kind::line, "readline_view", '\n'};
    }
    /// The next line without its end ("\n" or "\r\n"), nothing at the end of the stream; otherwise
    /// as readline(). The counterpart of `async for line in reader`:
    ///
    ///     for (auto line = co_await reader.next_line(); line; line = co_await reader.next_line())
    [[nodiscard]] detail::LineAwaiter<std::string> next_line() const {
        return {stream_, Kind::line, "next_line", '\n'};
    }
    /// The same, without a copy.
    [[nodiscard]] detail::LineAwaiter<std::string_view> next_line_view() const {
        return {stream_, Kind::line, "next_line_view", '\n'};
    }

    /// True once the stream has ended and everything was read.
    [[nodiscard]] bool at_eof() const noexcept { return stream_->at_eof(); }
    /// In bytes.
    [[nodiscard]] std::size_t limit() const noexcept { return stream_->limit(); }
    /// Bytes that have arrived and were not read.
    [[nodiscard]] std::size_t buffered() const noexcept { return stream_->buffer().size(); }

    /// What every read throws from now on, or null.
    [[nodiscard]] std::exception_ptr exception() const noexcept { return stream_->exception(); }
    /// Makes the waiting read and every later one throw `exception`, and drain() of the writer, too.
    void set_exception(std::exception_ptr exception) const noexcept {
        stream_->set_exception(std::move(exception));
    }
    /// Puts bytes, copied, behind what has arrived: for what feeds a reader without a protocol. Not
    /// to be called after feed_eof().
    void feed_data(std::string_view text) const { stream_->feed_data(text); }
    /// Ends the stream.
    void feed_eof() const noexcept { stream_->feed_eof(); }

private:
    friend class StreamReaderProtocol;
    friend class StreamWriter;
    using Kind = detail::ReadOperation::Kind;

    static std::size_t size_of(std::ptrdiff_t count) noexcept {
        return static_cast<std::size_t>(count);
    }
    static void require_not_negative(std::ptrdiff_t count);

    Ref<detail::Stream> stream_;
};

/// What an awaitable, a read, a drain() or the like, does, as a task: for create_task(), which takes
/// only those.
using detail::as_task;

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream_reader.ipp>
#endif
