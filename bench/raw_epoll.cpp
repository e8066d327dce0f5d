// The reference: a hand-written, level-triggered epoll echo server. What a library costs is measured against this, so it
// is as good as we can make it: one receive buffer for all connections, one recv and one send per message, memory for
// a connection only while the kernel refuses to take its bytes. It uses no part of Sluice.
#include "aligned_buffer.hpp"
#include "server_support.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <memory>
#include <span>
#include <vector>

#include <sys/epoll.h>
#include <sys/uio.h>

namespace {

constexpr std::size_t receive_bytes = 256 * 1024;
constexpr std::size_t events_per_wait = 1024;

struct Connection {
    int fd = -1;
    std::size_t unsent_begin = 0;
    std::vector<char> unsent;
};

class Loop {
public:
    Loop(int listener, const bench::ServerOptions& options)
        : epoll_(epoll_create1(EPOLL_CLOEXEC)),
          listener_(listener),
          sink_(options.sink),
          pieces_(options.pieces),
          buffer_(options.buffer_bytes != 0 ? options.buffer_bytes : receive_bytes) {
        watch(EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
    }

    [[noreturn]] void run() {
        std::array<epoll_event, events_per_wait> events;
        for (;;) {
            const int count =
                epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                auto* connection = static_cast<Connection*>(event.data.ptr);
                if (connection == nullptr) {
                    accept_all();
                } else if (!connection->unsent.empty()) {
                    send_unsent(*connection);
                } else {
                    receive(*connection);
                }
            }
        }
    }

private:
    void watch(int operation, int fd, std::uint32_t interest, Connection* connection) const {
        epoll_event event{};
        event.events = interest;
        event.data.ptr = connection;
        epoll_ctl(epoll_, operation, fd, &event);
    }

    void accept_all() const {
        for (;;) {
            const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                return;
            }
            const int on = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            auto connection = std::make_unique<Connection>();
            connection->fd = fd;
            // Owned by the descriptor from here on: lose() frees it.
            watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection.release());
        }
    }

    static void lose(Connection& connection) {
        // A connection has at most one event per batch, so nothing else can still point at it.
        close(connection.fd);
        delete &connection;
    }

    void receive(Connection& connection) {
        const ssize_t received = recv(connection.fd, buffer_.data(), buffer_.size(), 0);
        if (received <= 0) {
            if (received == 0 || (errno != EAGAIN && errno != EINTR)) {
                lose(connection);
            }
            return;
        }
        if (sink_) {
            return;
        }
        const std::span<const char> message(buffer_.data(), static_cast<std::size_t>(received));
        const ssize_t sent =
            pieces_ ? send_pieces(connection.fd, message)
                    : send(connection.fd, message.data(), message.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            lose(connection);
            return;
        }
        const std::size_t taken = sent < 0 ? 0 : static_cast<std::size_t>(sent);
        if (taken < message.size()) {
            // Nothing more is read until the peer has taken this, so memory stays bounded.
            const auto rest = message.subspan(taken);
            connection.unsent.assign(rest.begin(), rest.end());
            connection.unsent_begin = 0;
            watch(EPOLL_CTL_MOD, connection.fd, EPOLLOUT, &connection);
        }
    }

    // As many pieces as one call takes; what is left goes the way of everything unsent.
    static ssize_t send_pieces(int fd, std::span<const char> message) {
        std::array<iovec, IOV_MAX> pieces;
        const std::size_t at_once = std::min(message.size(), pieces.size() * bench::piece_bytes);
        msghdr header{};
        header.msg_iov = pieces.data();
        bench::for_each_piece(message.data(), at_once, [&](const char* begin, std::size_t size) {
            pieces[header.msg_iovlen++] = {const_cast<char*>(begin), size};
        });
        return sendmsg(fd, &header, MSG_NOSIGNAL);
    }

    void send_unsent(Connection& connection) const {
        const auto rest = std::span<const char>(connection.unsent).subspan(connection.unsent_begin);
        const ssize_t sent = send(connection.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                lose(connection);
            }
            return;
        }
        connection.unsent_begin += static_cast<std::size_t>(sent);
        if (connection.unsent_begin == connection.unsent.size()) {
            connection.unsent = {};
            watch(EPOLL_CTL_MOD, connection.fd, EPOLLIN, &connection);
        }
    }

    int epoll_;
    int listener_;
    bool sink_;
    bool pieces_;
    bench::AlignedBuffer buffer_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_on_threads(
        argc, argv,
        [](int listener, const bench::ServerOptions& options) { Loop(listener, options).run(); });
}
