// The reference for TLS: a hand-written, level-triggered epoll echo server with SSL_read and SSL_write on a socket BIO, which
// is how OpenSSL is used without a library around it. It is as good as that can be made: reading ahead (one recv for many
// small records in place of two for each), no epoll_wait while OpenSSL still holds bytes, buffers released when idle,
// memory for a connection only while the kernel refuses its bytes. It uses no part of Sluice.
//
// Each record is answered as it is read, which costs a send a record. --tuned 1 is the most that can be had this way, and a
// row of its own: OpenSSL's read buffer holds four records, and all that is there is read, up to our own buffer, before one
// SSL_write answers it, so that OpenSSL makes full records (still with a send each).
#include "aligned_buffer.hpp"
#include "tls_support.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <vector>

#include <sys/epoll.h>

namespace {

constexpr std::size_t receive_bytes = 256 * 1024;
constexpr std::size_t events_per_wait = 1024;
// With header, tag and a little room for alignment each. Larger buffers gain nothing more.
constexpr std::size_t four_records = 4UL * (16 * 1024 + 512);

struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
};

struct Connection {
    int fd = -1;
    std::unique_ptr<SSL, SslDeleter> ssl;
    std::uint32_t interest = EPOLLIN;
    std::size_t unsent_begin = 0;
    std::vector<char>
        unsent;  // plaintext; its first bytes may already be sealed in OpenSSL's own buffer
};

class Loop {
public:
    Loop(int listener, const bench::ServerOptions& options, SSL_CTX* context, bool tuned)
        : epoll_(epoll_create1(EPOLL_CLOEXEC)),
          listener_(listener),
          context_(context),
          tuned_(tuned),
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
                } else if (!serve(*connection)) {
                    // A connection has at most one event per batch, so nothing else can still point at it.
                    lose(connection);
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

    void want(Connection& connection, std::uint32_t interest) const {
        if (connection.interest != interest) {
            connection.interest = interest;
            watch(EPOLL_CTL_MOD, connection.fd, interest, &connection);
        }
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
            connection->ssl.reset(SSL_new(context_));
            if (!connection->ssl || SSL_set_fd(connection->ssl.get(), fd) != 1) {
                close(fd);
                continue;
            }
            SSL_set_accept_state(connection->ssl.get());
            // Owned by the descriptor from here on: lose() frees it.
            watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection.release());
        }
    }

    static void lose(Connection* connection) {
        const std::unique_ptr<Connection> owned(connection);
        // An alert that the kernel refuses is not worth waiting for.
        SSL_shutdown(owned->ssl.get());
        ERR_clear_error();
        close(owned->fd);
    }

    // False when the connection is over.
    bool serve(Connection& connection) {
        if (!connection.unsent.empty() && !send_unsent(connection)) {
            return false;
        }
        if (!connection.unsent.empty()) {
            return true;
        }
        return tuned_ ? receive_gathered(connection) : receive_each(connection);
    }

    bool receive_each(Connection& connection) {
        SSL* const ssl = connection.ssl.get();
        do {
            const int received = SSL_read(ssl, buffer_.data(), static_cast<int>(buffer_.size()));
            if (received <= 0) {
                return waits(connection, received);
            }
            if (!answer(connection, static_cast<std::size_t>(received))) {
                return false;
            }
        } while (connection.unsent.empty() && SSL_has_pending(ssl) == 1);
        return true;
    }

    bool receive_gathered(Connection& connection) {
        SSL* const ssl = connection.ssl.get();
        do {
            std::size_t filled = 0;
            int received = 1;
            while (filled < buffer_.size() && (filled == 0 || SSL_has_pending(ssl) == 1)) {
                const auto room = buffer_.bytes().subspan(filled);
                received = SSL_read(ssl, room.data(), static_cast<int>(room.size()));
                if (received <= 0) {
                    break;
                }
                filled += static_cast<std::size_t>(received);
            }
            const bool open = received > 0 || waits(connection, received);
            if (filled > 0 && !answer(connection, filled)) {
                return false;
            }
            if (received <= 0) {
                return open;
            }
        } while (connection.unsent.empty() && SSL_has_pending(ssl) == 1);
        return true;
    }

    // What a call that made no progress means: true when the event it needs will come.
    bool waits(Connection& connection, int result) const {
        switch (SSL_get_error(connection.ssl.get(), result)) {
            case SSL_ERROR_WANT_READ:
                want(connection, EPOLLIN);
                return true;
            case SSL_ERROR_WANT_WRITE:
                want(connection, EPOLLOUT);
                return true;
            default:
                return false;
        }
    }

    // Writes the first bytes of the buffer. Nothing more is read until the peer has taken what is left, so memory stays
    // bounded.
    bool answer(Connection& connection, std::size_t count) {
        std::span<const char> rest = buffer_.bytes().first(count);
        while (!rest.empty()) {
            const int sent =
                SSL_write(connection.ssl.get(), rest.data(), static_cast<int>(rest.size()));
            if (sent <= 0) {
                connection.unsent.assign(rest.begin(), rest.end());
                connection.unsent_begin = 0;
                return waits(connection, sent);
            }
            rest = rest.subspan(static_cast<std::size_t>(sent));
        }
        return true;
    }

    bool send_unsent(Connection& connection) const {
        while (connection.unsent_begin < connection.unsent.size()) {
            const auto rest =
                std::span<const char>(connection.unsent).subspan(connection.unsent_begin);
            const int sent =
                SSL_write(connection.ssl.get(), rest.data(), static_cast<int>(rest.size()));
            if (sent <= 0) {
                return waits(connection, sent);
            }
            connection.unsent_begin += static_cast<std::size_t>(sent);
        }
        connection.unsent = {};
        want(connection, EPOLLIN);
        return true;
    }

    int epoll_;
    int listener_;
    SSL_CTX* context_;
    bool tuned_;
    bench::AlignedBuffer buffer_;
};

// Takes "--tuned 0|1" out of the arguments.
bool take_tuned(std::vector<char*>& arguments) {
    for (std::size_t i = 1; i + 1 < arguments.size(); ++i) {
        if (std::string_view(arguments[i]) == "--tuned") {
            const bool tuned = std::string_view(arguments[i + 1]) == "1";
            const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
            arguments.erase(first, first + 2);
            return tuned;
        }
    }
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<char*> arguments(argv, argv + argc);
    const bool tuned = take_tuned(arguments);
    return bench::serve_tls_on_threads(
        static_cast<int>(arguments.size()), arguments.data(),
        [tuned](int listener, const bench::ServerOptions& options, SSL_CTX* context) {
            SSL_CTX_set_read_ahead(context, 1);
            if (tuned) {
                SSL_CTX_set_default_read_buffer_len(context, four_records);
            }
            Loop(listener, options, context, tuned).run();
        });
}
