// TlsLink: a man in the middle. It accepts connections on a port of its own, connects each to a
// server, and hands the bytes on in both directions, changed by whatever a test wants.
//
// It knows sockets and bytes, neither the library nor TLS. Nothing happens but in pump().
#pragma once

#include "support/peer.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::test {

/// TCP_NODELAY: small pieces do not wait for acknowledgements.
void send_at_once(int fd);

enum class Direction : std::uint8_t { to_server, to_client };

class TlsLink {
public:
    explicit TlsLink(std::uint16_t server_port) : server_port_(server_port) {}

    /// Where clients connect to.
    [[nodiscard]] std::uint16_t port() const noexcept { return listener_.port(); }

    /// Given everything that waits in one direction; takes from its front what is to go on now,
    /// which it returns, as it is or changed. Without it all goes on at once. It is asked on every
    /// pump() while anything waits.
    std::function<std::string(Direction, std::string& waiting)> mangle;

    /// Moves what can be moved.
    void pump();
    /// Cuts every connection: FIN in both directions, and nothing more is handed on.
    void cut();
    /// Cuts every connection with RST.
    void reset();

private:
    struct Way {
        std::string waiting;
        std::string going;
        bool finished = false;
    };
    struct Pair {
        Peer client;
        Peer server;
        Way ways[2];
    };

    void move(Peer& from, Peer& to, Way& way, Direction direction);

    Listener listener_;
    std::uint16_t server_port_;
    std::vector<std::unique_ptr<Pair>> pairs_;
};

}  // namespace sluice::test
