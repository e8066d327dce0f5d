// StreamWriter: the writing half of a stream, and what ends the connection.
//
// The counterpart of asyncio.StreamWriter
// (https://docs.python.org/3/library/asyncio-stream.html#streamwriter). Writing is the transport's
// business; what a coroutine adds is waiting: drain() and wait_closed().
#pragma once

#include <sluice/detail/stream.hpp>
#include <sluice/options.hpp>
#include <sluice/stream_reader.hpp>
#include <sluice/task.hpp>
#include <sluice/tls.hpp>
#include <sluice/transport.hpp>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1 {

/// The writing half of a stream. A handle: copies write to the same stream, and the connection is
/// closed with the last of them, which debug mode reports if nobody called close(). To be used on the
/// loop's thread. Before the connection is made every method throws std::logic_error.
class SLUICE_API StreamWriter {
public:
    /// The writing half of the connection that feeds `reader`: for StreamReaderProtocol.
    explicit StreamWriter(const StreamReader& reader) noexcept : stream_(reader.stream_) {
        stream_->writer_made();
    }
    ///@{
    /// One more handle, or one less.
    StreamWriter(const StreamWriter& other) noexcept : stream_(other.stream_) { count(); }
    StreamWriter(StreamWriter&& other) noexcept : stream_(std::move(other.stream_)) {}
    StreamWriter& operator=(StreamWriter other) noexcept {
        std::swap(stream_, other.stream_);
        return *this;
    }
    ~StreamWriter() {
        if (stream_) {
            stream_->writer_gone();
        }
    }
    ///@}

    ///@{
    /// Transport::write(): sends the bytes in order, never waits; what is unsent is copied, or, of a
    /// Buffer, kept by reference. Await drain() once in a while, or memory grows as long as the peer
    /// does not read. Dropped silently once the connection is lost.
    void write(std::string_view text) const { transport().write(text); }
    void write(const char* text) const { transport().write(std::string_view(text)); }
    void write(Bytes data) const { transport().write(data); }
    void write(Buffer data) const { transport().write(std::move(data)); }
    ///@}
    ///@{
    /// Sends all pieces, gathered into as few system calls as possible.
    void writelines(std::initializer_list<std::string_view> pieces) const;
    void writelines(std::span<const Bytes> pieces) const { transport().writelines(pieces); }
    void writelines(std::span<const Buffer> pieces) const { transport().writelines(pieces); }
    ///@}
    /// Ends the writing half once everything is sent; reading goes on. Throws std::logic_error where
    /// can_write_eof() is false, as over TLS.
    void write_eof() const { transport().write_eof(); }
    /// True if the writing half can end on its own.
    [[nodiscard]] bool can_write_eof() const { return transport().can_write_eof(); }

    /// Waits while too much is unsent (Transport::set_write_buffer_limits); does not suspend
    /// otherwise, except once on a closing connection. Any number of tasks may wait. Throws the
    /// reader's stored exception; std::system_error with std::errc::connection_reset once the
    /// connection is lost without one; Cancelled.
    [[nodiscard]] detail::DrainAwaiter drain() const noexcept {
        return detail::DrainAwaiter(stream_);
    }

    /// Sends what is pending, then closes the connection. Idempotent.
    void close() const { transport().close(); }
    /// True once the connection is closing or lost.
    [[nodiscard]] bool is_closing() const { return transport().is_closing(); }
    /// Waits until the connection is lost, after close() as well as before; any number of tasks may.
    /// Throws std::system_error if it did not end cleanly, Cancelled.
    [[nodiscard]] detail::ClosedAwaiter wait_closed() const noexcept {
        return detail::ClosedAwaiter(stream_);
    }

    /// Turns the connection to TLS, in the role of `context`: waits for drain(), then
    /// EventLoop::start_tls(), which says what is thrown. Reader and writer go on over TLS. What the
    /// reader has buffered and nobody read is taken for the peer's first TLS bytes, so that nothing
    /// that came in plain text is read as if it had been secret. A read that waits goes on over TLS;
    /// writing meanwhile is a std::logic_error. Refused arguments leave the connection as it was, any
    /// other failure closes it.
    Task<void> start_tls(TlsContext context, StartTlsOptions options = StartTlsOptions()) const;

    /// EventLoop::sendfile(): queues the file now and gives, when awaited, how many bytes of it were
    /// sent.
    Task<std::uint64_t> sendfile(int file, std::int64_t offset = 0,
                                 std::optional<std::int64_t> count = {},
                                 SendfileOptions options = {}) const;

    /// What is known about the connection, see namespace extra, or `fallback`.
    template <class T>
    [[nodiscard]] T get_extra_info(ExtraKey<T> key, T fallback = {}) const {
        return transport().get_extra_info(key, std::move(fallback));
    }
    /// The transport below, another one after start_tls(). It lives as long as a handle of the
    /// stream.
    [[nodiscard]] Transport& transport() const {
        if (stream_->transport() == nullptr) [[unlikely]] {
            throw_not_connected();
        }
        return *stream_->transport();
    }

    /// Two handles of one stream.
    friend bool operator==(const StreamWriter& a, const StreamWriter& b) noexcept {
        return a.stream_ == b.stream_;
    }

private:
    void count() const noexcept {
        if (stream_) {
            stream_->writer_made();
        }
    }
    [[noreturn]] static void throw_not_connected();

    Ref<detail::Stream> stream_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream_writer.ipp>
#endif
