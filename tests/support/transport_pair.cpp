// TransportPair: the four ways to make a transport and its raw peer. See transport_pair.hpp.
#include "support/transport_pair.hpp"

#include "support/peer_tls.hpp"
#include "support/relay_transport.hpp"
#include "support/tls_pki.hpp"

#include <stdexcept>
#include <utility>

#include <sys/socket.h>

namespace sluice::test {

namespace {

// The peer's buffer is much smaller than a third of ours: whatever window it opens late, because of
// delayed acknowledgements or a probe, does not make our socket writable again (the kernel says so
// only once a third of the send buffer is free). A full kernel therefore stays full until the peer
// reads.
constexpr int small_receive_bytes = 8 * 1024;
constexpr int small_send_bytes = 64 * 1024;

using Factory = std::function<std::unique_ptr<StreamProtocol>()>;

constexpr int inner_layers = 3;

/// Stands for the protocol of a connection that is about to be upgraded.
class Placeholder final : public Protocol {
public:
    explicit Placeholder(std::function<void(Transport&)> on_made) : on_made_(std::move(on_made)) {}
    void connection_made(Transport& transport) override { on_made_(transport); }
    void data_received(Bytes) override {
        throw std::logic_error("start_tls() let data through to the old protocol");
    }

private:
    std::function<void(Transport&)> on_made_;
};

// The coroutines are written with every awaited value and argument in a named local: GCC 12
// destroys temporaries of awaited expressions twice.
Task<void> connect_to(EventLoop& loop, Factory factory, const Listener& listener,
                      ConnectOptions options, Recorder& recorder, bool direct) {
    auto connecting =
        listener.path().empty()
            ? loop.create_connection(std::move(factory), "127.0.0.1", listener.port(),
                                     std::move(options))
            : loop.create_unix_connection(std::move(factory), listener.path(), std::move(options));
    const Connection<StreamProtocol> connection = co_await connecting;
    if (!direct) {
        co_return;
    }
    recorder.note("returns");
    if (connection.transport.get() != &recorder.transport()) {
        throw std::logic_error("create_connection gave another transport than connection_made");
    }
}

Task<void> adopt_socket(EventLoop& loop, Factory factory, Descriptor socket,
                        std::optional<AcceptOptions> accepted, ConnectOptions connected,
                        Recorder& recorder, bool direct) {
    auto adopting =
        accepted ? loop.connect_accepted_socket(std::move(factory), std::move(socket), *accepted)
                 : loop.create_connection(std::move(factory), std::move(socket), connected);
    const Connection<StreamProtocol> connection = co_await adopting;
    if (direct) {
        recorder.note("returns");
    }
}

Task<void> serve(EventLoop& loop, Factory factory, Wire wire, ServerOptions options,
                 Ref<Server>& result) {
    auto creating =
        wire == Wire::unix_socket
            ? loop.create_unix_server(std::move(factory), free_abstract_name(), std::move(options))
            : loop.create_server(std::move(factory), "127.0.0.1", 0, std::move(options));
    result = co_await creating;
}

// What the library's dispatch does for a connection_made of its own.
void tell_made(EventLoop& loop, Transport& transport) {
    try {
        transport.get_protocol()->connection_made(transport);
    } catch (const std::exception&) {
        loop.call_exception_handler({.message = "protocol.connection_made() failed",
                                     .exception = std::current_exception(),
                                     .error = {},
                                     .transport = &transport,
                                     .protocol = transport.get_protocol()});
    }
}

Task<void> upgrade_layers(EventLoop& loop, Ref<Transport> lower, bool server_side, int layers,
                          Recorder& recorder, bool noted) {
    for (int layer = 0; layer < layers; ++layer) {
        StartTlsOptions options;
        if (!server_side) {
            options.server_hostname("example.test");
        }
        TlsContext context = server_side ? test_server_context() : test_client_context();
        auto upgrading = loop.start_tls(lower, std::move(context), std::move(options));
        lower = co_await upgrading;
    }
    tell_made(loop, *lower);
    if (noted) {
        recorder.note("returns");
    }
}

TlsOptions options_for(TransportKind kind) {
    TlsOptions options;
    if (kind == TransportKind::ktls) {
        options.ktls(KernelTls::send);
    } else if (kind == TransportKind::ktls_receiving) {
        options.ktls(KernelTls::send_and_receive).maximum_version(TlsVersion::tls1_2);
    }
    return options;
}

/// For each Make another one of each kind. Each in a variable of its own: one that exists before
/// OpenSSL does would be destroyed after it.
template <class Make>
const TlsContext& made_once(TransportKind kind, const Make& make) {
    if (kind == TransportKind::ktls) {
        static const TlsContext sealing = make();
        return sealing;
    }
    if (kind == TransportKind::ktls_receiving) {
        static const TlsContext opening = make();
        return opening;
    }
    static const TlsContext plain = make();
    return plain;
}

}  // namespace

const TlsContext& test_server_context(TransportKind kind) {
    return made_once(kind, [kind] {
        return TlsContext::server(pki().server().certificate_file, pki().server().key_file,
                                  options_for(kind));
    });
}

const TlsContext& test_client_context(TransportKind kind) {
    return made_once(kind, [kind] {
        return TlsContext::client(options_for(kind).certificate_authority_file(pki().root_file()));
    });
}

std::string to_string(Via via) {
    switch (via) {
        case Via::connect:
            return "connect";
        case Via::adopt:
            return "adopt";
        case Via::accept_socket:
            return "accept_socket";
        case Via::server:
            return "server";
    }
    return "?";
}

TransportPair::TransportPair(EventLoop& loop, TransportKind transport, ProtocolKind protocol,
                             Recorder& recorder)
    : loop_(loop), kind_(transport), protocol_kind_(protocol), recorder_(recorder) {}

TransportPair::~TransportPair() {
    close_server();
}

void TransportPair::close_server() {
    if (server_) {
        server_->close();
        server_.reset();
    }
}

SocketBuffers TransportPair::peer_buffers() const {
    if (!options_.small_buffers) {
        return {};
    }
    return {std::nullopt, small_receive_bytes};
}

void TransportPair::start(PairOptions options) {
    options_ = options;
    switch (options_.via) {
        case Via::connect:
            return start_connecting();
        case Via::adopt:
            return start_adopting(false);
        case Via::accept_socket:
            return start_adopting(true);
        case Via::server:
            return start_serving();
    }
}

std::unique_ptr<StreamProtocol> TransportPair::make_protocol() {
    if (is_direct(kind_)) {
        return make_recording_protocol(protocol_kind_, recorder_);
    }
    const bool server_side = options_.via == Via::accept_socket || options_.via == Via::server;
    return std::make_unique<Placeholder>(
        [this, server_side](Transport& plain) { upgrade(plain, server_side); });
}

void TransportPair::upgrade(Transport& plain, bool server_side) {
    std::unique_ptr<StreamProtocol> protocol = make_recording_protocol(protocol_kind_, recorder_);
    Ref<Transport> lower(&plain);
    if (kind_ == TransportKind::tls_over_transport) {
        lower = RelayTransport::wrap(loop_, plain, std::move(protocol));
    } else {
        plain.set_protocol(std::move(protocol));
    }
    // Until the task runs nothing must reach the protocol, which has not been made.
    lower->pause_reading();
    const int layers = kind_ == TransportKind::tls_in_tls ? inner_layers : 1;
    upgrading_ = loop_.create_task(upgrade_layers(loop_, std::move(lower), server_side, layers,
                                                  recorder_, options_.via != Via::server));
}

void TransportPair::start_connecting() {
    listener_ = std::make_unique<Listener>(peer_buffers(), wire());
    ConnectOptions options;
    if (is_tls_from_the_start()) {
        options.tls(test_client_context(kind_)).server_hostname("example.test");
    }
    making_ = loop_.create_task(connect_to(
        loop_, [this] { return make_protocol(); }, *listener_, std::move(options), recorder_,
        is_direct(kind_)));
}

void TransportPair::start_adopting(bool accepted) {
    auto [ours, theirs] = connected_peers({}, peer_buffers(), wire());
    peer_ = std::move(theirs);
    speak_tls(!accepted);
    ConnectOptions connect_options;
    AcceptOptions accept_options;
    if (is_tls_from_the_start()) {
        connect_options.tls(test_client_context(kind_)).server_hostname("example.test");
        accept_options.tls(test_server_context(kind_));
    }
    making_ = loop_.create_task(adopt_socket(
        loop_, [this] { return make_protocol(); }, Descriptor(ours.release()),
        accepted ? std::optional(accept_options) : std::nullopt, connect_options, recorder_,
        is_direct(kind_)));
}

void TransportPair::start_serving() {
    ServerOptions options;
    if (is_tls_from_the_start()) {
        options.tls(test_server_context(kind_));
    }
    loop_.run_until_complete(
        serve(loop_, [this] { return make_protocol(); }, wire(), std::move(options), server_));
    const SocketAddress address = server_->local_address();
    peer_ = wire() == Wire::unix_socket
                ? Peer::connect_unix(std::string(address.path()), peer_buffers())
                : Peer::connect(address.port(), peer_buffers());
    speak_tls(false);
}

void TransportPair::speak_tls(bool server_side) {
    if (uses_tls()) {
        const int layers = kind_ == TransportKind::tls_in_tls ? inner_layers : 1;
        peer_.speak_tls(std::make_unique<PeerTls>(server_side, layers));
    }
}

void TransportPair::serve_peer() {
    if (listener_ && !peer_.is_open()) {
        if (std::optional<Peer> accepted = listener_->accept()) {
            peer_ = std::move(*accepted);
            listener_.reset();
            speak_tls(true);
        }
    }
    const PeerTls* const tls = peer_.tls();
    const bool closing = recorder_.has_transport() && transport().is_closing();
    if (tls != nullptr && (!tls->handshaken() || closing)) {
        peer_.receive_available();
    }
}

bool TransportPair::ready() {
    serve_peer();
    if (recorder_.made() && options_.small_buffers && !shrunk_) {
        shrink_our_buffer();
    }
    const bool returned = !making_ || making_.done();
    if (upgrading_ && upgrading_.done() && !upgrading_.exception()) {
        // It holds a reference to the transport.
        upgrading_ = TaskHandle<void>();
        upgraded_ = true;
    }
    const bool spoken = peer_.tls() == nullptr || peer_.tls()->handshaken();
    return recorder_.made() && returned && (upgraded_ || is_direct(kind_)) && peer_.is_open() &&
           spoken;
}

void TransportPair::shrink_our_buffer() {
    const int fd = transport().get_extra_info(extra::socket).fd();
    if (fd >= 0) {
        set_buffers(fd, SocketBuffers{small_send_bytes, std::nullopt});
    }
    shrunk_ = true;
}

void TransportPair::peer_resets() {
    const int fd = recorder_.has_transport() ? transport().get_extra_info(extra::socket).fd() : -1;
    if (wire() == Wire::unix_socket && fd >= 0) {
        // The kernel resets a Unix connection when the end that closes has not read everything
        // (unix_release_sock). Where there is room for no byte there is something unread already.
        static_cast<void>(::sendto(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0));
    }
    peer_.reset();
}

std::exception_ptr TransportPair::failure() const {
    for (const TaskHandle<void>* task : {&making_, &upgrading_}) {
        if (*task && task->done() && task->exception()) {
            return task->exception();
        }
    }
    return nullptr;
}

}  // namespace sluice::test
