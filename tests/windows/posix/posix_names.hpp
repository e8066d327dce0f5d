// The names of posix_calls.hpp and the constants that go with them, as POSIX has them: global. The values
// are Winsock's.
#pragma once

#include "posix_calls.hpp"

#include <bit>
#include <cerrno>

namespace sluice_posix {

inline constexpr int AF_UNSPEC = 0;
inline constexpr int AF_UNIX = 1;
inline constexpr int AF_INET = 2;
inline constexpr int AF_INET6 = 23;
inline constexpr int SOCK_STREAM = 1;
inline constexpr int SOCK_DGRAM = 2;
inline constexpr int SOCK_NONBLOCK = open_nonblocking;
inline constexpr int SOCK_CLOEXEC = open_cloexec;
inline constexpr int SOMAXCONN = 0x7fffffff;
inline constexpr int SHUT_RD = 0;
inline constexpr int SHUT_WR = 1;
inline constexpr int SHUT_RDWR = 2;
inline constexpr int MSG_PEEK = 2;
inline constexpr int MSG_NOSIGNAL = 0;
inline constexpr int MSG_DONTWAIT = 0;  // every socket here is non-blocking

inline constexpr int SOL_SOCKET = 0xffff;
inline constexpr int SO_ACCEPTCONN = 0x0002;
inline constexpr int SO_REUSEADDR = 0x0004;
inline constexpr int SO_KEEPALIVE = 0x0008;
inline constexpr int SO_BROADCAST = 0x0020;
inline constexpr int SO_LINGER = 0x0080;
inline constexpr int SO_REUSEPORT = -1;  // there is none
inline constexpr int SO_SNDBUF = 0x1001;
inline constexpr int SO_RCVBUF = 0x1002;
inline constexpr int SO_RCVLOWAT = 0x1004;
inline constexpr int SO_ERROR = 0x1007;
inline constexpr int SO_TYPE = 0x1008;
inline constexpr int IPPROTO_IP = 0;
inline constexpr int IPPROTO_TCP = 6;
inline constexpr int IPPROTO_UDP = 17;
inline constexpr int IPPROTO_IPV6 = 41;
inline constexpr int TCP_NODELAY = 1;
inline constexpr int IP_TOS = 3;
inline constexpr int IP_TTL = 4;
inline constexpr int IP_MULTICAST_IF = 9;
inline constexpr int IP_MULTICAST_TTL = 10;
inline constexpr int IP_MULTICAST_LOOP = 11;
inline constexpr int IPV6_UNICAST_HOPS = 4;
inline constexpr int IPV6_MULTICAST_IF = 9;
inline constexpr int IPV6_MULTICAST_HOPS = 10;
inline constexpr int IPV6_MULTICAST_LOOP = 11;
inline constexpr int IPV6_TCLASS = 39;
inline constexpr int IPV6_V6ONLY = 27;
inline constexpr int INET6_ADDRSTRLEN = 46;
inline constexpr std::uint32_t INADDR_ANY = 0;
inline constexpr std::uint32_t INADDR_LOOPBACK = 0x7f000001;

inline constexpr short POLLIN = poll_in;
inline constexpr short POLLOUT = poll_out;
inline constexpr short POLLERR = poll_error;
inline constexpr short POLLHUP = poll_hang_up;
inline constexpr short POLLRDHUP = poll_peer_hang_up;
inline constexpr unsigned long FIONREAD = bytes_waiting;

inline constexpr Control F_GETFL = Control::get_flags;
inline constexpr Control F_SETFL = Control::set_flags;
inline constexpr Control F_GETFD = Control::get_descriptor_flags;
inline constexpr Control F_SETFD = Control::set_descriptor_flags;
inline constexpr Control F_DUPFD_CLOEXEC = Control::duplicate;
inline constexpr int FD_CLOEXEC = 1;
// For cases that do not run here.
inline constexpr int O_DIRECTORY = 0;
inline constexpr int O_PATH = 0;
inline constexpr int O_NONBLOCK = open_nonblocking;
inline constexpr int O_CLOEXEC = open_cloexec;

inline constexpr int RLIMIT_NOFILE = 7;

constexpr std::uint16_t htons(std::uint16_t value) noexcept {
    static_assert(std::endian::native == std::endian::little);
    return static_cast<std::uint16_t>(value << 8 | value >> 8);
}
constexpr std::uint16_t ntohs(std::uint16_t value) noexcept {
    return htons(value);
}
constexpr std::uint32_t htonl(std::uint32_t value) noexcept {
    return std::uint32_t{htons(static_cast<std::uint16_t>(value))} << 16 |
           htons(static_cast<std::uint16_t>(value >> 16));
}
constexpr std::uint32_t ntohl(std::uint32_t value) noexcept {
    return htonl(value);
}

}  // namespace sluice_posix

using namespace sluice_posix;
