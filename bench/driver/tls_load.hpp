// The echo load over TLS: the batches, the clock and the comparing are EchoLoad's, the bytes on the wire are records. Each
// message is a record of its own (or several full ones), and all records of a batch leave in one send, so that what
// the server makes of many small records is seen, and not what we do. Knows one address, not who serves it.
#pragma once

#include "echo_load.hpp"
#include "tls_client.hpp"

#include <cstdint>
#include <vector>

namespace bench {

class TlsEchoLoad final : public EchoLoad {
public:
    /// Connects and shakes hands, one connection after the other, so that a server never holds the memory of many
    /// handshakes at once. Throws LoadError or TlsError.
    TlsEchoLoad(std::uint16_t port, const EchoShape& shape);

private:
    struct Session {
        TlsConnection tls;
        std::vector<char> unsent;  // sealed
        std::size_t unsent_begin = 0;
    };

    void send_some(Connection& connection) override;
    void receive_some(Connection& connection) override;

    Session& session_of(const Connection& connection);
    void shake_hands(const Connection& connection, Session& session);
    bool send_unsent(const Connection& connection, Session& session);
    void seal(Connection& connection, Session& session);

    TlsClient client_;
    AlignedBuffer plaintext_;
    std::vector<Session> sessions_;  // in the order of connections()
};

}  // namespace bench
