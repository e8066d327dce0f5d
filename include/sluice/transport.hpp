// Transport: the user's end of a byte stream, whatever carries it.
//
// A pure interface. Every method is to be called on the loop's thread (checked in debug mode:
// std::logic_error) and is a safe no-op once the connection is lost, unless it says otherwise.
// Network errors never come out of a method: they end the connection and arrive in connection_lost.
#pragma once

#include <sluice/address.hpp>
#include <sluice/buffer.hpp>
#include <sluice/bytes.hpp>
#include <sluice/counters.hpp>
#include <sluice/limits.hpp>
#include <sluice/protocol.hpp>
#include <sluice/ref.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

namespace sluice::inline v0_1 {

class TlsInfo;
class TlsFailure;
class ProxyHeader;

/// Bounds of the unsent bytes, in bytes: above `high` the protocol is paused, at `low` or below it
/// is resumed.
struct WriteBufferLimits {
    std::size_t low;   ///< At this size or below it resume_writing follows.
    std::size_t high;  ///< Above this size pause_writing is called.
    friend bool operator==(const WriteBufferLimits&, const WriteBufferLimits&) = default;
};

/// What happens to a write that would push the unsent bytes over the hard cap.
enum class OverflowPolicy : std::uint8_t {
    /// The connection is lost with Error::write_buffer_full.
    abort_connection,
    refuse_write,  ///< The write throws std::system_error(Error::write_buffer_full) and queues nothing.
};

/// How a file is to be sent where the kernel cannot do it by itself.
struct SendfileOptions {
    /// May the library read the file and write it in pieces? Otherwise that is an error.
    bool fallback = true;
    /// The size of such a piece, in bytes: 1 to limits::file_chunk_max_bytes.
    std::size_t fallback_chunk_size = limits::file_chunk_bytes;
};

/// How sending a file ended.
struct SendfileResult {
    std::error_code error;  ///< Empty: all of it was sent.
    std::uint64_t sent;     ///< How much of it was, in bytes.
};

/// Is told once how it ended.
using SendfileCallback = std::function<void(const SendfileResult&)>;

/// A socket the library owns, seen from outside: enough to identify it and to tune options, not to
/// close it or to steal its data.
class SocketView {
public:
    SocketView() noexcept = default;
    /// Views `fd`, which is bound to `local`.
    SocketView(int fd, SocketAddress local) : fd_(fd), local_(std::move(local)) {}

    /// The descriptor, for getsockopt/setsockopt and for diagnostics; -1 once closed.
    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// The address it is bound to.
    [[nodiscard]] const SocketAddress& local_address() const noexcept { return local_; }
    /// The kind of its address.
    [[nodiscard]] Family family() const noexcept { return local_.family(); }

private:
    int fd_ = -1;
    SocketAddress local_;
};

/// A typed key of get_extra_info.
template <class T>
struct ExtraKey {
    std::uint32_t id;  ///< Which one.
};

/// The keys every stream transport answers. All survive close(), except that `socket` then has fd
/// -1.
namespace extra {
/// The address of the other end.
inline constexpr ExtraKey<SocketAddress> peername{1};
/// The address of this end.
inline constexpr ExtraKey<SocketAddress> sockname{2};
/// The socket itself.
inline constexpr ExtraKey<SocketView> socket{3};
/// What went through it so far.
inline constexpr ExtraKey<TransportCounters> counters{4};
/// TLS transports only; see tls.hpp.
inline constexpr ExtraKey<TlsInfo> tls{5};
/// Why TLS failed, if it did.
inline constexpr ExtraKey<TlsFailure> tls_failure{6};
/// What a PROXY header said of this connection; see proxy_protocol.hpp.
inline constexpr ExtraKey<ProxyHeader> proxy{20};
}  // namespace extra

/// The user's end of a byte stream.
class Transport : public RefCounted {
public:
    /// Sends `data`, in order with everything written before. The bytes are not kept: what cannot
    /// be sent at once is copied. Inside a loop callback spans below 4 KiB are gathered and leave
    /// together when the callback ends; larger ones leave at once. After close() data is still
    /// accepted while earlier data is pending, and dropped otherwise. Throws std::logic_error after
    /// write_eof(), also for an empty span: the call is the mistake, not its bytes. Otherwise an
    /// empty span does nothing. What is written to a lost connection is dropped silently; in debug
    /// mode the sixth time is reported, once.
    virtual void write(Bytes data) = 0;
    /// The same as write(Bytes).
    void write(std::string_view text) { write(as_bytes(text)); }

