// Connections made faster than their address pairs become free: each from the next address of 127.0.0.0/8.
#include "source_addresses.hpp"

#include "echo_load.hpp"

#include <cerrno>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace bench {

Descriptor SourceAddresses::connect(std::uint16_t port) {
    constexpr std::uint32_t count = 64;
    Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (socket.get() < 0) {
        throw LoadError("socket: no descriptor");
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + next_++ % count);
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    const auto* plain = reinterpret_cast<const sockaddr*>(&address);
    if (bind(socket.get(), plain, sizeof address) != 0) {
        throw LoadError("bind: no source address");
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (::connect(socket.get(), plain, sizeof address) != 0 && errno != EINPROGRESS) {
        throw LoadError("connect: refused");
    }
    return socket;
}

}  // namespace bench
