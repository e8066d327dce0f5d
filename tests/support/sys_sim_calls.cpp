// The functions of detail/sys.hpp about sockets, time, threads and signals, simulated.
//
// Each is the system call and the faults that may hit it, no more; what connections do is in
// sys_sim_stream.cpp.
#include <sluice/callback.hpp>
#include <sluice/detail/sys.hpp>

#include "support/sys_sim_call.hpp"
#include "support/sys_sim_machine.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <utility>

namespace sluice::inline v0_1::detail::sys {

using test::disturb;
using test::InSimKernel;
using test::movable;
using test::SimCall;
using test::SimEndpoint;
using test::SimMachine;
using test::SimPending;
using test::SimRandom;
using test::SimSocket;
using Call = test::SimDescriptorCall;

namespace {

std::error_code system_error_of(int code) noexcept {
    return {code, std::system_category()};
}

}  // namespace

// ---- time and threads ----

TimePoint now() noexcept {
    SimMachine& machine = SimMachine::current();
    machine.time += std::chrono::nanoseconds(30);
    return machine.time;
}

bool call_in_forked_child(void (*)()) noexcept {
    return true;
}
bool has_threads() noexcept {
    return false;
}
bool start_thread(Callback&&) noexcept {
    return false;
}
unsigned processor_count() noexcept {
    return 1;
}
Result<std::FILE*> open_private_file(const std::string&) noexcept {
    return Result<std::FILE*>::failure(ENOENT);
}

// ---- TLS in the kernel: the simulated one has none ----

std::error_code use_kernel_tls(int, bool, Bytes) noexcept {
    return std::make_error_code(std::errc::no_such_file_or_directory);
}
IoResult send_record(int, std::uint8_t, Bytes) noexcept {
    return IoResult::failure(EOPNOTSUPP);
}
void close_kernel_tls(int fd) noexcept {
    close(fd);
}
IoResult receive_record(int, MutableBytes, std::uint8_t&) noexcept {
    return IoResult::failure(EOPNOTSUPP);
}

// ---- making sockets ----

Result<int> open_socket(Family family, SocketType type) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    int error = machine.enter(SimCall::open_socket);
    if (error == 0 && machine.fault(machine.random, machine.kernel.faults.open_shortage)) {
        constexpr int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
        error = machine.one_of(machine.random, errors);
    }
    if (error == 0 && machine.full()) {
        error = EMFILE;
    }
    if (error != 0) {
        machine.trace("open_socket() failed: %d", error);
        return Result<int>::failure(error);
    }
    auto socket = std::make_unique<SimSocket>();
    socket->family = family;
    socket->type = type;
    socket->random = SimRandom(machine.random.next());
    const int fd = machine.add(std::move(socket));
    machine.trace("open_socket() = %d", fd);
    return fd;
}

std::error_code set_option(int fd, SocketOption option, bool on) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::set_option, fd);
    if (call.error == 0 && option == SocketOption::reuse_port) {
        call.socket->reuse_port = on;
    }
    return system_error_of(call.error);
}

std::error_code set_nonblocking(int fd) noexcept {
    const InSimKernel inside;
    return system_error_of(Call(SimCall::set_nonblocking, fd).error);
}

std::error_code bind(int fd, const SocketAddress& address) noexcept {
    const InSimKernel inside;
    Call call(SimCall::bind, fd);
    if (call.error != 0) {
        return system_error_of(call.error);
    }
    if (!SimMachine::is_ours(address)) {
        return system_error_of(call.fail(EADDRNOTAVAIL));
    }
    const SocketAddress chosen = address.family() != Family::unix_domain && address.port() == 0
                                     ? address.with_port(call.machine.free_port())
                                     : address;
    const bool has_file = chosen.family() == Family::unix_domain && chosen.path().front() != '\0';
    const std::string file(chosen.path());
    if (has_file ? call.machine.socket_files.contains(file)
                 : call.machine.is_taken(chosen, *call.socket)) {
        return system_error_of(call.fail(EADDRINUSE));
    }
    if (has_file) {
        call.machine.make_socket_file(file);
    }
    call.socket->local = chosen;
    call.socket->random = SimRandom(SimRandom::mix(call.machine.luck_of(chosen) + 3));
    call.machine.trace("bind(%d, %s)", fd, chosen.to_string().c_str());
    return {};
}

