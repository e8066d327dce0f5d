// What simulated connections do: bytes on their way, FIN and RST, who listens where.
//
// Follows what Linux does over loopback (tcp(7), and tcp_poll, tcp_reset, tcp_close of the kernel),
// because the library must work with that and not with an ideal. Nothing here fails by chance
// except through SimMachine::fault; nothing here knows the library.
#include "support/sys_sim_machine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>

namespace sluice::test {

// ---- endpoints ----

void SimEndpoint::settle() {
    if (!reset_at || machine->time < *reset_at || is_reset) {
        return;
    }
    // tcp_reset(): an end that has seen the other's FIN says EPIPE, any other ECONNRESET.
    error = reset_error != 0 ? reset_error : (end_visible() ? EPIPE : ECONNRESET);
    is_reset = true;
    // What has arrived can still be read, what is on its way never will.
    if (!end_visible()) {
        end_at.reset();
    }
    while (!incoming.empty() && incoming.back().visible_at > machine->time) {
        incoming_bytes -= incoming.back().bytes.size();
        incoming.pop_back();
    }
    if (incoming.empty()) {
        front_used = 0;
        incoming_bytes = 0;
    }
}

std::size_t SimEndpoint::visible_bytes() const {
    std::size_t bytes = 0;
    for (const SimChunk& chunk : incoming) {
        if (chunk.visible_at > machine->time) {
            break;
        }
        bytes += chunk.bytes.size();
    }
    return bytes == 0 ? 0 : bytes - front_used;
}

bool SimEndpoint::end_visible() const {
    return end_at && *end_at <= machine->time;
}

bool SimEndpoint::established() const {
    return established_at <= machine->time;
}

std::size_t SimEndpoint::room_at_peer() const {
    return peer->capacity - std::min(peer->capacity, peer->incoming_bytes);
}

/// tcp_poll().
std::uint32_t SimEndpoint::poll() {
    settle();
    const bool no_more_in = is_reset || end_visible();
    const bool no_more_out = is_reset || finished;
    std::uint32_t events = 0;
    if (no_more_in && no_more_out) {
        events |= EPOLLHUP;
    }
    if (no_more_in) {
        events |= EPOLLIN | EPOLLRDHUP;
    }
    if (!incoming.empty() && visible_bytes() > 0) {
        events |= EPOLLIN;
    }
    // sk_stream_is_writeable(): not before a third of the buffer is free.
    if (no_more_out || (room_at_peer() > 0 && room_at_peer() >= peer->incoming_bytes / 2)) {
        events |= EPOLLOUT;
    }
    if (error != 0) {
        events |= EPOLLERR;
    }
    return events;
}

std::size_t SimEndpoint::take(MutableBytes into) {
    std::size_t count_taken = 0;
    while (count_taken < into.size() && !incoming.empty() &&
           incoming.front().visible_at <= machine->time) {
        SimChunk& chunk = incoming.front();
        const std::size_t count =
            std::min(into.size() - count_taken, chunk.bytes.size() - front_used);
        std::memcpy(into.data() + count_taken, chunk.bytes.data() + front_used, count);
        count_taken += count;
        front_used += count;
        if (front_used == chunk.bytes.size()) {
            incoming.pop_front();
            front_used = 0;
        }
    }
    incoming_bytes -= count_taken;
    taken += count_taken;
    return count_taken;
}

IoResult SimEndpoint::receive(MutableBytes into) {
    settle();
    if (const std::size_t count = take(into)) {
        return count;
    }
    // tcp_recvmsg(): a FIN comes before a pending error, an error before the end it caused.
    if (end_visible()) {
        return 0U;
    }
    if (error != 0) {
        return IoResult::failure(take_error());
    }
    return is_reset ? IoResult(0U) : IoResult::would_block();
}

IoResult SimEndpoint::transmit(std::span<const Bytes> pieces, std::size_t most) {
    settle();
    if (error != 0) {
        return IoResult::failure(take_error());
    }
    if (is_reset || finished) {
        errors_given.insert(EPIPE);
        return IoResult::failure(EPIPE);
    }
    std::size_t total = 0;
    for (const Bytes piece : pieces) {
        total += piece.size();
    }
    if (!peer->open) {
        // The bytes are taken, and answered by an RST.
        if (!reset_at) {
            reset_at = machine->time + machine->some_delay(random);
            machine->expect(*reset_at);
        }
        sent += total;
        return total;
    }
    total = std::min({total, most, room_at_peer()});
    if (total == 0) {
        return IoResult::would_block();
    }
    SimChunk chunk{.visible_at = machine->time, .bytes = {}};
    if (machine->fault(random, machine->kernel.faults.delay)) {
        chunk.visible_at += machine->some_delay(random);
    }
    chunk.visible_at = std::max(chunk.visible_at, peer->last_visible);
    peer->last_visible = chunk.visible_at;
    machine->expect(chunk.visible_at);
    chunk.bytes.reserve(total);
    for (const Bytes piece : pieces) {
        const std::size_t count = std::min(piece.size(), total - chunk.bytes.size());
        chunk.bytes.insert(chunk.bytes.end(), piece.begin(),
                           piece.begin() + static_cast<std::ptrdiff_t>(count));
    }
    peer->incoming_bytes += total;
    peer->incoming.push_back(std::move(chunk));
    sent += total;
    return total;
}

/// shutdown(SHUT_WR); returns an errno or 0.
int SimEndpoint::finish() {
    settle();
    if (is_reset || !established()) {
        errors_given.insert(ENOTCONN);
        return ENOTCONN;
    }
    if (!finished) {
        finished = true;
        peer->end_at = std::max(peer->last_visible, machine->time);
        if (machine->fault(random, machine->kernel.faults.delay)) {
            *peer->end_at += machine->some_delay(random);
        }
        machine->expect(*peer->end_at);
    }
    return 0;
}

void SimEndpoint::close() {
    settle();
    if (!open) {
        return;
    }
    if (!is_reset) {
        if (visible_bytes() > 0) {
            // tcp_close(): bytes nobody has read make it a reset (RFC 2525, 2.17).
            peer->reset_at = peer->reset_at.value_or(machine->time);
        } else {
            static_cast<void>(finish());
            if (incoming_bytes > 0 && !peer->reset_at) {
                peer->reset_at = last_visible;
            }
        }
        if (peer->reset_at) {
            machine->expect(*peer->reset_at);
        }
    }
    open = false;
    incoming.clear();
    incoming_bytes = front_used = 0;
}

void SimEndpoint::reset() {
    settle();
    if (!open) {
        return;
    }
    if (!is_reset) {
        peer->reset_at = machine->time;
    }
    open = false;
    incoming.clear();
    incoming_bytes = front_used = 0;
}

void SimEndpoint::break_connection(int code, Duration after) {
    for (SimEndpoint* end : {this, peer}) {
        if (!end->reset_at) {
            end->reset_at = machine->time + after;
            end->reset_error = end == this ? code : 0;
            machine->expect(*end->reset_at);
        }
    }
}

int SimEndpoint::take_error() {
    settle();
    const int code = std::exchange(error, 0);
    if (code != 0) {
        errors_given.insert(code);
    }
    return code;
}

// ---- peers ----

std::size_t SimPeer::send(Bytes bytes) {
    const InSimKernel inside;
    endpoint_->settle();
    if (!endpoint_->open || !endpoint_->established() || endpoint_->finished) {
        return 0;
    }
    const IoResult sent = endpoint_->transmit({&bytes, 1}, bytes.size());
    return sent.ok() ? sent.value() : 0;
}

std::vector<std::byte> SimPeer::receive(std::size_t most) {
    const InSimKernel inside;
    std::vector<std::byte> bytes(std::min(most, endpoint_->incoming_bytes));
    endpoint_->settle();
    bytes.resize(endpoint_->take(bytes));
    return bytes;
}

bool SimPeer::at_end() const {
    endpoint_->settle();
    return endpoint_->end_visible() && endpoint_->visible_bytes() == 0;
}
bool SimPeer::broken() const {
    endpoint_->settle();
    return endpoint_->is_reset;
}
bool SimPeer::connected() const {
    return endpoint_->established();
}
bool SimPeer::open() const {
    return endpoint_->open;
}

void SimPeer::finish() {
    const InSimKernel inside;
    static_cast<void>(endpoint_->finish());
}
void SimPeer::close() {
    const InSimKernel inside;
    endpoint_->close();
}
void SimPeer::reset() {
    const InSimKernel inside;
    endpoint_->reset();
}

void SimPeer::on_readable(std::function<void(SimPeer)> reader) {
    const InSimKernel inside;
    if (!endpoint_->reader && reader) {
        endpoint_->machine->with_reader.push_back(endpoint_);
    }
    if (endpoint_->reader && !reader) {
        std::erase(endpoint_->machine->with_reader, endpoint_);
    }
    endpoint_->reader = std::move(reader);
    endpoint_->reader_saw_bytes = 0;
    endpoint_->reader_saw_end = false;
}

SocketAddress SimPeer::address() const {
    return endpoint_->local;
}
SocketAddress SimPeer::remote_address() const {
    return endpoint_->remote;
}

// ---- the network ----

namespace {

bool is_wildcard(const SocketAddress& address) {
    return std::ranges::all_of(address.ip_bytes(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

bool SimMachine::is_ours(const SocketAddress& address) {
    if (address.family() == Family::unix_domain || is_wildcard(address)) {
        return true;
    }
    return address.family() == Family::ipv4 ? address.ip_bytes()[0] == 127
                                            : address.host() == "::1";
}

std::uint64_t SimMachine::luck_of(const SocketAddress& address) const {
    std::uint64_t luck = seed;
    for (const std::uint8_t byte : address.ip_bytes()) {
        luck = SimRandom::mix(luck + byte);
    }
    return luck;
}

SimSocket* SimMachine::find_listener(const SocketAddress& to) {
    for (const auto& socket : descriptors) {
        if (socket == nullptr || socket->kind != SimSocket::Kind::listening ||
            socket->family != to.family() || socket->local.port() != to.port()) {
            continue;
        }
        if (socket->local == to ||
            (to.family() != Family::unix_domain && is_wildcard(socket->local) && is_ours(to))) {
            return socket.get();
        }
    }
    return nullptr;
}

bool SimMachine::is_taken(const SocketAddress& address, const SimSocket& except) const {
    return std::ranges::any_of(descriptors, [&](const auto& socket) {
        return socket != nullptr && socket.get() != &except && socket->local == address &&
               socket->kind != SimSocket::Kind::stream &&
               !(socket->reuse_port && except.reuse_port);
    });
}

int SimMachine::refuses_unix(const SocketAddress& to) {
    const SimSocket* const listener = find_listener(to);
    if (listener != nullptr) {
        return listener->pending.size() > listener->backlog ? EAGAIN : 0;
    }
    if (peer_listeners.contains(to.to_string())) {
        return 0;
    }
    const bool has_file = socket_files.contains(std::string(to.path()));
    return has_file || to.path().front() == '\0' ? ECONNREFUSED : ENOENT;
}

std::uint16_t SimMachine::free_port() {
    return next_port++;
}

SimEndpoint* SimMachine::establish(const SocketAddress& from, const SocketAddress& to, TimePoint at,
                                   bool& queue_full) {
    queue_full = false;
    SimSocket* listener = find_listener(to);
    const auto peer_listener = peer_listeners.find(to.to_string());
    if (listener == nullptr && peer_listener == peer_listeners.end()) {
        return nullptr;
    }
    if (listener != nullptr && listener->pending.size() > listener->backlog) {
        queue_full = true;
        return nullptr;
    }
    // Chance is taken from the addresses, so that one connection's luck does not hang on another's.
    const std::uint64_t luck = luck_of(from) + to.port();
    std::array<SimEndpoint*, 2> ends{};
    for (std::size_t index = 0; index < ends.size(); ++index) {
        SimEndpoint& end = endpoints.emplace_back();
        end.machine = this;
        end.random = SimRandom(SimRandom::mix(luck * 2 + index));
        end.local = index == 0 ? from : to;
        end.remote = index == 0 ? to : from;
        end.capacity = end.random.between(capacity_least, capacity_most);
        end.established_at = end.last_visible = at;
        ends[index] = &end;
    }
    ends[0]->peer = ends[1];
    ends[1]->peer = ends[0];
    expect(at);
    if (listener != nullptr) {
        listener->pending.push_back({at, ends[1]});
    } else {
        SimEndpoint* accepted = ends[1];
        actions.push({at, next_sequence++, [accepted, on_accepted = peer_listener->second] {
                          on_accepted(SimPeer(accepted));
                      }});
    }
    return ends[0];
}

/// Brings a connect in progress up to date: the socket becomes a stream, connected or failed.
void SimMachine::settle_connect(SimSocket& socket) {
    if (socket.kind != SimSocket::Kind::connecting || time < socket.connect_at) {
        return;
    }
    if (socket.endpoint == nullptr && socket.connect_error == 0) {
        // The listener's queue was full: the SYN is sent again.
        bool queue_full = false;
        socket.endpoint = establish(socket.local, socket.remote, time, queue_full);
        if (socket.endpoint == nullptr) {
            if (queue_full && time < socket.connect_until) {
                socket.connect_at = time + std::chrono::seconds(1);
                expect(socket.connect_at);
                return;
            }
            socket.connect_error = queue_full ? ETIMEDOUT : ECONNREFUSED;
        }
    }
    if (socket.endpoint == nullptr) {
        SimEndpoint& failed = endpoints.emplace_back();
        failed.machine = this;
        failed.local = socket.local;
        failed.remote = socket.remote;
        failed.is_reset = true;
        failed.error = socket.connect_error;
        socket.endpoint = &failed;
    }
    socket.kind = SimSocket::Kind::stream;
}

std::uint32_t SimMachine::poll(SimSocket& socket) {
    settle_connect(socket);
    if (socket.type == detail::sys::SocketType::datagram) {
        return poll_datagrams(socket);
    }
    switch (socket.kind) {
        case SimSocket::Kind::fresh:
            return EPOLLOUT | EPOLLHUP;
        case SimSocket::Kind::listening:
            return !socket.pending.empty() && socket.pending.front().visible_at <= time
                       ? std::uint32_t{EPOLLIN}
                       : 0U;
        case SimSocket::Kind::stream:
            return socket.endpoint->poll();
        case SimSocket::Kind::wake:
            return socket.counter > 0 ? EPOLLIN | EPOLLOUT : std::uint32_t{EPOLLOUT};
        case SimSocket::Kind::connecting:
        case SimSocket::Kind::epoll:
        case SimSocket::Kind::file:
        case SimSocket::Kind::ring:
            break;
    }
    return 0;
}

}  // namespace sluice::test
