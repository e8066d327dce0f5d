// Datagram sockets of the simulated system: detail/sys_datagram.hpp over loopback addresses and
// Unix names, with the faults of SimFaults and what SimKernel is told.
//
// As over a real loopback a datagram is there at once, or after a delay, which keeps the order; one
// for a full UDP socket is lost, one for a full Unix socket makes the sender wait.
#include <sluice/detail/sys_datagram.hpp>

#include "support/sys_sim_call.hpp"

#include <algorithm>
#include <cstring>

#include <sys/epoll.h>

namespace sluice::test {

namespace {

constexpr std::size_t largest_udp_payload = 65507;

SimSocket* find_datagram_socket(const SimMachine& machine, const SocketAddress& to) {
    for (const auto& socket : machine.descriptors) {
        if (socket != nullptr && socket->type == detail::sys::SocketType::datagram &&
            socket->local == to) {
            return socket.get();
        }
    }
    return nullptr;
}

}  // namespace

void SimKernel::block_datagrams(int fd, bool on) {
    if (SimSocket* const socket = machine_->find(fd, "block_datagrams")) {
        socket->datagrams_blocked = on;
    }
}

void SimKernel::set_datagram_room(std::size_t datagrams) noexcept {
    machine_->datagram_room = datagrams;
}

std::uint32_t SimMachine::poll_datagrams(const SimSocket& socket) const {
    std::uint32_t events = socket.datagrams_blocked ? 0U : std::uint32_t{EPOLLOUT};
    if (!socket.datagrams.empty() && socket.datagrams.front().visible_at <= time) {
        events |= EPOLLIN;
    }
    if (socket.datagram_error != 0) {
        events |= EPOLLIN | EPOLLERR;
    }
    return events;
}

/// connect(2) of a datagram socket, which only remembers.
int SimMachine::connect_datagrams(SimSocket& socket, const SocketAddress& address) {
    if (address.family() == Family::unix_domain &&
        find_datagram_socket(*this, address) == nullptr) {
        return ECONNREFUSED;
    }
    if (!socket.local && address.family() != Family::unix_domain) {
        socket.local = address.with_port(free_port());
    }
    socket.remote = address;
    return 0;
}

/// One datagram on its way; an errno, EAGAIN for "not yet".
int SimMachine::send_datagram(SimSocket& from, const SocketAddress& to, Bytes bytes) {
    if (from.family != Family::unix_domain && bytes.size() > largest_udp_payload) {
        return EMSGSIZE;
    }
    if (!from.local && from.family != Family::unix_domain) {
        from.local = to.with_port(free_port());
    }
    SimSocket* const receiver = find_datagram_socket(*this, to);
    if (receiver == nullptr || (receiver->remote && !(receiver->remote == from.local))) {
        if (from.family == Family::unix_domain) {
            return receiver == nullptr ? ECONNREFUSED : EPERM;
        }
        // The answer of ICMP, which only a connected socket hears (udp(7)).
        from.datagram_error = from.remote ? ECONNREFUSED : 0;
        return 0;
    }
    if (receiver->datagrams.size() >= datagram_room) {
        return from.family == Family::unix_domain ? EAGAIN : 0;
    }
    SimDatagram datagram{
        .from = from.local, .bytes = {bytes.begin(), bytes.end()}, .visible_at = time};
    if (fault(from.random, kernel.faults.delay)) {
        datagram.visible_at += some_delay(from.random);
    }
    if (!receiver->datagrams.empty()) {
        datagram.visible_at = std::max(datagram.visible_at, receiver->datagrams.back().visible_at);
    }
    expect(datagram.visible_at);
    receiver->datagrams.push_back(std::move(datagram));
    return 0;
}

}  // namespace sluice::test

