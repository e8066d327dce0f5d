// TransportPair: one transport of the library connected with a raw Peer.
//
// It knows the ways a transport can come to life and nothing of what a test does with it. The
// transport reports to the Recorder it was given; "returns" is added to the trace when the create_*
// coroutine, or start_tls, has given its result. After start_tls, which makes no connection_made,
// the pair makes it, so that the trace begins with M for every kind of transport.
#pragma once

#include <sluice/event_loop.hpp>

#include "support/peer.hpp"
#include "support/recording_protocol.hpp"

#include <memory>
#include <optional>
#include <string>

namespace sluice::test {

/// What carries the bytes. A later column is added here, in conformance_cases() and in
/// TransportPair::start().
enum class TransportKind : std::uint8_t {
    tcp,
    unix_socket,
    tls,
    tls_over_transport,  ///< start_tls() over a RelayTransport.
    tls_in_tls,          ///< Three layers, each by start_tls() over the one before.
    ktls,                ///< TLS 1.3 whose records the kernel seals; only where a kernel does.
    ktls_receiving,      ///< TLS 1.2 whose records it opens, too.
};

/// True if connection_made was made by the library itself, not by TransportPair after start_tls().
[[nodiscard]] constexpr bool is_direct(TransportKind kind) noexcept {
    return kind != TransportKind::tls_over_transport && kind != TransportKind::tls_in_tls;
}

/// True if bytes leave as they were written.
[[nodiscard]] constexpr bool is_plain(TransportKind kind) noexcept {
    return kind == TransportKind::tcp || kind == TransportKind::unix_socket;
}

/// Who makes our end.
enum class Via : std::uint8_t {
    connect,        ///< create_connection(host, port) or its like: the peer is accepted.
    adopt,          ///< create_connection(Descriptor).
    accept_socket,  ///< connect_accepted_socket(Descriptor).
    server,         ///< create_server or its like: the peer connects.
};

std::string to_string(Via via);

/// How to make the pair. The small buffers make a backlog cheap: the kernel takes a few KiB and
/// refuses the rest until the peer reads.
struct PairOptions {
    Via via = Via::connect;
    bool small_buffers = false;
};

/// The contexts of our end: pki().server(), and a client that trusts its root. One each of a kind for
/// the whole program.
const TlsContext& test_server_context(TransportKind kind = TransportKind::tls);
const TlsContext& test_client_context(TransportKind kind = TransportKind::tls);

class TransportPair {
public:
    /// `loop` and `recorder` must outlive it.
    TransportPair(EventLoop& loop, TransportKind transport, ProtocolKind protocol,
                  Recorder& recorder);
    TransportPair(const TransportPair&) = delete;
    TransportPair& operator=(const TransportPair&) = delete;
    ~TransportPair();

    /// Starts making the connection; run the loop until ready(). The peer is there at once unless
    /// it has to be accepted.
    void start(PairOptions options = {});
    /// True once connection_made was called, create_* has returned and the peer exists.
    bool ready();
    /// To be called while a test waits: accepts the peer, and a TLS peer shakes hands and, once our
    /// end is closing, answers, which is what closing waits for.
    void serve_peer();
    /// What create_* threw, or null.
    [[nodiscard]] std::exception_ptr failure() const;

    /// Our end; valid from connection_made on, also after the loss.
    [[nodiscard]] Transport& transport() const noexcept { return recorder_.transport(); }
    [[nodiscard]] Peer& peer() noexcept { return peer_; }
    /// The peer ends the connection so that our end is told ECONNRESET.
    void peer_resets();
    /// The server, when made via one; closed by close_server() or the destructor.
    [[nodiscard]] Server& server() const noexcept { return *server_; }
    void close_server();

private:
    void start_connecting();
    void start_adopting(bool accepted);
    void start_serving();
    [[nodiscard]] SocketBuffers peer_buffers() const;
    [[nodiscard]] bool uses_tls() const noexcept { return !is_plain(kind_); }
    [[nodiscard]] Wire wire() const noexcept {
        return kind_ == TransportKind::unix_socket ? Wire::unix_socket : Wire::tcp;
    }
    [[nodiscard]] bool is_tls_from_the_start() const noexcept {
        return uses_tls() && is_direct(kind_);
    }
    [[nodiscard]] std::unique_ptr<StreamProtocol> make_protocol();
    void upgrade(Transport& plain, bool server_side);
    void speak_tls(bool server_side);
    void shrink_our_buffer();

    EventLoop& loop_;
    TransportKind kind_;
    ProtocolKind protocol_kind_;
    Recorder& recorder_;
    PairOptions options_;
    std::unique_ptr<Listener> listener_;
    Peer peer_;
    Ref<Server> server_;
    TaskHandle<void> making_;
    TaskHandle<void> upgrading_;
    bool upgraded_ = false;
    bool shrunk_ = false;
};

}  // namespace sluice::test
