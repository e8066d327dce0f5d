// Rival: libevent with bufferevents, tuned: no locks, epoll's change list (fewer epoll_ctl), single reads and writes raised
// to 256 KiB, and what has arrived is first written straight from the input buffer. Only the rest moves to the output
// buffer, chain by chain and without a copy, and reading rests until it has left. (libevent 2.1 itself asks the
// socket for its byte count and reads at most 4 KiB at once, whatever is configured.)
#include "server_support.hpp"

#include <cerrno>
#include <stdexcept>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

namespace {

constexpr std::size_t single_transfer_bytes = 256 * 1024;

struct Loop {
    event_base* base = nullptr;
    std::size_t transfer_bytes = single_transfer_bytes;
    bool sink = false;
    evbuffer* pieces = nullptr;  // in the mode pieces: where an answer is put together
};

void on_readable(bufferevent* connection, void* context) {
    const Loop& loop = *static_cast<const Loop*>(context);
    evbuffer* input = bufferevent_get_input(connection);
    if (loop.sink) {
        evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    evbuffer* answer = input;
    if (loop.pieces != nullptr) {
        const std::size_t count = evbuffer_get_length(input);
        bench::for_each_piece(
            reinterpret_cast<const char*>(evbuffer_pullup(input, -1)), count,
            [&](const char* begin, std::size_t size) { evbuffer_add(loop.pieces, begin, size); });
        evbuffer_drain(input, count);
        answer = loop.pieces;
    }
    // Reading rests while the output holds anything, so nothing can be overtaken.
    if (evbuffer_write(answer, bufferevent_getfd(connection)) < 0 && errno != EAGAIN) {
        evbuffer_drain(answer, evbuffer_get_length(answer));
        bufferevent_free(connection);
        return;
    }
    if (evbuffer_get_length(answer) > 0) {
        bufferevent_disable(connection, EV_READ);
        evbuffer_add_buffer(bufferevent_get_output(connection), answer);
    }
}

void on_all_written(bufferevent* connection, void*) {
    bufferevent_enable(connection, EV_READ);
}

void on_event(bufferevent* connection, short, void*) {
    bufferevent_free(connection);
}

void on_connection(evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* context) {
    auto* loop = static_cast<Loop*>(context);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bufferevent* connection = bufferevent_socket_new(loop->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(connection, on_readable, on_all_written, on_event, loop);
    bufferevent_set_max_single_read(connection, loop->transfer_bytes);
    bufferevent_set_max_single_write(connection, loop->transfer_bytes);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

void serve(int fd, const bench::ServerOptions& options) {
    event_config* config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    Loop loop;
    loop.base = event_base_new_with_config(config);
    event_config_free(config);
    if (loop.base == nullptr) {
        throw std::runtime_error("no event base");
    }
    loop.sink = options.sink;
    loop.pieces = options.pieces ? evbuffer_new() : nullptr;
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
    return bench::serve_on_threads(argc, argv, serve);
}