std::error_code listen(int fd, int backlog) noexcept {
    const InSimKernel inside;
    Call call(SimCall::listen, fd);
    if (call.error != 0) {
        return system_error_of(call.error);
    }
    if (call.socket->kind != SimSocket::Kind::fresh &&
        call.socket->kind != SimSocket::Kind::listening) {
        return system_error_of(call.fail(EINVAL));
    }
    call.socket->kind = SimSocket::Kind::listening;
    call.socket->backlog = static_cast<std::size_t>(std::max(backlog, 0));
    call.machine.trace("listen(%d, %d)", fd, backlog);
    return {};
}

Result<int> connect(int fd, const SocketAddress& address) noexcept {
    const InSimKernel inside;
    Call call(SimCall::connect, fd);
    if (call.error != 0) {
        return Result<int>::failure(call.error);
    }
    SimMachine& machine = call.machine;
    SimSocket& socket = *call.socket;
    if (socket.type == SocketType::datagram) {
        const int refused = machine.connect_datagrams(socket, address);
        return refused == 0 ? Result<int>(fd) : Result<int>::failure(call.fail(refused));
    }
    const std::string name = address.to_string();
    const auto refused = machine.refused.find(name);
    const bool is_refused = refused != machine.refused.end();
    if (is_refused && refused->second.after == Duration::zero()) {
        return Result<int>::failure(call.fail(refused->second.error));
    }
    const bool is_unix = address.family() == Family::unix_domain;
    if (const int error = is_unix && !is_refused ? machine.refuses_unix(address) : 0) {
        machine.trace("connect(%d, %s) failed: %d", fd, name.c_str(), error);
        return Result<int>::failure(call.fail(error));
    }
    if (!socket.local) {
        socket.local =
            is_unix ? SocketAddress::unix_path("") : address.with_port(machine.free_port());
    }
    socket.remote = address;
    socket.kind = SimSocket::Kind::connecting;
    socket.connect_at = machine.time;
    // Nothing takes time on the way to a Unix socket.
    const bool slow = !is_unix && call.fault(machine.kernel.faults.slow_connect);
    if (slow) {
        socket.connect_at += machine.some_delay(socket.random);
    }
    // As long as Linux sends a SYN again: tcp_syn_retries of tcp(7).
    socket.connect_until = machine.time + std::chrono::seconds(127);
    bool queue_full = false;
    if (is_refused) {
        socket.connect_at = machine.time + refused->second.after;
        socket.connect_error = refused->second.error;
    } else if (machine.black_holes.contains(name)) {
        socket.connect_at = socket.connect_until;
        socket.connect_error = ETIMEDOUT;
    } else {
        socket.endpoint = machine.establish(socket.local, address, socket.connect_at, queue_full);
        if (queue_full) {
            socket.connect_at = machine.time + std::chrono::seconds(1);
        } else if (socket.endpoint == nullptr) {
            socket.connect_error = ECONNREFUSED;
        }
    }
    machine.expect(socket.connect_at);
    const bool interrupted = call.fault(machine.kernel.faults.interrupt);
    if (!slow && !interrupted) {
        machine.settle_connect(socket);
    }
    machine.trace("connect(%d, %s) %s", fd, name.c_str(),
                  socket.kind == SimSocket::Kind::connecting ? "in progress" : "at once");
    if (socket.kind == SimSocket::Kind::connecting) {
        return Result<int>::would_block();
    }
    const int failed = socket.endpoint->take_error();
    return failed == 0 ? Result<int>(fd) : Result<int>::failure(failed);
}

