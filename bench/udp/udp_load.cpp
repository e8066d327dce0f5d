// The load of the UDP benchmark: see udp_load.hpp.
#include "udp_load.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include <netinet/in.h>
#include <sys/socket.h>

namespace bench::udp {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t most = 64;
// An answer that has not come by then never will, over loopback and with a server that is awake.
constexpr std::chrono::milliseconds loss_time{300};

char filler(std::size_t index) {
    return static_cast<char>(index * 7 + 1);
}

}  // namespace

UdpLoad::UdpLoad(std::uint16_t port, const UdpShape& shape)
    : shape_(shape), memory_(most * shape.bytes) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (std::size_t i = 0; i < shape.sockets; ++i) {
        Socket socket;
        socket.fd = Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (socket.fd.get() < 0) {
            throw std::system_error(errno, std::generic_category(), "making a socket");
        }
        if (::connect(socket.fd.get(), reinterpret_cast<const sockaddr*>(&address),
                      sizeof address) != 0) {
            throw std::system_error(errno, std::generic_category(), "connecting");
        }
        sockets_.push_back(std::move(socket));
    }
}

void UdpLoad::send(Socket& socket, std::size_t count) {
    std::array<mmsghdr, most> messages{};
    std::array<iovec, most> pieces{};
    for (std::size_t i = 0; i < count; ++i) {
        char* const datagram = memory_.data() + i * shape_.bytes;
        const std::uint64_t number = socket.sent + i;
        std::memcpy(datagram, &number, sizeof number);
        for (std::size_t at = sizeof number; at < shape_.bytes; ++at) {
            datagram[at] = filler(at);
        }
        pieces[i] = {datagram, shape_.bytes};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::size_t sent = 0;
    while (sent < count) {
        const int some = ::sendmmsg(socket.fd.get(), messages.data() + sent,
                                    static_cast<unsigned>(count - sent), 0);
        if (some < 0 && errno != EAGAIN && errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "sending");
        }
        sent += static_cast<std::size_t>(std::max(some, 0));
    }
    socket.sent += count;
}

/// How many datagrams of the window are free again.
std::size_t UdpLoad::receive(Socket& socket, UdpCount& count) {
    std::array<mmsghdr, most> messages{};
    std::array<iovec, most> pieces{};
    for (std::size_t i = 0; i < shape_.window; ++i) {
        pieces[i] = {memory_.data() + i * shape_.bytes, shape_.bytes};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int received = ::recvmmsg(socket.fd.get(), messages.data(),
                                    static_cast<unsigned>(shape_.window), 0, nullptr);
    if (received < 0) {
        if (errno == EAGAIN || errno == EINTR) {
            return 0;
        }
        throw std::system_error(errno, std::generic_category(), "receiving");
    }
    std::size_t free = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
        const char* const datagram = memory_.data() + i * shape_.bytes;
        std::uint64_t number = 0;
        std::memcpy(&number, datagram, sizeof number);
        const bool right_filler =
            shape_.bytes == sizeof number || datagram[shape_.bytes - 1] == filler(shape_.bytes - 1);
        if (messages[i].msg_len != shape_.bytes || number >= socket.sent || !right_filler) {
            throw std::runtime_error("an answer is not what was sent");
        }
        if (number < socket.expected) {
            continue;  // Late: it counts as lost, and its place in the window has been used again.
        }
        count.lost += number - socket.expected;
        free += static_cast<std::size_t>(number + 1 - socket.expected);
        socket.expected = number + 1;
        ++count.answers;
    }
    return free;
}

UdpCount UdpLoad::run_for(std::chrono::nanoseconds time) {
    UdpCount count;
    const auto begin = Clock::now();
    auto last_answer = begin;
    for (Socket& socket : sockets_) {
        send(socket, shape_.window);
    }
    std::size_t under_way = shape_.sockets * shape_.window;
    while (under_way > 0) {
        const auto now = Clock::now();
        const bool ending = now - begin >= time;
        for (Socket& socket : sockets_) {
            const std::size_t free = receive(socket, count);
            if (free == 0) {
                continue;
            }
            last_answer = now;
            under_way -= free;
            if (!ending) {
                send(socket, free);
                under_way += free;
            }
        }
        if (now - last_answer > loss_time) {
            // What is missing is lost; its place in the window is used again.
            for (Socket& socket : sockets_) {
                const std::uint64_t missing = socket.sent - socket.expected;
                count.lost += missing;
                under_way -= static_cast<std::size_t>(missing);
                socket.expected = socket.sent;
                if (!ending && missing > 0) {
                    send(socket, static_cast<std::size_t>(missing));
                    under_way += static_cast<std::size_t>(missing);
                }
            }
            last_answer = now;
        }
    }
    count.wall = Clock::now() - begin;
    return count;
}

}  // namespace bench::udp
