// TransportPair: the four ways to make a transport and its raw peer. See transport_pair.hpp.
#include "support/transport_pair.hpp"

#include <stdexcept>
#include <utility>

namespace sluice::test {

namespace {

// The peer's buffer is much smaller than a third of ours: whatever window it opens late, because of
// delayed acknowledgements or a probe, does not make our socket writable again (the kernel says so
// only once a third of the send buffer is free). A full kernel therefore stays full until the peer
// reads.
constexpr int small_receive_bytes = 8 * 1024;
constexpr int small_send_bytes = 64 * 1024;

// The coroutines are written with every awaited value and argument in a named local: GCC 12
// destroys temporaries of awaited expressions twice.
template <class P>
Task<void> connect_to(EventLoop& loop, std::uint16_t port, Recorder& recorder) {
    auto connecting = loop.create_connection<P>("127.0.0.1", port, ConnectOptions(), &recorder);
    const Connection<P> connection = co_await connecting;
    recorder.note("returns");
    if (connection.transport.get() != &recorder.transport()) {
        throw std::logic_error("create_connection gave another transport than connection_made");
    }
}

template <class P>
Task<void> adopt_socket(EventLoop& loop, Descriptor socket, bool accepted, Recorder& recorder) {
    auto adopting = accepted ? loop.connect_accepted_socket<P>(std::move(socket), &recorder)
                             : loop.create_connection<P>(std::move(socket), &recorder);
    const Connection<P> connection = co_await adopting;
    recorder.note("returns");
}

template <class P>
Task<void> serve(EventLoop& loop, Recorder& recorder, Ref<Server>& result) {
    auto creating = loop.create_server<P>("127.0.0.1", 0, ServerOptions(), &recorder);
    result = co_await creating;
}

}  // namespace

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
    : loop_(loop), transport_kind_(transport), protocol_kind_(protocol), recorder_(recorder) {}

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
    switch (transport_kind_) {
        case TransportKind::tcp:
            start_tcp();
            break;
    }
}

void TransportPair::start_tcp() {
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

void TransportPair::start_connecting() {
    listener_ = std::make_unique<Listener>(peer_buffers());
    if (protocol_kind_ == ProtocolKind::buffered) {
        making_ = loop_.create_task(
            connect_to<RecordingBufferedProtocol>(loop_, listener_->port(), recorder_));
    } else {
        making_ =
            loop_.create_task(connect_to<RecordingProtocol>(loop_, listener_->port(), recorder_));
    }
}

void TransportPair::start_adopting(bool accepted) {
    auto [ours, theirs] = connected_peers({}, peer_buffers());
    peer_ = std::move(theirs);
    Descriptor socket(ours.release());
    if (protocol_kind_ == ProtocolKind::buffered) {
        making_ = loop_.create_task(
            adopt_socket<RecordingBufferedProtocol>(loop_, std::move(socket), accepted, recorder_));
    } else {
        making_ = loop_.create_task(
            adopt_socket<RecordingProtocol>(loop_, std::move(socket), accepted, recorder_));
    }
}

void TransportPair::start_serving() {
    if (protocol_kind_ == ProtocolKind::buffered) {
        loop_.run_until_complete(serve<RecordingBufferedProtocol>(loop_, recorder_, server_));
    } else {
        loop_.run_until_complete(serve<RecordingProtocol>(loop_, recorder_, server_));
    }
    peer_ = Peer::connect(server_->sockets().at(0).local_address().port(), peer_buffers());
}

bool TransportPair::ready() {
    if (listener_ && !peer_.is_open()) {
        if (std::optional<Peer> accepted = listener_->accept()) {
            peer_ = std::move(*accepted);
            listener_.reset();
        }
    }
    if (recorder_.made() && options_.small_buffers && !shrunk_) {
        shrink_our_buffer();
    }
    const bool returned = !making_ || making_.done();
    return recorder_.made() && returned && peer_.is_open();
}

void TransportPair::shrink_our_buffer() {
    const int fd = transport().get_extra_info(extra::socket).fd();
    if (fd >= 0) {
        set_buffers(fd, SocketBuffers{small_send_bytes, std::nullopt});
    }
    shrunk_ = true;
}

std::exception_ptr TransportPair::failure() const {
    return making_ ? making_.exception() : nullptr;
}

}  // namespace sluice::test