Result<int> accept(int fd, SocketAddress& peer) noexcept {
    const InSimKernel inside;
    Call call(SimCall::accept, fd);
    if (call.error != 0) {
        return Result<int>::failure(call.error);
    }
    SimMachine& machine = call.machine;
    SimSocket& listener = *call.socket;
    if (listener.kind != SimSocket::Kind::listening) {
        return Result<int>::failure(call.fail(EINVAL));
    }
    if (listener.pending.empty() || listener.pending.front().visible_at > machine.time ||
        call.fault(machine.kernel.faults.spurious_block)) {
        return Result<int>::would_block();
    }
    int error = 0;
    if (machine.full()) {
        error = EMFILE;
    } else if (call.fault(machine.kernel.faults.accept_shortage)) {
        constexpr int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
        error = machine.one_of(listener.random, errors);
    } else if (call.fault(machine.kernel.faults.accept_aborted)) {
        constexpr int errors[] = {ECONNABORTED, EPROTO};
        error = machine.one_of(listener.random, errors);
        listener.pending.front().endpoint->reset();
        listener.pending.pop_front();
    }
    if (error != 0) {
        machine.trace("accept(%d) failed: %d", fd, error);
        return Result<int>::failure(call.fail(error));
    }
    SimEndpoint* endpoint = listener.pending.front().endpoint;
    listener.pending.pop_front();
    auto socket = std::make_unique<SimSocket>();
    socket->kind = SimSocket::Kind::stream;
    socket->family = listener.family;
    socket->random = SimRandom(endpoint->random.next());
    socket->endpoint = endpoint;
    socket->local = endpoint->local;
    socket->remote = endpoint->remote;
    peer = endpoint->remote;
    const int accepted = machine.add(std::move(socket));
    machine.trace("accept(%d) = %d from %s", fd, accepted, peer.to_string().c_str());
    return accepted;
}

// ---- asking ----

std::error_code take_error(int fd) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::take_error, fd);
    if (call.error != 0 || call.socket->endpoint == nullptr ||
        call.socket->kind != SimSocket::Kind::stream) {
        return system_error_of(call.error);
    }
    return system_error_of(call.socket->endpoint->take_error());
}

Result<SocketType> socket_type(int fd) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::socket_type, fd);
    return call.error == 0 ? Result<SocketType>(call.socket->type)
                           : Result<SocketType>::failure(call.error);
}

Result<bool> is_listening(int fd) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::is_listening, fd);
    return call.error == 0 ? Result<bool>(call.socket->kind == SimSocket::Kind::listening)
                           : Result<bool>::failure(call.error);
}

SocketAddress local_address(int fd) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::local_address, fd);
    return call.error == 0 ? call.socket->local : SocketAddress{};
}

SocketAddress peer_address(int fd) noexcept {
    const InSimKernel inside;
    const Call call(SimCall::peer_address, fd);
    if (call.error == 0 && call.socket->type == SocketType::datagram) {
        return call.socket->remote;
    }
    const bool connected = call.error == 0 && call.socket->kind == SimSocket::Kind::stream &&
                           !call.socket->endpoint->is_reset;
    return connected ? call.socket->remote : SocketAddress{};
}

// ---- moving bytes ----

namespace {

IoResult move_out(SimCall which, int fd, std::span<const Bytes> pieces) {
    const InSimKernel inside;
    Call call(which, fd);
    if (const int error = movable(call)) {
        return error == EAGAIN ? IoResult::would_block() : IoResult::failure(error);
    }
    constexpr int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENOBUFS};
    if (const std::optional<IoResult> disturbed = disturb(call, errors)) {
        call.socket->endpoint->refused_bytes = true;
        call.machine.trace("%s(%d) disturbed: %s", to_string(which), fd,
                           disturbed->blocked() ? "would block" : "error");
        return *disturbed;
    }
    std::size_t offered = 0;
    for (const Bytes piece : pieces) {
        offered += piece.size();
    }
    SimEndpoint& endpoint = *call.socket->endpoint;
    std::size_t most = offered;
    if (most > 1 && call.machine.fault(endpoint.random, call.machine.kernel.faults.short_write)) {
        most = endpoint.random.between(1, most - 1);
    }
    const IoResult sent = endpoint.transmit(pieces, most);
    endpoint.refused_bytes = sent.blocked() || (sent.ok() && sent.value() < offered);
    call.machine.trace("%s(%d, %zu bytes in %zu pieces) = %s %zu", to_string(which), fd, offered,
                       pieces.size(),
                       sent.ok()        ? ""
                       : sent.blocked() ? "would block"
                                        : "error",
                       sent.ok() ? sent.value() : 0);
    return sent;
}

}  // namespace

