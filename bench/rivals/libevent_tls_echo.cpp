// Rival: libevent with bufferevent_openssl, tuned as the TCP one: no locks, epoll's change list, single reads and writes
// raised to 256 KiB, and what has arrived moves to the output chain by chain and without a copy, where libevent seals and
// sends it at once. Reading rests until it has left. OpenSSL does not read ahead here, because libevent waits for the
// socket while OpenSSL still holds records.
#include "tls_support.hpp"

#include <stdexcept>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>

namespace {

constexpr std::size_t single_transfer_bytes = 256 * 1024;

struct Loop {
    event_base* base = nullptr;
    SSL_CTX* context = nullptr;
    std::size_t transfer_bytes = single_transfer_bytes;
    bool sink = false;
};

void on_readable(bufferevent* connection, void* context) {
    const Loop& loop = *static_cast<const Loop*>(context);
    evbuffer* input = bufferevent_get_input(connection);
    if (loop.sink) {
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    bufferevent_write_buffer(connection, input);
    if (evbuffer_get_length(bufferevent_get_output(connection)) > 0) {
        bufferevent_disable(connection, EV_READ);
    }
}

void on_all_written(bufferevent* connection, void*) {
    if ((bufferevent_get_enabled(connection) & EV_READ) == 0) {
        bufferevent_enable(connection, EV_READ);
    }
}

void on_event(bufferevent* connection, short what, void*) {
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        return;
    }
    // libevent itself ends without a close_notify.
    if ((what & BEV_EVENT_EOF) != 0) {
        SSL_shutdown(bufferevent_openssl_get_ssl(connection));
    }
    bufferevent_free(connection);
}

void on_connection(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* context) {
    auto* loop = static_cast<Loop*>(context);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    SSL* const ssl = SSL_new(loop->context);
    bufferevent* connection =
        ssl == nullptr ? nullptr
                       : bufferevent_openssl_socket_new(
                             loop->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (connection == nullptr) {
        SSL_free(ssl);
        close(fd);
        return;
    }
    bufferevent_setcb(connection, on_readable, on_all_written, on_event, loop);
    bufferevent_set_max_single_read(connection, loop->transfer_bytes);
    bufferevent_set_max_single_write(connection, loop->transfer_bytes);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

void serve(int fd, const bench::ServerOptions& options, SSL_CTX* context) {
    event_config* config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    Loop loop;
    loop.base = event_base_new_with_config(config);
    event_config_free(config);
    if (loop.base == nullptr) {
        throw std::runtime_error("no event base");
    }
    loop.context = context;
    loop.sink = options.sink;
    if (options.buffer_bytes != 0) {
        loop.transfer_bytes = options.buffer_bytes;
    }
    // Backlog 0: the socket listens already.
    evconnlistener* listener =
        evconnlistener_new(loop.base, on_connection, &loop, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    event_base_dispatch(loop.base);
    evconnlistener_free(listener);
    event_base_free(loop.base);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_tls_on_threads(argc, argv, serve);
}