namespace sluice::inline v0_1::detail::sys {

using test::InSimKernel;
using test::SimCall;
using test::SimDatagram;
using test::SimMachine;
using Call = test::SimDescriptorCall;

class DatagramHeaders {};

void DatagramHeadersDelete::operator()(DatagramHeaders* headers) const noexcept {
    delete headers;
}

DatagramHeadersPtr make_datagram_headers() {
    return DatagramHeadersPtr(new DatagramHeaders);
}

IoResult receive_datagrams(int fd, DatagramHeaders&, const DatagramSlots& slots,
                           std::span<Datagram> datagrams,
                           std::span<std::size_t> segment_bytes) noexcept {
    const InSimKernel inside;
    Call call(SimCall::receive_datagrams, fd);
    if (call.error != 0) {
        return call.error == EAGAIN ? IoResult::would_block() : IoResult::failure(call.error);
    }
    if (const int error = std::exchange(call.socket->datagram_error, 0)) {
        return IoResult::failure(call.fail(error));
    }
    if (call.fault(call.machine.kernel.faults.spurious_block)) {
        return IoResult::would_block();
    }
    auto& waiting = call.socket->datagrams;
    std::size_t count = 0;
    while (count < datagrams.size() && !waiting.empty() &&
           waiting.front().visible_at <= call.machine.time) {
        const SimDatagram& next = waiting.front();
        const std::size_t size = std::min(next.bytes.size(), slots.slot_bytes);
        std::byte* const slot = slots.memory + count * slots.stride;
        std::copy_n(next.bytes.begin(), size, slot);
        datagrams[count].data = {slot, size};
        datagrams[count].truncated = size < next.bytes.size();
        datagrams[count].sender = next.from;
        segment_bytes[count] = 0;
        waiting.pop_front();
        ++count;
    }
    call.machine.trace("receive_datagrams(%d, %zu) = %zu", fd, datagrams.size(), count);
    return count > 0 ? IoResult(count) : IoResult::would_block();
}

IoResult send_datagrams(int fd, DatagramHeaders&,
                        std::span<const OutgoingDatagram> datagrams) noexcept {
    const InSimKernel inside;
    Call call(SimCall::send_datagrams, fd);
    if (call.error != 0) {
        return call.error == EAGAIN ? IoResult::would_block() : IoResult::failure(call.error);
    }
    if (call.socket->datagrams_blocked || call.fault(call.machine.kernel.faults.spurious_block)) {
        return IoResult::would_block();
    }
    std::size_t count = 0;
    int error = std::exchange(call.socket->datagram_error, 0);
    for (; count < datagrams.size() && error == 0; ++count) {
        const OutgoingDatagram& datagram = datagrams[count];
        const SocketAddress to = datagram.to != nullptr ? *datagram.to : call.socket->remote;
        const std::size_t part =
            datagram.segment_bytes != 0 ? datagram.segment_bytes : datagram.data.size();
        Bytes rest = datagram.data;
        do {
            const Bytes one = rest.first(std::min(part, rest.size()));
            error = call.machine.send_datagram(*call.socket, to, one);
            rest = rest.subspan(one.size());
        } while (!rest.empty() && error == 0);
        if (error != 0) {
            break;
        }
    }
    call.machine.trace("send_datagrams(%d, %zu) = %zu, error %d", fd, datagrams.size(), count,
                       error);
    if (count > 0) {
        return count;
    }
    return error == EAGAIN ? IoResult::would_block() : IoResult::failure(call.fail(error));
}

IoResult send_datagram(int fd, const OutgoingDatagram& datagram) noexcept {
    DatagramHeaders headers;
    return send_datagrams(fd, headers, {&datagram, 1});
}

std::error_code set_datagram_option(int fd, Family, DatagramOption option, int) noexcept {
    const InSimKernel inside;
    Call call(SimCall::set_datagram_option, fd);
    const int error = call.error == 0 && option == DatagramOption::gro ? ENOPROTOOPT : call.error;
    return {error, std::system_category()};
}

bool has_segmentation(int) noexcept {
    return SimMachine::current().kernel.datagram_segmentation;
}

std::error_code change_membership(int fd, bool, const SocketAddress&, unsigned) noexcept {
    const InSimKernel inside;
    return {Call(SimCall::change_membership, fd).error, std::system_category()};
}

std::error_code remove_socket_file(const std::string&) noexcept {
    return {};
}

}  // namespace sluice::inline v0_1::detail::sys
