// Rival: libuv with OpenSSL over memory BIOs, which is the usual pair. What uv_read brings goes into one BIO, all records in
// it are decrypted and answered, and what has gathered in the other BIO leaves with one uv_try_write; only what the kernel
// refuses is copied into a request, and reading rests until that has left. All connections share one buffer for
// ciphertext, of the size libuv suggests (64 KiB), and those for what comes out of OpenSSL.
#include "aligned_buffer.hpp"
#include "tls_support.hpp"

#include <cstring>
#include <memory>
#include <optional>
#include <tuple>

#include <openssl/bio.h>
#include <uv.h>

namespace {

// No more than a record comes at once.
constexpr std::size_t plaintext_bytes = 16 * 1024;
// What answers one read in one piece, with a record that had begun before.
constexpr std::size_t sealed_bytes = 128 * 1024;

struct Loop {
    uv_loop_t loop{};
    uv_tcp_t listener{};
    std::optional<bench::AlignedBuffer> buffer;
    bench::AlignedBuffer plaintext{plaintext_bytes};
    bench::AlignedBuffer sealed{sealed_bytes};
    std::size_t wanted_buffer = 0;  // 0: libuv's suggestion
    SSL_CTX* context = nullptr;
    bool sink = false;
};

struct Connection {
    uv_tcp_t tcp{};
    SSL* ssl = nullptr;

    Connection() = default;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { SSL_free(ssl); }
};

struct PendingWrite {
    uv_write_t request{};
    std::unique_ptr<char[]> bytes;
};

Loop& loop_of(const uv_handle_t* handle) {
    return *static_cast<Loop*>(handle->loop->data);
}

Connection& connection_of(uv_stream_t* stream) {
    return *static_cast<Connection*>(stream->data);
}

void lose(uv_stream_t* stream) {
    auto* handle = reinterpret_cast<uv_handle_t*>(stream);
    if (uv_is_closing(handle) == 0) {
        uv_close(handle,
                 [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
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
        } else if (uv_stream_get_write_queue_size(request->handle) == 0) {
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

// Everything OpenSSL wants to send: handshake messages, answers, the farewell. It is read out of the BIO and not sent from
// its memory, because emptying that with BIO_reset() writes zeros over all it ever held.
void send_sealed(uv_stream_t* stream) {
    BIO* const sealed = SSL_get_wbio(connection_of(stream).ssl);
    const auto room = loop_of(reinterpret_cast<uv_handle_t*>(stream)).sealed.bytes();
    int count = 0;
    while ((count = BIO_read(sealed, room.data(), static_cast<int>(room.size()))) > 0) {
        const uv_buf_t all = uv_buf_init(room.data(), static_cast<unsigned>(count));
        const int sent = uv_try_write(stream, &all, 1);
        if (sent < 0 && sent != UV_EAGAIN) {
            lose(stream);
            return;
        }
        const int taken = sent < 0 ? 0 : sent;
        if (taken < count) {
            write_later(stream, room.data() + taken, static_cast<std::size_t>(count - taken));
        }
    }
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    if (count < 0) {
        lose(stream);
        return;
    }
    Loop& loop = loop_of(reinterpret_cast<uv_handle_t*>(stream));
    SSL* const ssl = connection_of(stream).ssl;
    BIO_write(SSL_get_rbio(ssl), buffer->base, static_cast<int>(count));
    const auto room = loop.plaintext.bytes();
    int opened = 0;
    while ((opened = SSL_read(ssl, room.data(), static_cast<int>(room.size()))) > 0) {
        // A memory BIO takes everything.
        if (!loop.sink && SSL_write(ssl, room.data(), opened) != opened) {
            break;
        }
    }
    const bool waits = SSL_get_error(ssl, opened) == SSL_ERROR_WANT_READ;
    if (!waits) {
        SSL_shutdown(ssl);
        ERR_clear_error();
    }
    send_sealed(stream);
    if (!waits) {
        lose(stream);
    }
}

void on_connection(uv_stream_t* listener, int status) {
    if (status != 0) {
        return;
    }
    auto connection = std::make_unique<Connection>();
    connection->ssl = SSL_new(loop_of(reinterpret_cast<uv_handle_t*>(listener)).context);
    SSL_set_accept_state(connection->ssl);
    SSL_set_bio(connection->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    auto* stream = reinterpret_cast<uv_stream_t*>(&connection->tcp);
    uv_tcp_init(listener->loop, &connection->tcp);
    stream->data = connection.release();  // freed when the handle has closed
    if (uv_accept(listener, stream) != 0) {
        lose(stream);
        return;
    }
    uv_tcp_nodelay(reinterpret_cast<uv_tcp_t*>(stream), 1);
    uv_read_start(stream, lend_buffer, on_read);
}

void serve(int fd, const bench::ServerOptions& options, SSL_CTX* context) {
    SSL_CTX_set_read_ahead(context, 1);
    Loop loop;
    loop.wanted_buffer = options.buffer_bytes;
    loop.context = context;
    loop.sink = options.sink;
    uv_loop_init(&loop.loop);
    loop.loop.data = &loop;
    uv_tcp_init(&loop.loop, &loop.listener);
    uv_tcp_open(&loop.listener, fd);
    uv_listen(reinterpret_cast<uv_stream_t*>(&loop.listener), SOMAXCONN, on_connection);
    uv_run(&loop.loop, UV_RUN_DEFAULT);
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_tls_on_threads(argc, argv, serve);
}
