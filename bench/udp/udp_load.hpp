// The load of the UDP benchmark: connected sockets, each with a window of datagrams under way; whatever comes back sends the
// next ones. Never sleeps, like the echo load and for the same reason. Checks each answer; counts what is lost.
#pragma once

#include "../driver/descriptor.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench::udp {

struct UdpShape {
    std::size_t bytes = 64;  // of a datagram, 8 at least
    std::size_t sockets = 1;
    std::size_t window = 1;  // datagrams of a socket under way, 64 at most
};

struct UdpCount {
    std::uint64_t answers = 0;
    std::uint64_t lost = 0;
    std::chrono::nanoseconds wall{};
};

class UdpLoad {
public:
    UdpLoad(std::uint16_t port, const UdpShape& shape);

    /// Exchanges datagrams for about `time`, then waits until nothing is under way. Throws std::runtime_error for an
    /// answer that is not what was sent.
    UdpCount run_for(std::chrono::nanoseconds time);

private:
    struct Socket {
        Descriptor fd;
        std::uint64_t sent = 0;      // sequence number of the next datagram
        std::uint64_t expected = 0;  // of the next answer
    };

    void send(Socket& socket, std::size_t count);
    std::size_t receive(Socket& socket, UdpCount& count);

    UdpShape shape_;
    std::vector<Socket> sockets_;
    std::vector<char> memory_;
};

}  // namespace bench::udp
