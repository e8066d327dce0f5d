// Peer and Listener: plain POSIX sockets. See peer.hpp; this file must not include the library's
// transports.
#include "support/peer.hpp"

#include "support/checked.hpp"
#include "support/patience.hpp"
#include "support/peer_tls.hpp"
#include "support/raw_descriptors.hpp"
#include "support/system.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

std::uint16_t port_of(int fd) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    return ntohs(address.sin_port);
}

int stream_socket(Wire wire = Wire::tcp) {
    const int family = wire == Wire::unix_socket ? AF_UNIX : AF_INET;
    return make_socket(family, SOCK_STREAM);
}

// The name of a socket; a path only as far as it is abstract.
std::string path_of(int fd) {
    sockaddr_un address{};
    socklen_t length = sizeof address;
    checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), "getsockname");
    return {address.sun_path, length - offsetof(sockaddr_un, sun_path)};
}

// Binding to a family alone lets Linux choose an abstract name (unix(7), "Autobind").
void bind_to_free_name(int fd) {
    const sa_family_t family = AF_UNIX;
    checked(::bind(fd, reinterpret_cast<const sockaddr*>(&family), sizeof family), "bind");
}

// True when `events` (or a hang-up) came within the patience.
bool poll_for(int fd, short events) {
    pollfd entry{fd, events, 0};
    int count = 0;
    do {
        count = ::poll(&entry, 1, patience_ms());
    } while (count < 0 && errno == EINTR);
    return checked(count, "poll") == 1;
}

}  // namespace

Peer::Peer() noexcept = default;

Peer::~Peer() {
    close();
}

Peer::Peer(int fd) : fd_(fd) {
    const int flags = checked(::fcntl(fd, F_GETFL), "fcntl");
    checked(::fcntl(fd, F_SETFL, flags | O_NONBLOCK), "fcntl");
}

Peer::Peer(Peer&& other) noexcept
    : fd_(other.release()),
      received_(std::move(other.received_)),
      saw_end_(other.saw_end_),
      wire_ended_(other.wire_ended_),
      truncated_(other.truncated_),
      error_(other.error_),
      tls_(std::move(other.tls_)),
      pending_(std::move(other.pending_)),
      early_(std::move(other.early_)),
      early_end_(other.early_end_) {}

Peer& Peer::operator=(Peer&& other) noexcept {
    if (this != &other) {
        close();
        fd_ = other.release();
        received_ = std::move(other.received_);
        saw_end_ = other.saw_end_;
        wire_ended_ = other.wire_ended_;
        truncated_ = other.truncated_;
        error_ = other.error_;
        tls_ = std::move(other.tls_);
        pending_ = std::move(other.pending_);
        early_ = std::move(other.early_);
        early_end_ = other.early_end_;
    }
    return *this;
}

Peer Peer::connect(std::uint16_t port, SocketBuffers buffers) {
    const int fd = stream_socket();
    Peer peer(fd);
    set_buffers(fd, buffers);
    const sockaddr_in address = loopback(port);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0 &&
        errno != EINPROGRESS) {
        throw std::system_error(errno, std::system_category(), "connect");
    }
    if (!poll_for(fd, POLLOUT)) {
        throw std::runtime_error("Peer::connect: no answer from 127.0.0.1");
    }
    if (const int error = socket_option(fd, SOL_SOCKET, SO_ERROR)) {
        throw std::system_error(error, std::system_category(), "connect");
    }
    return peer;
}

Peer Peer::connect_unix(const std::string& path, SocketBuffers buffers) {
    Peer peer(stream_socket(Wire::unix_socket));
    set_buffers(peer.fd(), buffers);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    checked(::connect(peer.fd(), reinterpret_cast<const sockaddr*>(&address), length), "connect");
    return peer;
}

void Peer::speak_tls(std::unique_ptr<PeerTls> tls) {
    tls_ = std::move(tls);
    send_some({});
}

/// False while the kernel refuses some of it.
bool Peer::send_pending() {
    send_early();
    pending_ += tls_->take_output();
    if (error_ == 0 && fd_ >= 0) {
        try {
            pending_.erase(0, send_plain(pending_));
        } catch (const std::system_error& gone) {
            error_ = gone.code().value();
        }
    }
    if (error_ != 0 || fd_ < 0) {
        // Nobody is left to send it to.
        pending_.clear();
    }
    return pending_.empty();
}

void Peer::send_early() {
    if (!early_.empty() && tls_->write(early_)) {
        early_.clear();
    }
    if (early_end_ && early_.empty() && tls_->handshaken()) {
        early_end_ = false;
        tls_->shut_down();
    }
}

std::size_t Peer::send_some(std::string_view bytes) {
    if (tls_ == nullptr) {
        return send_plain(bytes);
    }
    constexpr std::size_t piece_bytes = 16 * 1024;
    std::size_t sent = 0;
    do {
        const std::string_view piece = bytes.substr(sent, piece_bytes);
        if (!send_pending() || !tls_->write(piece)) {
            break;
        }
        sent += piece.size();
    } while (sent < bytes.size());
    send_pending();
    return sent;
}

void Peer::send_raw(std::string_view bytes) {
    if (send_plain(bytes) != bytes.size()) {
        throw std::logic_error("Peer::send_raw: the kernel did not take all bytes at once");
    }
}

std::size_t Peer::send_plain(std::string_view bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t count = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            break;
        }
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            throw std::system_error(errno, std::system_category(), "Peer::send");
        }
        sent += static_cast<std::size_t>(count);
    }
    return sent;
}

void Peer::send(std::string_view bytes) {
    if (tls_ != nullptr && saw_end_) {
        return;
    }
    if (tls_ != nullptr && !tls_->handshaken()) {
        early_ += bytes;
        send_pending();
        return;
    }
    if (send_some(bytes) != bytes.size()) {
        throw std::logic_error("Peer::send: the kernel did not take all bytes at once");
    }
}

