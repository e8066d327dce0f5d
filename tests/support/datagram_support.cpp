// Plain POSIX behind DatagramPeer, and the recorder's callbacks. See datagram_support.hpp.
#include "support/datagram_support.hpp"

#include "support/checked.hpp"
#include "support/raw_descriptors.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::test {

namespace {

RawAddress raw(const SocketAddress& address) {
    RawAddress result;
    if (address.family() == Family::unix_domain) {
        auto& local = reinterpret_cast<sockaddr_un&>(result.storage);
        const std::string_view path = address.path();
        local.sun_family = AF_UNIX;
        std::memcpy(local.sun_path, path.data(), path.size());
        const bool abstract = !path.empty() && path.front() == '\0';
        result.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                               (abstract ? 0 : 1));
    } else if (address.family() == Family::ipv4) {
        auto& ipv4 = reinterpret_cast<sockaddr_in&>(result.storage);
        ipv4.sin_family = AF_INET;
        ipv4.sin_port = htons(address.port());
        std::memcpy(&ipv4.sin_addr, address.ip_bytes().data(), 4);
        result.length = sizeof ipv4;
    } else {
        auto& ipv6 = reinterpret_cast<sockaddr_in6&>(result.storage);
        ipv6.sin6_family = AF_INET6;
        ipv6.sin6_port = htons(address.port());
        ipv6.sin6_scope_id = address.scope_id();
        std::memcpy(&ipv6.sin6_addr, address.ip_bytes().data(), 16);
        result.length = sizeof ipv6;
    }
    return result;
}

SocketAddress cooked(const RawAddress& address) {
    char text[INET6_ADDRSTRLEN] = {};
    switch (address.storage.ss_family) {
        case AF_INET: {
            const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address.storage);
            ::inet_ntop(AF_INET, &ipv4.sin_addr, text, sizeof text);
            return SocketAddress::parse(text, ntohs(ipv4.sin_port)).value();
        }
        case AF_INET6: {
            const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
            ::inet_ntop(AF_INET6, &ipv6.sin6_addr, text, sizeof text);
            return SocketAddress::parse(text, ntohs(ipv6.sin6_port)).value();
        }
        default: {
            const auto& local = reinterpret_cast<const sockaddr_un&>(address.storage);
            const std::size_t header = offsetof(sockaddr_un, sun_path);
            if (address.length <= header) {
                return {};
            }
            std::string_view path(local.sun_path, address.length - header);
            if (path.front() != '\0') {
                path = path.data();
            }
            return SocketAddress::unix_path(path);
        }
    }
}

int native(DatagramWire wire) {
    return wire == DatagramWire::ipv4 ? AF_INET : wire == DatagramWire::ipv6 ? AF_INET6 : AF_UNIX;
}

template <class F>
void call_if(const F& function) {
    if (function) {
        function();
    }
}

}  // namespace

std::string wire_name(DatagramWire wire) {
    return wire == DatagramWire::ipv4 ? "ipv4" : wire == DatagramWire::ipv6 ? "ipv6" : "unix";
}

