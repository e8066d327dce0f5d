// The echo load over TLS: see tls_load.hpp.
#include "tls_load.hpp"

#include <algorithm>
#include <cerrno>

#include <poll.h>
#include <sys/socket.h>

namespace bench {

namespace {

// One record at a time comes out of OpenSSL.
constexpr std::size_t plaintext_bytes = 16 * 1024;
// What is sealed before it is sent: a whole message of the largest size, and in the second-level cache.
constexpr std::size_t sealed_at_once = 256 * 1024;
constexpr int handshake_limit_ms = 5000;

}  // namespace

TlsEchoLoad::TlsEchoLoad(std::uint16_t port, const EchoShape& shape)
    : EchoLoad(port, shape), plaintext_(plaintext_bytes) {
    sessions_.reserve(shape.connections);
    for (const Connection& connection : connections()) {
        sessions_.push_back({TlsConnection(client_), {}, 0});
        shake_hands(connection, sessions_.back());
    }
}

TlsEchoLoad::Session& TlsEchoLoad::session_of(const Connection& connection) {
    return sessions_[static_cast<std::size_t>(&connection - connections().data())];
}

void TlsEchoLoad::shake_hands(const Connection& connection, Session& session) {
    for (bool complete = session.tls.handshake({});;) {
        session.unsent.swap(client_.output());
        if (!send_unsent(connection, session)) {
            throw LoadError("the kernel does not take a whole handshake message");
        }
        if (complete) {
            // Tickets may have come with the last flight.
            while (session.tls.read(plaintext_.bytes()) != 0) {
            }
            return;
        }
        pollfd readable{connection.fd.get(), POLLIN, 0};
        if (poll(&readable, 1, handshake_limit_ms) == 0) {
            throw LoadError("no handshake within 5 s");
        }
        complete = session.tls.handshake(receive(connection));
    }
}

// True when nothing is left. A session's memory is given back, so that idle connections hold none.
bool TlsEchoLoad::send_unsent(const Connection& connection, Session& session) {
    while (session.unsent_begin < session.unsent.size()) {
        const ssize_t sent = send(connection.fd.get(), session.unsent.data() + session.unsent_begin,
                                  session.unsent.size() - session.unsent_begin, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                throw LoadError("send failed");
            }
            return false;
        }
        session.unsent_begin += static_cast<std::size_t>(sent);
    }
    session.unsent = {};
    session.unsent_begin = 0;
    return true;
}

void TlsEchoLoad::send_some(Connection& connection) {
    Session& session = session_of(connection);
    std::vector<char>& output = client_.output();
    bool writable = send_unsent(connection, session);
    while (writable && connection.sent < connection.goal) {
        seal(connection, session);
        const ssize_t sent = send(connection.fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            throw LoadError("send failed");
        }
        const auto taken = std::max<ssize_t>(sent, 0);
        session.unsent.assign(output.begin() + taken, output.end());
        output.clear();
        writable = session.unsent.empty();
    }
    watch(connection, !writable);
}

void TlsEchoLoad::seal(Connection& connection, Session& session) {
    const std::size_t message_bytes = shape().message_bytes;
    while (connection.sent < connection.goal && client_.output().size() < sealed_at_once) {
        const auto record = pattern().at(connection.origin + connection.sent,
                                         message_bytes - connection.sent % message_bytes);
        session.tls.write(record);
        connection.sent += record.size();
    }
}

void TlsEchoLoad::receive_some(Connection& connection) {
    TlsConnection& tls = session_of(connection).tls;
    tls.feed(receive(connection));
    while (const std::size_t count = tls.read(plaintext_.bytes())) {
        accept_answer(connection, plaintext_.bytes().first(count));
    }
    if (tls.has_ended()) {
        throw LoadError("the server closed a connection");
    }
}

}  // namespace bench
