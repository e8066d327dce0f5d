// Datagrams: the protocol the user subclasses and the transport that carries them, UDP or Unix.
//
// Pure interfaces, the counterpart of protocol.hpp and transport.hpp for messages that keep their
// boundaries and may be lost. The grammar is connection_made (datagrams_received |
// error_received)* connection_lost, with pause_writing and resume_writing alternating in between.
// No callback runs inside a call the protocol makes, except pause_writing inside the sendto that
// crosses the limit. An exception out of any callback is reported to the loop's exception handler
// and changes nothing: what one peer sent must not end the endpoint for all of them.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/protocol.hpp>
#include <sluice/ref.hpp>
#include <sluice/transport.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

namespace sluice::inline v0_1 {

class DatagramTransport;

namespace detail {
class DatagramSocket;
}

/// One datagram that has arrived. It belongs to the loop and is valid during the callback only.
struct Datagram {
    Bytes data;            ///< Its payload; may be empty.
    SocketAddress sender;  ///< Who sent it; no address for a Unix socket without a name.
    bool truncated =
        false;             ///< It was longer than DatagramOptions::datagram_size; the rest is lost.
    std::uint8_t ecn = 0;  ///< The two bits of RFC 3168, with DatagramOptions::receive_ecn.
    std::uint8_t ttl = 0;  ///< Hops it had left, with DatagramOptions::receive_ttl; 0 without it.
};

/// A protocol over datagrams. See
/// https://docs.python.org/3/library/asyncio-protocol.html#datagram-protocols for the model.
class DatagramProtocol : public BaseProtocol {
public:
    /// The first callback. `transport` outlives the protocol, so a pointer may be kept; to keep it
    /// longer, take a Ref<DatagramTransport>.
    virtual void connection_made(DatagramTransport& transport) { static_cast<void>(transport); }

    /// A datagram has arrived. `data` and `sender` are valid during the call only. Does nothing
    /// unless overridden.
    virtual void datagram_received(Bytes data, const SocketAddress& sender) {
        static_cast<void>(data);
        static_cast<void>(sender);
    }

    /// Everything that one system call has brought, in the order of arrival: the form for those who
    /// want to work on many at once, or want more than data and sender. The default calls
    /// datagram_received() for each, until the transport is closed. Not part of asyncio.
    virtual void datagrams_received(std::span<const Datagram> batch) {
        for (const Datagram& datagram : batch) {
            if (ended_) {
                return;
            }
            next_ = &datagram + 1;
            datagram_received(datagram.data, datagram.sender);
        }
    }

    /// Sending or receiving failed; the endpoint lives on. Of sending: that datagram is lost. Of
    /// receiving: on connected endpoints the system tells here what a router or the peer's system
    /// answered, as std::errc::connection_refused for a port nobody listens on. Errors of sending
    /// are told later, from the loop, never inside the sendto that caused them; if more than
    /// limits::datagram_errors_kept of them wait for that, only the counters know of the others.
    virtual void error_received(std::error_code error) { static_cast<void>(error); }

private:
    friend class detail::DatagramSocket;

    // For the default of datagrams_received(): where to go on after an exception, and whether to.
    const Datagram* next_ = nullptr;
    bool ended_ = false;
};

/// get_extra_info(extra::datagram_counters): what went through an endpoint so far.
struct DatagramCounters {
    std::uint64_t received = 0;        ///< Datagrams taken from the system.
    std::uint64_t received_bytes = 0;  ///< Their payload.
    std::uint64_t truncated = 0;       ///< Of these, those that were cut.
    std::uint64_t sent = 0;            ///< Datagrams the system took.
    std::uint64_t sent_bytes = 0;      ///< Their payload.
    std::uint64_t send_errors = 0;     ///< Datagrams lost because the system refused them.
    std::uint64_t receive_errors = 0;  ///< Errors that receiving told.
    std::uint64_t dropped = 0;  ///< Never offered: beyond the cap, after close(), or by abort().
};

namespace extra {
/// Datagram transports only: what went through it so far.
inline constexpr ExtraKey<DatagramCounters> datagram_counters{32};
/// Datagram transports only: does the system join what arrives (DatagramOptions::gro)?
inline constexpr ExtraKey<bool> gro{33};
/// Datagram transports only: does the system take several datagrams as one (DatagramOptions::gso)?
inline constexpr ExtraKey<bool> gso{34};
}  // namespace extra

/// The user's end of a datagram socket. Every method is to be called on the loop's thread (checked
/// in debug mode: std::logic_error) and is a safe no-op once the endpoint is lost. Errors of the
/// network never come out of a method: they arrive in error_received.
class DatagramTransport : public RefCounted {
public:
    /// Sends one datagram, in order with those before it. No address: to the remote address of the
    /// endpoint, if it has one, where the same address may also be given. Nothing is kept: what
    /// cannot be sent at once is copied. Inside a loop callback datagrams below 4 KiB are gathered
    /// and leave together, in one system call, when the callback ends; larger ones leave at once
    /// with what was gathered before them. An empty datagram is sent, too. After close() it is
    /// dropped silently; in debug mode the sixth time is reported, once.
    ///
    /// Throws std::invalid_argument for an address other than the endpoint's remote one, for none
    /// where it has none, and for one of another family than the socket's. A datagram that is too
    /// long is an error_received (std::errc::message_size), not an exception.
    virtual void sendto(Bytes data, const SocketAddress& address) = 0;
    /// The same for text.
    void sendto(std::string_view text, const SocketAddress& address) {
        sendto(as_bytes(text), address);
    }
    ///@{
    /// The same to the remote address of the endpoint.
    void sendto(Bytes data) { sendto(data, SocketAddress()); }
    void sendto(std::string_view text) { sendto(as_bytes(text), SocketAddress()); }
    ///@}

