// The system calls of datagram sockets, declared as sys.hpp declares the others: batches of
// datagrams with their addresses, segment sizes and what else travels beside the data.
#pragma once

#include <sluice/address.hpp>
#include <sluice/bytes.hpp>
#include <sluice/datagram.hpp>
#include <sluice/detail/sys.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <system_error>

namespace sluice::inline v0_1::detail::sys {

/// The headers that recvmmsg(2) and sendmmsg(2) want, for limits::datagram_batch datagrams in each
/// direction. Too large for the stack, and mostly the same from call to call.
class DatagramHeaders;
struct DatagramHeadersDelete {
    void operator()(DatagramHeaders* headers) const noexcept;
};
using DatagramHeadersPtr = std::unique_ptr<DatagramHeaders, DatagramHeadersDelete>;
/// May throw std::bad_alloc.
DatagramHeadersPtr make_datagram_headers();

/// Where datagrams are put: one in each slot, slots `stride` bytes apart.
struct DatagramSlots {
    std::byte* memory = nullptr;
    std::size_t stride = 0;
    std::size_t slot_bytes = 0;
    bool ancillary = false;  // the socket was asked for more than data and sender
};

/// Receives as many datagrams as wait and fit into `datagrams`; at least one, or would-block, or an
/// error. `segment_bytes` gets the size of the datagrams that the system has joined in that slot, or
/// 0. A slot of `datagrams` keeps its sender if that is the same again, so that the path of a Unix
/// address need not be allocated.
IoResult receive_datagrams(int fd, DatagramHeaders& headers, const DatagramSlots& slots,
                           std::span<Datagram> datagrams,
                           std::span<std::size_t> segment_bytes) noexcept;

struct OutgoingDatagram {
    Bytes data;
    const SocketAddress* to;    // null: wherever the socket is connected to
    std::size_t segment_bytes;  // several datagrams of this size, joined; 0: it is one
};

/// Sends them in order; how many were taken, or why the first was not.
IoResult send_datagrams(int fd, DatagramHeaders& headers,
                        std::span<const OutgoingDatagram> datagrams) noexcept;
/// The same for one.
IoResult send_datagram(int fd, const OutgoingDatagram& datagram) noexcept;

enum class DatagramOption : std::uint8_t {
    broadcast,            // SO_BROADCAST
    gro,                  // UDP_GRO
    receive_ecn,          // IP_RECVTOS, IPV6_RECVTCLASS
    receive_ttl,          // IP_RECVTTL, IPV6_RECVHOPLIMIT
    ttl,                  // IP_TTL, IPV6_UNICAST_HOPS
    multicast_ttl,        // IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS
    multicast_loop,       // IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP
    multicast_interface,  // IP_MULTICAST_IF, IPV6_MULTICAST_IF, by index
};

std::error_code set_datagram_option(int fd, Family family, DatagramOption option,
                                    int value) noexcept;
/// Does the system take UDP_SEGMENT on this socket?
bool has_segmentation(int fd) noexcept;
/// Joins or leaves the multicast group.
std::error_code change_membership(int fd, bool join, const SocketAddress& group,
                                  unsigned interface_index) noexcept;
/// Removes what lies at `path` if it is a socket; nothing there is no error.
std::error_code remove_socket_file(const std::string& path) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_datagram.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_datagram.ipp>
#endif