    /// The same; what cannot be sent at once is queued without a copy, keeping a reference to the
    /// Buffer's owner.
    virtual void write(Buffer data) = 0;

    /// The same; the bytes are never copied and must stay valid and unchanged for ever: literals,
    /// tables, mapped files.
    virtual void write_static(Bytes data) = 0;
    /// The same for text.
    void write_static(std::string_view text) { write_static(as_bytes(text)); }

    /// Sends the concatenation of `pieces`, gathered into as few system calls as possible, with one
    /// limit check at the end. Ownership as for the matching write().
    virtual void writelines(std::span<const Bytes> pieces) = 0;
    /// The same; ownership as for write(Buffer).
    virtual void writelines(std::span<const Buffer> pieces) = 0;
    /// The same as with a span of Bytes.
    void writelines(std::initializer_list<Bytes> pieces) {
        writelines(std::span<const Bytes>{pieces.begin(), pieces.size()});
    }

    /// Sends `count` bytes of `file` from byte `offset` on, in order with everything written before
    /// and after; several files may be queued. No count: to the end of the file as it is now, where
    /// a larger count ends, too. Nothing left there, as in an empty file, is success with 0 bytes.
    ///
    /// `file` is borrowed for the call: a duplicate is kept until its last byte has left. Its own
    /// position is neither used nor changed. What is unsent of the file counts in
    /// get_write_buffer_size() and so for pause_writing, but not for set_write_buffer_cap(), since
    /// it holds no memory. Inside a loop callback it leaves when the callback ends, with what was
    /// gathered. A plain socket's file goes from the page cache to the socket inside the kernel: if
    /// it is changed meanwhile, bytes that count as sent may arrive changed. Elsewhere the library
    /// reads it, piece by piece, off the loop where that would block.
    ///
    /// `done` (empty: nobody is told) is called once, from the loop, never inside this call and never
    /// after connection_lost: with an empty error after the kernel took the last byte, with TLS after
    /// that byte was sealed and handed down; with the connection's error, or
    /// std::errc::connection_aborted if it has none, when the connection ends first. A file that turns out shorter than it was
    /// (Error::file_truncated), or that cannot be read, ends the connection with that error: its
    /// length may have been promised. Once the loop is destroyed `done` is destroyed uncalled.
    ///
    /// Throws before anything is queued: std::invalid_argument for a count of 0 or less, a negative
    /// offset or a wrong chunk size; std::system_error for a descriptor that is closed, cannot be
    /// read or is no regular file, for lack of descriptors, and (operation_not_supported) where the
    /// kernel cannot send files and the options forbid the fallback; std::logic_error once closing,
    /// after write_eof() and where start_tls() has taken over. A transport of your own that does
    /// not override it throws operation_not_supported.
    virtual void sendfile(int file, std::int64_t offset, std::optional<std::int64_t> count,
                          SendfileOptions options, SendfileCallback done);

    /// Sends what has been gathered, now. pause_writing or resume_writing that follow from it are
    /// called later, from the loop.
    virtual void flush() = 0;

    /// True if the writing half can be closed on its own.
    [[nodiscard]] virtual bool can_write_eof() const noexcept = 0;

    /// Closes the writing half once everything written has been sent; the peer sees the end of the
    /// stream. Idempotent; ignored after close(). Throws std::logic_error where can_write_eof() is
    /// false.
    virtual void write_eof() = 0;

    /// Stops reading at once, sends what is pending, then calls connection_lost with an empty
    /// reason, from the loop. Idempotent. Where bytes of the peer have arrived and were never read,
    /// the kernel closes with a reset instead of an end of stream (RFC 1122, 4.2.2.13), which may
    /// cost the peer the end of what was sent: read until eof_received to be sure it arrives.
    virtual void close() = 0;

    /// Drops what is pending and closes; connection_lost with an empty reason follows, from the
    /// loop. Idempotent; after close() it cuts the flushing short.
    virtual void abort() = 0;

    /// True from the moment close(), abort() or an error ended the connection.
    [[nodiscard]] virtual bool is_closing() const noexcept = 0;

    /// No data_received or eof_received until resume_reading(), not even for bytes that have
    /// arrived. Idempotent, and allowed in every callback. A peer that resets or ends meanwhile is
    /// noticed after resuming, or by writing.
    virtual void pause_reading() = 0;
    /// The opposite. Data that waits is delivered from the loop, never inside this call.
    virtual void resume_reading() = 0;
    /// False while paused, after the end of the stream and once closing.
    [[nodiscard]] virtual bool is_reading() const noexcept = 0;

