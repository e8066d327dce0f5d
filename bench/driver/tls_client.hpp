// Our side of TLS connections: plain OpenSSL between bytes that arrived and bytes to be sent, in memory that all
// connections share. TLS 1.3 with AES-128-GCM and nothing else, so that every server does the same work. Does no I/O:
// whoever owns the socket feeds what came and sends what is in output(). Knows neither servers nor messages.
//
// The certificate is not verified: it is a self-signed one of this run, and the work would only slow the load down.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <vector>

// As OpenSSL declares them; its headers stay in the .cpp.
struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_st;
struct bio_method_st;

namespace bench {

/// The peer ended the connection, sent an alert or something that is not TLS.
class TlsError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Settings and the memory that the connections of one load lend to each other; must outlive them.
class TlsClient {
public:
    /// Throws TlsError when OpenSSL lacks something.
    TlsClient();
    ~TlsClient();
    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;

    /// Sealed bytes that some connection has produced and nobody has taken yet. The owner of the socket empties it after
    /// every call, because the next connection appends to the same memory.
    std::vector<char>& output() { return output_; }

    /// From now on the sessions that a server gives are kept, and each serves one new connection (RFC 8446, C.4), as long as
    /// there are any.
    void resume_sessions() { resumes_ = true; }

private:
    friend class TlsConnection;

    static int read_input(bio_st* bio, char* bytes, int size);
    static int write_output(bio_st* bio, const char* bytes, int size);
    static long control(bio_st* bio, int command, long number, void* pointer);
    static int keep_session(ssl_st* ssl, ssl_session_st* session);

    ssl_ctx_st* context_ = nullptr;
    bio_method_st* method_ = nullptr;
    std::vector<ssl_session_st*> sessions_;
    std::span<const char> input_;
    std::vector<char> output_;
    bool resumes_ = false;
};

class TlsConnection {
public:
    explicit TlsConnection(TlsClient& client);
    ~TlsConnection();
    TlsConnection(TlsConnection&& other) noexcept;
    TlsConnection& operator=(TlsConnection&& other) noexcept;

    /// Continues the handshake with what arrived (nothing, to begin it). True when it is complete. Bytes past its end wait
    /// for the next read(). Throws TlsError.
    bool handshake(std::span<const char> arrived);
    /// Whether a session from before was shown to the server, and whether it has accepted that.
    bool offers_session() const { return offers_session_; }
    bool is_resumed() const;

    /// What arrives is read by repeated calls of read() until that returns nothing; only then may another connection use
    /// the client. Nothing of `arrived` is needed afterwards.
    void feed(std::span<const char> arrived);
    /// Up to `room.size()` bytes of plaintext; 0 when more must arrive first, or has_ended().
    std::size_t read(std::span<char> room);
    /// The server has closed its direction properly.
    bool has_ended() const;

    /// Appends records with `message` to the output, full ones and a last shorter one.
    void write(std::span<const char> message);
    /// Appends a close_notify.
    void write_end();

private:
    [[noreturn]] void fail(const char* doing) const;

    TlsClient* client_;
    ssl_st* ssl_;
    bool offers_session_ = false;
};

}  // namespace bench
