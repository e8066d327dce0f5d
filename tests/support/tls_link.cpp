// The man in the middle: two sockets for each connection and a string in each direction. See
// tls_link.hpp; what is done to the bytes is the test's business.
#include "support/tls_link.hpp"

#include <cerrno>
#include <system_error>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluice::test {

void send_at_once(int fd) {
    const int on = 1;
    if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0) {
        throw std::system_error(errno, std::system_category(), "TCP_NODELAY");
    }
}

void TlsLink::pump() {
    while (std::optional<Peer> client = listener_.accept()) {
        auto pair = std::make_unique<Pair>();
        pair->client = std::move(*client);
        pair->server = Peer::connect(server_port_);
        // Small pieces are the point here; with Nagle's algorithm each would wait 40 ms for the
        // acknowledgement of the one before.
        for (const Peer* const end : {&pair->client, &pair->server}) {
            send_at_once(end->fd());
        }
        pairs_.push_back(std::move(pair));
    }
    for (const auto& pair : pairs_) {
        move(pair->client, pair->server, pair->ways[0], Direction::to_server);
        move(pair->server, pair->client, pair->ways[1], Direction::to_client);
    }
}

void TlsLink::move(Peer& from, Peer& to, Way& way, Direction direction) {
    if (!from.is_open() || !to.is_open() || way.finished) {
        return;
    }
    from.receive_available();
    way.waiting += from.take_received();
    if (!way.waiting.empty()) {
        way.going += mangle ? mangle(direction, way.waiting) : std::exchange(way.waiting, {});
    }
    try {
        way.going.erase(0, to.send_some(way.going));
    } catch (const std::system_error&) {
        // Whoever has reset the connection wants no more of it.
        way.finished = true;
        return;
    }
    const bool nothing_left = way.waiting.empty() && way.going.empty();
    if (from.error() != 0) {
        way.finished = true;
        to.reset();
    } else if (from.saw_end() && nothing_left) {
        way.finished = true;
        to.shutdown_write();
    }
}

void TlsLink::cut() {
    for (const auto& pair : pairs_) {
        for (Peer* const end : {&pair->client, &pair->server}) {
            if (end->is_open()) {
                // Unread bytes would turn close(2) into a reset (tcp(7)).
                end->receive_available();
                end->close();
            }
        }
    }
}

void TlsLink::reset() {
    for (const auto& pair : pairs_) {
        for (Peer* const end : {&pair->client, &pair->server}) {
            if (end->is_open()) {
                end->reset();
            }
        }
    }
}

}  // namespace sluice::test
