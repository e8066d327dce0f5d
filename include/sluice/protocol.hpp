// What the user subclasses: the callbacks a transport makes.
//
// The order is a grammar (docs/lifecycle.md): connection_made (data_received* | (get_buffer
// buffer_updated)*) eof_received? connection_lost, with pause_writing / resume_writing alternating
// in between. All callbacks run on the loop's thread. None runs inside a call the protocol makes,
// except pause_writing inside the write that crosses the limit. An exception from get_buffer,
// buffer_updated, data_received or eof_received is fatal for that connection; from any other
// callback it is reported to the loop's exception handler and changes nothing.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>

#include <cstdint>
#include <system_error>

namespace sluice::inline v0_1 {

class Transport;

/// Common to all protocols. See https://docs.python.org/3/library/asyncio-protocol.html for the
/// model.
class BaseProtocol {
public:
    BaseProtocol() = default;
    BaseProtocol(const BaseProtocol&) = delete;
    BaseProtocol& operator=(const BaseProtocol&) = delete;
    virtual ~BaseProtocol() = default;

    /// The connection is over: the last callback, exactly once if connection_made was called.
    /// `reason` is empty after close(), abort() and a clean end of stream, otherwise what went
    /// wrong. A writer that waits for resume_writing must be woken here: no resume comes first. The
    /// transport is still callable, as a no-op, and keeps its addresses.
    virtual void connection_lost(std::error_code reason) { static_cast<void>(reason); }

    /// More than the high-water mark of bytes is unsent: stop writing until resume_writing. Called
    /// inside the write that crosses the mark or after the callback whose writes did. Further
    /// writes are accepted all the same.
    virtual void pause_writing() {}

    /// The unsent bytes have fallen to the low-water mark. May write, close or abort.
    virtual void resume_writing() {}
};

/// A protocol over a byte stream. Derive from Protocol or BufferedProtocol.
class StreamProtocol : public BaseProtocol {
public:
    /// The first callback. `transport` outlives the protocol, so a pointer may be kept; to keep it
    /// longer, take a Ref<Transport>.
    virtual void connection_made(Transport& transport) { static_cast<void>(transport); }

    /// The peer has finished sending. Return false (the default) to have the transport flush and
    /// close itself, true to keep the writing half open until close().
    virtual bool eof_received() { return false; }

    /// The server that accepted this connection has begun Server::drain(): finish what is under way
    /// and close(), since what is open at the deadline is aborted. Not part of asyncio.
    virtual void server_draining() {}

private:
    friend class Protocol;
    friend class BufferedProtocol;
    StreamProtocol() = default;
};

/// Receives data in chunks the transport provides.
class Protocol : public StreamProtocol {
public:
    /// Between 1 byte and 256 KiB have arrived. The bytes belong to the loop and are valid during
    /// the call only.
    virtual void data_received(Bytes data) = 0;
};

/// Receives data straight into memory of its own.
class BufferedProtocol : public StreamProtocol {
public:
    /// Where the next bytes shall go: at least one byte, valid and untouched by the protocol until
    /// buffer_updated, the next get_buffer or connection_lost. `size_hint` is a lower bound of what
    /// waits, 0 when unknown. It may be called without a buffer_updated to follow. An empty span is
    /// fatal (Error::empty_buffer).
    virtual MutableBytes get_buffer(std::size_t size_hint) = 0;

    /// The first `byte_count` bytes of the last buffer are filled.
    virtual void buffer_updated(std::size_t byte_count) = 0;
};

}  // namespace sluice::inline v0_1
