// Datagram sockets: batches of messages, what travels beside the data, multicast.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_datagram.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include <sys/stat.h>

namespace sluice::inline v0_1::detail::sys {

/// Without the zeros that fill a sockaddr_storage, since a batch has many of them.
union DatagramAddress {
    sockaddr any;
    sockaddr_in ipv4;
    sockaddr_in6 ipv6;
    sockaddr_un local;
};

/// Room for what comes beside a datagram: the size of its parts, its traffic class, its hops.
struct ReceivedControl {
    alignas(cmsghdr) std::byte space[3 * CMSG_SPACE(sizeof(int))];
};
struct SentControl {
    alignas(cmsghdr) std::byte space[CMSG_SPACE(sizeof(std::uint16_t))];
};

class DatagramHeaders {
public:
    std::array<os::Message, limits::datagram_batch> received{};
    std::array<iovec, limits::datagram_batch> received_pieces{};
    std::array<DatagramAddress, limits::datagram_batch> senders;
    std::array<ReceivedControl, limits::datagram_batch> received_controls;

    std::array<os::Message, limits::datagram_batch> sent{};
    std::array<iovec, limits::datagram_batch> sent_pieces{};
    std::array<DatagramAddress, limits::datagram_batch> targets;
    std::array<SentControl, limits::datagram_batch> sent_controls;