bool has_wire(DatagramWire wire) {
    try {
        const DatagramPeer probe(wire);
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

SocketAddress free_address(DatagramWire wire) {
    static std::atomic<unsigned> next{0};
    switch (wire) {
        case DatagramWire::ipv4:
            return SocketAddress::parse("127.0.0.1", 0).value();
        case DatagramWire::ipv6:
            return SocketAddress::parse("::1", 0).value();
        case DatagramWire::unix_domain:
            break;
    }
    std::string name(1, '\0');
    name += "sluice-datagram-" + std::to_string(::getpid()) + "-" + std::to_string(next++);
    return SocketAddress::unix_path(name);
}

// ---- the peer ----

DatagramPeer::DatagramPeer(DatagramWire wire, const SocketAddress& local)
    : fd_(make_socket(native(wire), SOCK_DGRAM, IoMode::nonblocking)) {
    RawAddress address = raw(local);
    if (::bind(fd_, address.get(), address.length) != 0) {
        const int error = errno;
        close();
        throw std::system_error(error, std::system_category(), "bind");
    }
}

void DatagramPeer::close() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

SocketAddress DatagramPeer::address() const {
    RawAddress address;
    address.length = sizeof address.storage;
    checked(::getsockname(fd_, address.get(), &address.length), "getsockname");
    return cooked(address);
}

void DatagramPeer::connect(const SocketAddress& to) {
    RawAddress address = raw(to);
    checked(::connect(fd_, address.get(), address.length), "connect");
}

int DatagramPeer::send_to(const SocketAddress& to, std::string_view data) {
    RawAddress address = raw(to);
    const ssize_t sent =
        ::sendto(fd_, data.data(), data.size(), MSG_NOSIGNAL, address.get(), address.length);
    return sent < 0 ? errno : 0;
}

int DatagramPeer::send(std::string_view data) {
    return ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL) < 0 ? errno : 0;
}

std::optional<std::string> DatagramPeer::receive() {
    SocketAddress sender;
    return receive(sender);
}

std::optional<std::string> DatagramPeer::receive(SocketAddress& sender) {
    std::string data(256UL * 1024, '\0');
    RawAddress from;
    from.length = sizeof from.storage;
    const ssize_t size = ::recvfrom(fd_, data.data(), data.size(), 0, from.get(), &from.length);
    if (size < 0) {
        if (errno == EAGAIN || errno == ECONNREFUSED) {
            return std::nullopt;
        }
        throw std::system_error(errno, std::system_category(), "recvfrom");
    }
    data.resize(static_cast<std::size_t>(size));
    sender = from.length == 0 ? SocketAddress() : cooked(from);
    return data;
}

void DatagramPeer::set_option(int level, int name, int value) {
    checked(::setsockopt(fd_, level, name, &value, sizeof value), "setsockopt");
}

std::pair<DatagramPeer, DatagramPeer> datagram_pair() {
    const auto [first, second] = make_socket_pair(SOCK_DGRAM, IoMode::nonblocking);
    return {DatagramPeer(first), DatagramPeer(second)};
}

// ---- the recorder ----

void RecordingDatagramProtocol::connection_made(DatagramTransport& transport) {
    recorder_->transport = &transport;
    recorder_->trace += 'M';
    call_if(recorder_->on_made);
}

void RecordingDatagramProtocol::datagram_received(Bytes data, const SocketAddress& sender) {
    recorder_->trace += 'D';
    recorder_->received.emplace_back(as_text(data));
    recorder_->senders.push_back(sender);
    if (recorder_->on_datagram) {
        recorder_->on_datagram(std::string(as_text(data)), sender);
    }
}

void RecordingDatagramProtocol::error_received(std::error_code error) {
    recorder_->trace += 'E';
    recorder_->errors.push_back(error);
    if (recorder_->on_error) {
        recorder_->on_error(error);
    }
}

void RecordingDatagramProtocol::pause_writing() {
    recorder_->trace += 'P';
    call_if(recorder_->on_pause);
}

void RecordingDatagramProtocol::resume_writing() {
    recorder_->trace += 'R';
    call_if(recorder_->on_resume);
}

void RecordingDatagramProtocol::connection_lost(std::error_code reason) {
    recorder_->trace += 'L';
    recorder_->lost = reason;
    call_if(recorder_->on_lost);
}

void BatchRecordingProtocol::datagrams_received(std::span<const Datagram> batch) {
    recorder_->batches.push_back(batch.size());
    for (const Datagram& datagram : batch) {
        recorder_->copies.push_back({.data = std::string(as_text(datagram.data)),
                                     .sender = datagram.sender,
                                     .truncated = datagram.truncated,
                                     .ecn = datagram.ecn,
                                     .ttl = datagram.ttl});
    }
    DatagramProtocol::datagrams_received(batch);
}

}  // namespace sluice::test