IoResult recv(int fd, MutableBytes into) noexcept {
    const InSimKernel inside;
    Call call(SimCall::recv, fd);
    if (const int error = movable(call)) {
        return error == EAGAIN ? IoResult::would_block() : IoResult::failure(error);
    }
    if (into.empty()) {
        call.machine.violation("recv of no bytes, whose answer looks like the end");
    }
    constexpr int errors[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOMEM};
    if (const std::optional<IoResult> disturbed = disturb(call, errors)) {
        call.machine.trace("recv(%d) disturbed: %s", fd,
                           disturbed->blocked() ? "would block" : "error");
        return *disturbed;
    }
    SimEndpoint& endpoint = *call.socket->endpoint;
    std::size_t most = std::min(into.size(), endpoint.incoming_bytes);
    if (most > 1 && call.machine.fault(endpoint.random, call.machine.kernel.faults.short_read)) {
        most = endpoint.random.between(1, most - 1);
        ++endpoint.cut_short;
    }
    const IoResult received = endpoint.receive(into.first(most));
    call.machine.trace("recv(%d, %zu) = %s %zu", fd, into.size(),
                       received.ok()        ? ""
                       : received.blocked() ? "would block"
                                            : "error",
                       received.ok() ? received.value() : 0);
    return received;
}

IoResult send(int fd, Bytes from) noexcept {
    return move_out(SimCall::send, fd, {&from, 1});
}

IoResult send_gathered(int fd, std::span<const Bytes> pieces, bool) noexcept {
    return move_out(SimCall::send_gathered, fd, pieces);
}

// ---- ending ----

std::error_code shutdown_write(int fd) noexcept {
    const InSimKernel inside;
    Call call(SimCall::shutdown_write, fd);
    const bool stream = call.socket != nullptr && call.socket->kind == SimSocket::Kind::stream;
    if (call.error != 0) {
        if (stream) {
            // It fails for one reason only: the connection is gone (shutdown(2), ENOTCONN).
            call.socket->endpoint->break_connection(ECONNRESET, {});
        }
        return system_error_of(call.error);
    }
    const int error = stream ? call.socket->endpoint->finish() : ENOTCONN;
    call.machine.trace("shutdown_write(%d) = %d", fd, error);
    return system_error_of(error);
}

void close(int fd) noexcept {
    const InSimKernel inside;
    SimMachine& machine = SimMachine::current();
    machine.tick();
    SimSocket* socket = machine.find(fd, "close");
    if (socket == nullptr) {
        return;
    }
    machine.settle_connect(*socket);
    if (socket->watched_by != -1) {
        // Harmless for the poller's own wake-up, which goes together with its epoll. For others the
        // number would be given again while events of the old owner may be on their way.
        if (socket->kind != SimSocket::Kind::wake) {
            machine.violation("close of descriptor " + std::to_string(fd) + ", which is watched");
        }
        machine.find(socket->watched_by, "close")->watched.erase(fd);
    }
    for (const auto& [watched, registration] : socket->watched) {
        machine.find(watched, "close of epoll")->watched_by = -1;
    }
    machine.trace("close(%d)", fd);
    std::unique_ptr<SimSocket> closed =
        std::move(machine.descriptors[static_cast<std::size_t>(fd - 3)]);
    for (test::SimHolder* const holder : machine.holders) {
        holder->keep(fd, closed);
    }
    if (closed != nullptr) {
        SimMachine::let_go(*closed);
    }
}

// ---- signals ----

std::error_code set_signal_handler(int, void (*)(int)) noexcept {
    const InSimKernel inside;
    return system_error_of(SimMachine::current().enter(SimCall::set_signal_handler));
}

bool is_main_thread() noexcept {
    return true;
}

}  // namespace sluice::inline v0_1::detail::sys
