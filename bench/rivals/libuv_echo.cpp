// Rival: libuv. The read callback writes with uv_try_write first, which is one send and no request; only what the kernel
// refuses is copied into a request, and reading rests until it has left. All connections read into one buffer of the
// size libuv suggests (64 KiB), because nothing outlives the callback.
#include "aligned_buffer.hpp"
#include "server_support.hpp"

#include <cstring>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include <uv.h>

namespace {

struct Loop {
    uv_loop_t loop{};
    uv_tcp_t listener{};
    std::optional<bench::AlignedBuffer> buffer;
    std::size_t wanted_buffer = 0;  // 0: libuv's suggestion
    bool sink = false;
    bool in_pieces = false;
    std::vector<uv_buf_t> pieces;
};

struct PendingWrite {
    uv_write_t request{};
    std::unique_ptr<char[]> bytes;
};

Loop& loop_of(const uv_handle_t* handle) {
    return *static_cast<Loop*>(handle->loop->data);
}

void lose(uv_stream_t* stream) {
    auto* handle = reinterpret_cast<uv_handle_t*>(stream);
    if (uv_is_closing(handle) == 0) {
        uv_close(handle, [](uv_handle_t* closed) { delete reinterpret_cast<uv_tcp_t*>(closed); });
    }
}

void lend_buffer(uv_handle_t* handle, std::size_t suggested, uv_buf_t* buffer) {
    Loop& loop = loop_of(handle);
    const std::size_t size = loop.wanted_buffer != 0 ? loop.wanted_buffer : suggested;
    if (!loop.buffer) {
        loop.buffer.emplace(size);
    }
    *buffer = uv_buf_init(loop.buffer->data(), static_cast<unsigned>(size));
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);

void write_later(uv_stream_t* stream, const char* bytes, std::size_t count) {
    auto pending = std::make_unique<PendingWrite>();
    pending->bytes = std::make_unique_for_overwrite<char[]>(count);
    std::memcpy(pending->bytes.get(), bytes, count);
    const uv_buf_t rest = uv_buf_init(pending->bytes.get(), static_cast<unsigned>(count));
    pending->request.data = pending.get();
    const auto on_written = [](uv_write_t* request, int status) {
        const std::unique_ptr<PendingWrite> done(static_cast<PendingWrite*>(request->data));
        if (status != 0) {
            lose(request->handle);
        } else {
            uv_read_start(request->handle, lend_buffer, on_read);
        }
    };
    uv_read_stop(stream);
    if (uv_write(&pending->request, stream, &rest, 1, on_written) != 0) {
        lose(stream);
        return;
    }
    std::ignore = pending.release();  // on_written owns it
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    if (count < 0) {
        lose(stream);
        return;
    }
    Loop& loop = loop_of(reinterpret_cast<uv_handle_t*>(stream));
    if (count == 0 || loop.sink) {
        return;
    }
    loop.pieces.clear();
    if (loop.in_pieces) {
        bench::for_each_piece(buffer->base, static_cast<std::size_t>(count),
                              [&](const char* begin, std::size_t size) {
                                  loop.pieces.push_back(uv_buf_init(const_cast<char*>(begin),
                                                                    static_cast<unsigned>(size)));
                              });
    } else {
        loop.pieces.push_back(uv_buf_init(buffer->base, static_cast<unsigned>(count)));
    }
    const int sent =
        uv_try_write(stream, loop.pieces.data(), static_cast<unsigned>(loop.pieces.size()));
    if (sent < 0 && sent != UV_EAGAIN) {
        lose(stream);
        return;
    }
    const auto taken = static_cast<std::size_t>(sent < 0 ? 0 : sent);
    if (taken < static_cast<std::size_t>(count)) {
        write_later(stream, buffer->base + taken, static_cast<std::size_t>(count) - taken);
    }
}

void on_connection(uv_stream_t* listener, int status) {
    if (status != 0) {
        return;
    }
    auto* connection = new uv_tcp_t;
    auto* stream = reinterpret_cast<uv_stream_t*>(connection);
    uv_tcp_init(listener->loop, connection);
    if (uv_accept(listener, stream) != 0) {
        lose(stream);
        return;
    }
    uv_tcp_nodelay(connection, 1);
    uv_read_start(stream, lend_buffer, on_read);
}

void serve(int fd, const bench::ServerOptions& options) {
    Loop loop;
    loop.wanted_buffer = options.buffer_bytes;
    loop.sink = options.sink;
    loop.in_pieces = options.pieces;
    uv_loop_init(&loop.loop);
    loop.loop.data = &loop;
    uv_tcp_init(&loop.loop, &loop.listener);
    uv_tcp_open(&loop.listener, fd);
    uv_listen(reinterpret_cast<uv_stream_t*>(&loop.listener), SOMAXCONN, on_connection);
    uv_run(&loop.loop, UV_RUN_DEFAULT);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_on_threads(argc, argv, serve);
}
