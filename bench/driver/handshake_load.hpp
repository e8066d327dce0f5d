// Many short TLS connections at once; each shakes hands, exchanges one small message, so that the server has certainly seen
// the end of the handshake and sent its ticket, and ends. Resuming, each connection shows a ticket that an earlier one was
// given, and a server that then does not resume fails. Knows one address, not who serves it.
#pragma once

#include "echo_load.hpp"
#include "source_addresses.hpp"
#include "tls_client.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace bench {

class HandshakeLoad {
public:
    HandshakeLoad(std::uint16_t port, bool resumed);

    /// Makes connections for about `time`, then lets those under way end. Throws LoadError and TlsError.
    EchoCount run_for(std::chrono::nanoseconds time);

    /// The same with a number of connections.
    EchoCount run(std::uint64_t connections);

private:
    struct Slot {
        Descriptor fd;
        std::optional<TlsConnection> tls;
        bool connected = false;
        bool secure = false;
        std::size_t answered = 0;
    };

    EchoCount run_while(const std::function<bool(std::uint64_t opened)>& more);
    void open(Slot& slot);
    void watch(int operation, Slot& slot, std::uint32_t interest) const;
    bool advance(Slot& slot);
    void proceed(Slot& slot, std::span<const char> arrived);
    void read_answer(Slot& slot);
    void send_output(const Slot& slot);

    TlsClient client_;
    Descriptor epoll_;
    std::vector<Slot> slots_;
    Pattern pattern_;
    AlignedBuffer arrived_;
    AlignedBuffer plaintext_;
    std::uint16_t port_;
    SourceAddresses sources_;
};

}  // namespace bench