    // Senders with a path, which is allocated: those seen last, so that each is made once.
    std::array<SocketAddress, limits::datagram_batch> paths;
    std::size_t next_path = 0;
};

SLUICE_INLINE void DatagramHeadersDelete::operator()(DatagramHeaders* headers) const noexcept {
    delete headers;
}

SLUICE_INLINE DatagramHeadersPtr make_datagram_headers() {
    return DatagramHeadersPtr(new DatagramHeaders);
}

// ---- addresses ----

SLUICE_INLINE socklen_t fill_native(DatagramAddress& native_address,
                                    const SocketAddress& address) noexcept {
    switch (address.family()) {
        case Family::ipv4:
            native_address.ipv4 = {};
            native_address.ipv4.sin_family = AF_INET;
            native_address.ipv4.sin_port = htons(address.port());
            std::memcpy(&native_address.ipv4.sin_addr, address.ip_bytes().data(), 4);
            return sizeof native_address.ipv4;
        case Family::ipv6:
            native_address.ipv6 = {};
            native_address.ipv6.sin6_family = AF_INET6;
            native_address.ipv6.sin6_port = htons(address.port());
            native_address.ipv6.sin6_flowinfo = address.flow_info();
            native_address.ipv6.sin6_scope_id = address.scope_id();
            std::memcpy(&native_address.ipv6.sin6_addr, address.ip_bytes().data(), 16);
            return sizeof native_address.ipv6;
        default: {
            const NativeAddress whole(address);
            std::memcpy(&native_address, &whole.storage,
                        std::min<std::size_t>(sizeof native_address, whole.size));
            return whole.size;
        }
    }
}

SLUICE_INLINE void store_sender(DatagramHeaders& headers, const DatagramAddress& native_address,
                                socklen_t size, SocketAddress& sender) noexcept {
    if (size < sizeof(sa_family_t)) {
        sender = SocketAddress();
        return;
    }
    switch (native_address.any.sa_family) {
        case AF_INET: {
            std::array<std::uint8_t, 4> ip{};
            std::memcpy(ip.data(), &native_address.ipv4.sin_addr, ip.size());
            sender = SocketAddress::ipv4(ip, ntohs(native_address.ipv4.sin_port));
            return;
        }
        case AF_INET6: {
            const sockaddr_in6& ipv6 = native_address.ipv6;
            std::array<std::uint8_t, 16> ip{};
            std::memcpy(ip.data(), &ipv6.sin6_addr, ip.size());
            sender = SocketAddress::ipv6(ip, ntohs(ipv6.sin6_port), ipv6.sin6_scope_id,
                                         ipv6.sin6_flowinfo);
            return;
        }
        default: {
            const std::string_view name = path_of(native_address.local, size);
            if (sender.family() == Family::unix_domain && sender.path() == name) {
                return;
            }
            const auto known = std::ranges::find_if(
                headers.paths, [name](const auto& address) { return address.path() == name; });
            if (name.empty() || known != headers.paths.end()) {
                sender = name.empty() ? SocketAddress() : *known;
                return;
            }
            NativeAddress whole;
            std::memcpy(&whole.storage, &native_address, sizeof native_address);
            whole.size = size;
            sender = whole.value();
            headers.paths[headers.next_path++ % headers.paths.size()] = sender;
        }
    }
}

// ---- receiving ----

/// What came beside the datagram; gives the size of the datagrams that were joined in it, or 0.
SLUICE_INLINE std::size_t read_control(msghdr& header, Datagram& datagram) noexcept {
    std::size_t segment_bytes = 0;
    for (cmsghdr* entry = CMSG_FIRSTHDR(&header); entry != nullptr;
         entry = CMSG_NXTHDR(&header, entry)) {
        // The traffic class of IPv4 is the only one of these that is a byte (ip(7)).
        int value = std::to_integer<int>(*reinterpret_cast<const std::byte*>(CMSG_DATA(entry)));
        if (entry->cmsg_len >= CMSG_LEN(sizeof value)) {
            std::memcpy(&value, CMSG_DATA(entry), sizeof value);
        }
        if (entry->cmsg_level == IPPROTO_UDP && entry->cmsg_type == os::udp_gro) {
            segment_bytes = static_cast<std::size_t>(value);
        } else if ((entry->cmsg_level == IPPROTO_IP && entry->cmsg_type == os::received_tos) ||
                   (entry->cmsg_level == IPPROTO_IPV6 && entry->cmsg_type == IPV6_TCLASS)) {
            datagram.ecn = static_cast<std::uint8_t>(static_cast<unsigned>(value) & 3U);
        } else if ((entry->cmsg_level == IPPROTO_IP && entry->cmsg_type == os::received_ttl) ||
                   (entry->cmsg_level == IPPROTO_IPV6 &&
                    entry->cmsg_type == os::received_hop_limit)) {
            datagram.ttl = static_cast<std::uint8_t>(value);
        }
    }
    return segment_bytes;
}

SLUICE_INLINE IoResult receive_datagrams(int fd, DatagramHeaders& headers,
                                         const DatagramSlots& slots, std::span<Datagram> datagrams,
                                         std::span<std::size_t> segment_bytes) noexcept {
    const std::size_t count = std::min(datagrams.size(), headers.received.size());
    for (std::size_t index = 0; index < count; ++index) {
        headers.received_pieces[index] = {slots.memory + index * slots.stride, slots.slot_bytes};
        msghdr& header = headers.received[index].msg_hdr;
        header.msg_name = &headers.senders[index];
        header.msg_namelen = sizeof headers.senders[index];
        header.msg_iov = &headers.received_pieces[index];
        header.msg_iovlen = 1;
        // Without room for it, what comes beside a datagram is dropped, descriptors that a peer of
        // a Unix socket passes uninvited included (unix(7)).
        header.msg_control = slots.ancillary ? &headers.received_controls[index] : nullptr;
        header.msg_controllen = slots.ancillary ? sizeof headers.received_controls[index] : 0;
        header.msg_flags = 0;
    }
    const ssize_t received = retry_interrupted([&]() -> ssize_t {
        return os::receive_messages(fd, std::span(headers.received).first(count));
    });
    for (std::size_t index = 0; received > 0 && index < static_cast<std::size_t>(received);
         ++index) {
        os::Message& entry = headers.received[index];
        Datagram& datagram = datagrams[index];
        datagram.data = {slots.memory + index * slots.stride, entry.msg_len};
        datagram.truncated = (entry.msg_hdr.msg_flags & MSG_TRUNC) != 0;
        datagram.ecn = datagram.ttl = 0;
        store_sender(headers, headers.senders[index], entry.msg_hdr.msg_namelen, datagram.sender);
        segment_bytes[index] = slots.ancillary ? read_control(entry.msg_hdr, datagram) : 0;
    }
    return moved(received);
}

// ---- sending ----

SLUICE_INLINE void fill_outgoing(msghdr& header, iovec& piece, DatagramAddress& target,
                                 SentControl& control, const OutgoingDatagram& datagram) noexcept {
    // sendmsg does not write through the pointer; its type is shared with readv.
    piece = {const_cast<std::byte*>(datagram.data.data()), datagram.data.size()};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_name = datagram.to != nullptr ? &target : nullptr;
    header.msg_namelen = datagram.to != nullptr ? fill_native(target, *datagram.to) : 0;
    header.msg_control = nullptr;
    header.msg_controllen = 0;
    header.msg_flags = 0;
    if (datagram.segment_bytes != 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof control.space;
        cmsghdr* const entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = IPPROTO_UDP;
        entry->cmsg_type = os::udp_segment;
        entry->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
        const auto segment_bytes = static_cast<std::uint16_t>(datagram.segment_bytes);
        std::memcpy(CMSG_DATA(entry), &segment_bytes, sizeof segment_bytes);
    }
}

SLUICE_INLINE IoResult send_datagrams(int fd, DatagramHeaders& headers,
                                      std::span<const OutgoingDatagram> datagrams) noexcept {
    SLUICE_ASSERT(datagrams.size() <= headers.sent.size());
    for (std::size_t index = 0; index < datagrams.size(); ++index) {
        fill_outgoing(headers.sent[index].msg_hdr, headers.sent_pieces[index],
                      headers.targets[index], headers.sent_controls[index], datagrams[index]);
    }
    return moved(retry_interrupted(
        [&] { return os::send_messages(fd, std::span(headers.sent).first(datagrams.size())); }));
}

SLUICE_INLINE IoResult send_datagram(int fd, const OutgoingDatagram& datagram) noexcept {
    DatagramAddress target;
    if (datagram.segment_bytes == 0) {
        const socklen_t size = datagram.to != nullptr ? fill_native(target, *datagram.to) : 0;
        const ssize_t sent = retry_interrupted([&] {
            return ::sendto(fd, datagram.data.data(), datagram.data.size(), os::send_flags,
                            datagram.to != nullptr ? &target.any : nullptr, size);
        });
        return moved(sent < 0 ? sent : 1);
    }
    msghdr header{};
    iovec piece{};
    SentControl control{};
    fill_outgoing(header, piece, target, control, datagram);
    const ssize_t sent = retry_interrupted([&] { return ::sendmsg(fd, &header, os::send_flags); });
    return moved(sent < 0 ? sent : 1);
}

// ---- options ----

SLUICE_INLINE std::error_code set_int_option(int fd, int level, int option, int value) noexcept {
    return outcome(::setsockopt(fd, level, option, &value, sizeof value));
}

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
        case DatagramOption::gro:
            return set_int_option(fd, IPPROTO_UDP, os::udp_gro, value);
        case DatagramOption::receive_ecn:
            return set_both(IP_RECVTOS, IPV6_RECVTCLASS);
        case DatagramOption::receive_ttl:
            return set_both(IP_RECVTTL, os::ipv6_receive_hop_limit);
        case DatagramOption::ttl:
            return set_both(IP_TTL, IPV6_UNICAST_HOPS);
        case DatagramOption::multicast_ttl:
            return set_both(IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS);
        case DatagramOption::multicast_loop:
            return set_both(IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP);
        case DatagramOption::multicast_interface:
            break;
    }
    if (ipv6) {
        return set_int_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, value);
    }
    ip_mreqn by_index{};
    by_index.imr_ifindex = value;
    return outcome(::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &by_index, sizeof by_index));
}

SLUICE_INLINE bool has_segmentation(int fd) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, IPPROTO_UDP, os::udp_segment, &value, &size) == 0;
}

SLUICE_INLINE std::error_code change_membership(int fd, bool join, const SocketAddress& group,
                                                unsigned interface_index) noexcept {
    if (group.family() == Family::ipv6) {
        ipv6_mreq request{};
        std::memcpy(&request.ipv6mr_multiaddr, group.ip_bytes().data(), 16);
        request.ipv6mr_interface = interface_index != 0 ? interface_index : group.scope_id();
        return outcome(::setsockopt(fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP,
                                    &request, sizeof request));
    }
    ip_mreqn request{};
    std::memcpy(&request.imr_multiaddr, group.ip_bytes().data(), 4);
    request.imr_ifindex = static_cast<int>(interface_index);
    return outcome(::setsockopt(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP,
                                &request, sizeof request));
}

SLUICE_INLINE std::error_code remove_socket_file(const std::string& path) noexcept {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        return errno == ENOENT ? std::error_code{} : outcome(-1);
    }
    return S_ISSOCK(status.st_mode) ? outcome(::unlink(path.c_str())) : std::error_code{};
}

}  // namespace sluice::inline v0_1::detail::sys