    /// Bounds for pause_writing and resume_writing. Unset: high 64 KiB and low 16 KiB; one set: low
    /// = high / 4. Zero high pauses whenever anything is unsent and turns gathering off. Effects on
    /// the protocol come later, from the loop. Throws std::invalid_argument unless high >= low.
    virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                         std::optional<std::size_t> low = {}) = 0;
    /// The bounds in force, in bytes.
    [[nodiscard]] virtual WriteBufferLimits get_write_buffer_limits() const noexcept = 0;

    /// Unsent bytes, gathered ones included, in bytes; 0 once lost. Constant time.
    [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;

    /// A hard cap on the unsent bytes and what to do with the write that would exceed it; none by
    /// default.
    virtual void set_write_buffer_cap(std::optional<std::size_t> bytes,
                                      OverflowPolicy policy = OverflowPolicy::abort_connection) = 0;

    /// Ends the connection with Error::idle_timeout when nothing has been received and nothing sent
    /// for `limit`; nothing (the default) lets it live for ever. It counts from this call on. What
    /// counts are bytes of the connection itself, with TLS also those of records without data.
    /// While reading is paused nothing can be received, so the time stands still, and counts anew
    /// from resume_reading(). Measured with the time at which the loop's iteration began, so it is
    /// as exact as callbacks are short, and no sooner than the loop has looked for bytes that wait.
    /// Throws std::invalid_argument unless positive. A transport of your own that does not override
    /// it throws operation_not_supported. No effect once the connection has ended.
    virtual void set_idle_timeout(std::optional<std::chrono::nanoseconds> limit);
    /// What was set.
    [[nodiscard]] virtual std::optional<std::chrono::nanoseconds> get_idle_timeout()
        const noexcept {
        return {};
    }

    /// Ends the connection with Error::write_timeout when bytes are waiting to be sent and the
    /// system has taken none of them for `limit`: the peer does not read, or is gone. It holds after
    /// close(), too, which otherwise waits for such a peer for ever. Waiting for a file to be read
    /// does not count. Otherwise as set_idle_timeout().
    virtual void set_write_timeout(std::optional<std::chrono::nanoseconds> limit);
    /// What was set.
    [[nodiscard]] virtual std::optional<std::chrono::nanoseconds> get_write_timeout()
        const noexcept {
        return {};
    }

    /// Replaces the protocol, from the next callback on, also in the middle of reading. The old one
    /// is destroyed between iterations; no callback is made for the change. A lost transport only
    /// destroys the argument. Throws std::invalid_argument for null.
    virtual void set_protocol(std::unique_ptr<StreamProtocol> protocol) = 0;
    /// The same, but the old protocol is handed back, not destroyed: to be used again, or kept until
    /// its running callback has returned. A lost transport hands the argument back.
    [[nodiscard]] virtual std::unique_ptr<StreamProtocol> exchange_protocol(
        std::unique_ptr<StreamProtocol> protocol) = 0;
    /// The current protocol; null once the connection is lost.
    [[nodiscard]] virtual StreamProtocol* get_protocol() const noexcept = 0;

    /// What is known about the connection, or `fallback` for a key this transport does not have.
    template <class T>
    [[nodiscard]] T get_extra_info(ExtraKey<T> key, T fallback = {}) const {
        extra_info(key.id, &fallback);
        return fallback;
    }

protected:
    using RefCounted::RefCounted;

    /// Assigns the value of the key to `*value`, an object of the key's type; leaves it alone for
    /// unknown keys.
    virtual void extra_info(std::uint32_t key, void* value) const = 0;
    /// For transports that hand unknown keys on to another one.
    static void extra_info_of(const Transport& other, std::uint32_t key, void* value) {
        other.extra_info(key, value);
    }
};

// By value for those that override it and keep it.
// NOLINTBEGIN(performance-unnecessary-value-param)
inline void Transport::sendfile(int, std::int64_t, std::optional<std::int64_t>, SendfileOptions,
                                SendfileCallback) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                            "sendfile(): this kind of transport cannot send files");
}
// NOLINTEND(performance-unnecessary-value-param)

inline void Transport::set_idle_timeout(std::optional<std::chrono::nanoseconds>) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                            "set_idle_timeout(): this kind of transport has no time limits");
}

inline void Transport::set_write_timeout(std::optional<std::chrono::nanoseconds>) {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported),
                            "set_write_timeout(): this kind of transport has no time limits");
}

}  // namespace sluice::inline v0_1