void Peer::receive_available() {
    while (fd_ >= 0 && !wire_ended_ && error_ == 0) {
        std::string chunk(256 * 1024, '\0');
        if (receive_chunk(chunk) == 0) {
            return;
        }
    }
}

void Peer::receive_at_most(std::size_t byte_count) {
    std::string chunk(byte_count, '\0');
    receive_chunk(chunk);
}

/// As much as fits into `chunk`; how many bytes came from the wire.
std::size_t Peer::receive_chunk(std::string& chunk) {
    ssize_t count = 0;
    do {
        count = ::recv(fd_, chunk.data(), chunk.size(), 0);
    } while (count < 0 && errno == EINTR);
    if (count > 0 && tls_ == nullptr) {
        received_.append(chunk, 0, static_cast<std::size_t>(count));
    } else if (count > 0) {
        tls_->feed({chunk.data(), static_cast<std::size_t>(count)});
    } else if (count == 0) {
        truncated_ = tls_ != nullptr && !tls_->saw_every_end();
        saw_end_ = true;
        wire_ended_ = true;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        error_ = errno;
    }
    if (tls_ != nullptr && !wire_ended_ && error_ == 0) {
        if (!saw_end_ && !tls_->read(received_)) {
            saw_end_ = true;
            // RFC 8446, 6.1: the answer to close_notify is close_notify.
            tls_->shut_down();
        }
        send_pending();
    }
    return static_cast<std::size_t>(std::max<ssize_t>(count, 0));
}

void Peer::shutdown_write() {
    if (tls_ == nullptr) {
        shutdown_write_raw();
        return;
    }
    if (tls_->handshaken()) {
        tls_->shut_down();
    } else {
        early_end_ = true;
    }
    send_pending();
}

void Peer::shutdown_write_raw() {
    // ENOTCONN: the other end has reset the connection, which leaves nothing to finish.
    if (::shutdown(fd_, SHUT_WR) < 0 && errno != ENOTCONN) {
        throw std::system_error(errno, std::system_category(), "shutdown");
    }
}

void Peer::reset() {
    const linger at_once{1, 0};
    checked(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), "setsockopt");
    close();
}

void Peer::close() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

std::uint16_t Peer::local_port() const {
    return port_of(fd_);
}

Listener::Listener(SocketBuffers buffers, Wire wire) : fd_(stream_socket(wire)) {
    set_buffers(fd_, buffers);
    if (wire == Wire::unix_socket) {
        bind_to_free_name(fd_);
        path_ = path_of(fd_);
    } else {
        const sockaddr_in address = loopback(0);
        checked(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
        port_ = port_of(fd_);
    }
    checked(::listen(fd_, SOMAXCONN), "listen");
    checked(::fcntl(fd_, F_SETFL, O_NONBLOCK), "fcntl");
}

Listener::~Listener() {
    ::close(fd_);
}

std::optional<Peer> Listener::accept() {
    const int fd = ::accept(fd_, nullptr, nullptr);
    if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return std::nullopt;
    }
    return Peer(prepared(checked(fd, "accept"), IoMode::nonblocking));
}

std::string free_abstract_name() {
    // The kernel's next one is another: it counts.
    const Peer finder(stream_socket(Wire::unix_socket));
    bind_to_free_name(finder.fd());
    return path_of(finder.fd()) + "-sluice";
}

std::pair<Peer, Peer> connected_peers(SocketBuffers connecting, SocketBuffers accepted, Wire wire) {
    Listener listener(accepted, wire);
    Peer first = wire == Wire::unix_socket ? Peer::connect_unix(listener.path(), connecting)
                                           : Peer::connect(listener.port(), connecting);
    if (!wait_readable(listener.fd())) {
        throw std::runtime_error("connected_peers: nothing to accept");
    }
    std::optional<Peer> second = listener.accept();
    return {std::move(first), std::move(second.value())};
}

bool wait_for_arrival(int fd, std::size_t byte_count) {
    // A Unix socket knows no SO_RCVLOWAT and needs none: what was sent has arrived.
    // poll(2) cannot wait for an amount; SO_RCVLOWAT makes it (socket(7), TCP since Linux 2.4).
    const int wanted = static_cast<int>(byte_count);
    checked(::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted), "SO_RCVLOWAT");
    const bool readable = poll_for(fd, POLLIN);
    const int usual = 1;
    checked(::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &usual, sizeof usual), "SO_RCVLOWAT");
    int waiting = 0;
    checked(::ioctl(fd, FIONREAD, &waiting), "FIONREAD");
    return readable && static_cast<std::size_t>(waiting) >= byte_count;
}

bool wait_for_hang_up(int fd) {
    return poll_for(fd, peer_end_event());
}

bool wait_for_error(int fd) {
    return poll_for(fd, 0);
}

bool wait_readable(int fd) {
    return poll_for(fd, POLLIN);
}

void set_buffers(int fd, SocketBuffers buffers) {
    if (buffers.send_bytes) {
        checked(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &*buffers.send_bytes, sizeof(int)),
                "SO_SNDBUF");
    }
    if (buffers.receive_bytes) {
        checked(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &*buffers.receive_bytes, sizeof(int)),
                "SO_RCVBUF");
    }
}

int socket_option(int fd, int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    checked(::getsockopt(fd, level, name, &value, &length), "getsockopt");
    return value;
}

bool has_close_on_exec(int fd) {
    return (checked(::fcntl(fd, F_GETFD), "fcntl") & FD_CLOEXEC) != 0;
}

bool descriptor_is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace sluice::test