    /// Sends `data` as datagrams of `segment_bytes` each, the last one being what is left: the same
    /// as that many calls of sendto(), and with DatagramOptions::gso far cheaper, since the system
    /// takes them as one. Throws as sendto(), and std::invalid_argument for segments of 0 bytes.
    /// Not part of asyncio.
    virtual void send_segments(Bytes data, std::size_t segment_bytes,
                               const SocketAddress& address) = 0;
    /// The same to the remote address of the endpoint.
    void send_segments(Bytes data, std::size_t segment_bytes) {
        send_segments(data, segment_bytes, SocketAddress());
    }

    /// Sends what has been gathered, now. pause_writing or resume_writing that follow from it are
    /// called later, from the loop.
    virtual void flush() = 0;

    /// Stops receiving at once, sends what is pending, then calls connection_lost with an empty
    /// reason, from the loop. Idempotent.
    virtual void close() = 0;
    /// Drops what is pending and closes; connection_lost with an empty reason follows, from the
    /// loop. Idempotent; after close() it cuts the flushing short.
    virtual void abort() = 0;
    /// True from the moment close() or abort() was called.
    [[nodiscard]] virtual bool is_closing() const noexcept = 0;

    /// Nothing is received until resume_reading(), except what is left of the batch that is being
    /// delivered; what does not fit into the system's buffer meanwhile is lost. Idempotent, and
    /// allowed in every callback. Not part of asyncio.
    virtual void pause_reading() = 0;
    /// The opposite.
    virtual void resume_reading() = 0;
    /// False while paused and once closing.
    [[nodiscard]] virtual bool is_reading() const noexcept = 0;

    /// Bounds for pause_writing and resume_writing. Unset: high 64 KiB and low 16 KiB; one set: low
    /// = high / 4. Zero high pauses whenever anything is unsent and turns gathering off. Effects on
    /// the protocol come later, from the loop. Throws std::invalid_argument unless high >= low.
    virtual void set_write_buffer_limits(std::optional<std::size_t> high = {},
                                         std::optional<std::size_t> low = {}) = 0;
    /// The bounds in force, in bytes.
    [[nodiscard]] virtual WriteBufferLimits get_write_buffer_limits() const noexcept = 0;
    /// Unsent bytes, gathered ones included, and 8 for each datagram; 0 once lost. Constant time.
    [[nodiscard]] virtual std::size_t get_write_buffer_size() const noexcept = 0;
    /// A hard cap on get_write_buffer_size() while the system refuses: a datagram that would exceed
    /// it is dropped and counted (DatagramCounters::dropped). None by default.
    virtual void set_write_buffer_cap(std::optional<std::size_t> bytes) = 0;

    /// Receives what is sent to the multicast group, on the interface with this index
    /// (if_nametoindex(3)), or on one the system chooses. Throws std::invalid_argument for an
    /// address that is no group of the socket's family, std::system_error naming the group if the
    /// system refuses. Not part of asyncio.
    virtual void join_group(const SocketAddress& group, unsigned interface_index = 0) = 0;
    /// The opposite, with the same arguments and errors.
    virtual void leave_group(const SocketAddress& group, unsigned interface_index = 0) = 0;

    /// Replaces the protocol, from the next callback on. The old one is destroyed between
    /// iterations; no callback is made for the change. A lost endpoint only destroys the argument.
    /// Throws std::invalid_argument for null.
    virtual void set_protocol(std::unique_ptr<DatagramProtocol> protocol) = 0;
    /// The current protocol; null once the endpoint is lost.
    [[nodiscard]] virtual DatagramProtocol* get_protocol() const noexcept = 0;

    /// What is known about the endpoint, or `fallback` for a key it does not have: extra::sockname,
    /// peername (no address unless it is connected), socket, counters, datagram_counters, gro, gso.
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
};

}  // namespace sluice::inline v0_1
