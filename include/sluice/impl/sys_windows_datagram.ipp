// Datagram sockets for Windows: a batch is a call for each datagram, for which a readiness event is
// shared; multicast.
#pragma once

#include <sluice/impl/sys_windows.ipp>

#include <sluice/detail/sys_datagram.hpp>

namespace sluice::inline v0_1::detail::sys {

/// No call takes a batch, so there is nothing to prepare.
class DatagramHeaders {};

SLUICE_INLINE void DatagramHeadersDelete::operator()(DatagramHeaders* headers) const noexcept {
    delete headers;
}

SLUICE_INLINE DatagramHeadersPtr make_datagram_headers() {
    return DatagramHeadersPtr(new DatagramHeaders);
}

// ---- receiving ----

SLUICE_INLINE IoResult receive_datagram(int fd, MutableBytes slot, Datagram& datagram) noexcept {
    NativeAddress sender;
    const int count = ::recvfrom(native_socket(fd), chars(slot), clamped(slot.size()), 0,
                                 sender.get(), &sender.size);
    const int error = count < 0 ? ::WSAGetLastError() : 0;
    datagram.truncated = error == WSAEMSGSIZE;
    if (error == WSAEWOULDBLOCK) {
        return IoResult::would_block();
    }
    if (error == WSAECONNRESET) {
        // Nobody listens there: a connection has nothing to do with it.
        return IoResult::failure(WSAECONNREFUSED);
    }
    if (error != 0 && !datagram.truncated) {
        return IoResult::failure(error);
    }
    datagram.data = datagram.truncated ? slot : slot.first(static_cast<std::size_t>(count));
    datagram.sender = sender.value();
    datagram.ecn = datagram.ttl = 0;
    return datagram.data.size();
}

SLUICE_INLINE IoResult receive_datagrams(int fd, DatagramHeaders&, const DatagramSlots& slots,
                                         std::span<Datagram> datagrams,
                                         std::span<std::size_t> segment_bytes) noexcept {
    for (std::size_t index = 0; index < datagrams.size(); ++index) {
        const MutableBytes slot(slots.memory + index * slots.stride, slots.slot_bytes);
        const IoResult received = receive_datagram(fd, slot, datagrams[index]);
        if (received.blocked() || !received.ok()) {
            // An error that comes behind a datagram is an answer of ICMP, which may be swallowed.
            return index == 0 ? received : IoResult(index);
        }
        segment_bytes[index] = 0;
    }
    return datagrams.size();
}

// ---- sending ----

SLUICE_INLINE IoResult send_datagram(int fd, const OutgoingDatagram& datagram) noexcept {
    SLUICE_ASSERT(datagram.segment_bytes == 0);
    const SOCKET socket = native_socket(fd);
    const int size = clamped(datagram.data.size());
    int sent = 0;
    if (datagram.to == nullptr) {
        sent = ::send(socket, chars(datagram.data), size, 0);
    } else {
        const NativeAddress target(*datagram.to);
        sent = ::sendto(socket, chars(datagram.data), size, 0, target.get(), target.size);
    }
    return moved(sent < 0 ? sent : 1);
}

SLUICE_INLINE IoResult send_datagrams(int fd, DatagramHeaders&,
                                      std::span<const OutgoingDatagram> datagrams) noexcept {
    for (std::size_t index = 0; index < datagrams.size(); ++index) {
        const IoResult sent = send_datagram(fd, datagrams[index]);
        if (sent.blocked() || !sent.ok()) {
            // The next call asks again and is told the error of its first.
            return index == 0 ? sent : IoResult(index);
        }
    }
    return datagrams.size();
}

// ---- options ----

SLUICE_INLINE std::error_code set_datagram_option(int fd, Family family, DatagramOption option,
                                                  int value) noexcept {
    const bool ipv6 = family == Family::ipv6;
    const auto set_both = [&](int option_v4, int option_v6) {
        // An IPv6 socket may receive IPv4, too, which has options of its own.
        const std::error_code error = set_int_option(fd, IPPROTO_IP, option_v4, value);
        return ipv6 ? set_int_option(fd, IPPROTO_IPV6, option_v6, value) : error;
    };
    switch (option) {
        case DatagramOption::broadcast:
            return set_int_option(fd, SOL_SOCKET, SO_BROADCAST, value);
        case DatagramOption::ttl:
            return set_both(IP_TTL, IPV6_UNICAST_HOPS);
        case DatagramOption::multicast_ttl:
            return set_both(IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS);
        case DatagramOption::multicast_loop:
            return set_both(IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP);
        case DatagramOption::multicast_interface:
            // An address of 0.x.x.x is an index.
            return ipv6 ? set_int_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, value)
                        : set_int_option(fd, IPPROTO_IP, IP_MULTICAST_IF,
                                         static_cast<int>(::htonl(static_cast<u_long>(value))));
        case DatagramOption::gro:
        case DatagramOption::receive_ecn:
        case DatagramOption::receive_ttl:
            break;
    }
    return system_error(WSAEOPNOTSUPP);
}

SLUICE_INLINE bool has_segmentation(int) noexcept {
    return false;
}

SLUICE_INLINE std::error_code change_membership(int fd, bool join, const SocketAddress& group,
                                                unsigned interface_index) noexcept {
    if (group.family() == Family::ipv6) {
        ipv6_mreq request{};
        std::memcpy(&request.ipv6mr_multiaddr, group.ip_bytes().data(), 16);
        request.ipv6mr_interface = interface_index != 0 ? interface_index : group.scope_id();
        return outcome(::setsockopt(native_socket(fd), IPPROTO_IPV6,
                                    join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                                    reinterpret_cast<const char*>(&request), sizeof request));
    }
    ip_mreq request{};
    std::memcpy(&request.imr_multiaddr, group.ip_bytes().data(), 4);
    request.imr_interface.s_addr = ::htonl(interface_index);
    return outcome(::setsockopt(native_socket(fd), IPPROTO_IP,
                                join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                                reinterpret_cast<const char*>(&request), sizeof request));
}

SLUICE_INLINE std::error_code remove_socket_file(const std::string&) noexcept {
    return {};  // There are no Unix sockets to leave one.
}

}  // namespace sluice::inline v0_1::detail::sys
