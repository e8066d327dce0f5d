// Rival: Asio's ssl::stream with callbacks, as its users write it: a buffer per connection that lives as long as its
// operations, async_read_some, then async_write of what came. One io_context per thread without locks. The context is the
// one of all the servers here, which Asio adopts, and reads ahead: Asio asks OpenSSL before it asks the socket, so
// records that OpenSSL holds already are never left lying.
//
// 16 KiB of buffer, because no more than a record comes at once.
#include "aligned_buffer.hpp"
#include "tls_support.hpp"

#include <memory>
#include <tuple>

#include <asio.hpp>
#include <asio/ssl.hpp>

namespace {

using asio::ip::tcp;

constexpr std::size_t receive_bytes = 16 * 1024;

class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(tcp::socket socket, asio::ssl::context& context, std::size_t buffer_bytes, bool sink)
        : stream_(std::move(socket), context), sink_(sink), buffer_(buffer_bytes) {}

    void handshake() {
        stream_.async_handshake(asio::ssl::stream_base::server,
                                [self = shared_from_this()](std::error_code ec) {
                                    if (!ec) {
                                        self->read();
                                    }
                                });
    }

private:
    void read() {
        stream_.async_read_some(asio::buffer(buffer_.data(), buffer_.size()),
                                [self = shared_from_this()](std::error_code ec, std::size_t count) {
                                    if (ec) {
                                        self->end(ec);
                                    } else if (self->sink_) {
                                        self->read();
                                    } else {
                                        self->write(count);
                                    }
                                });
    }

    void write(std::size_t count) {
        asio::async_write(stream_, asio::buffer(buffer_.data(), count),
                          [self = shared_from_this()](std::error_code ec, std::size_t) {
                              if (!ec) {
                                  self->read();
                              }
                          });
    }

    // Answers the peer's close_notify; anything else ends without a word.
    void end(std::error_code reason) {
        if (reason == asio::error::eof) {
            stream_.async_shutdown([self = shared_from_this()](std::error_code) {});
        }
    }

    asio::ssl::stream<tcp::socket> stream_;
    bool sink_;
    bench::AlignedBuffer buffer_;
};

class Server {
public:
    Server(int listener, const bench::ServerOptions& options, SSL_CTX* context)
        : context_(ASIO_CONCURRENCY_HINT_UNSAFE),
          acceptor_(context_, tcp::v4(), listener),
          tls_(adopt(context)),
          sink_(options.sink),
          buffer_bytes_(options.buffer_bytes != 0 ? options.buffer_bytes : receive_bytes) {}

    void run() {
        accept();
        context_.run();
    }

private:
    // Asio's context takes over one reference.
    static asio::ssl::context adopt(SSL_CTX* context) {
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_up_ref(context);
        return asio::ssl::context(context);
    }

    void accept() {
        acceptor_.async_accept([this](std::error_code ec, tcp::socket socket) {
            if (!ec) {
                std::error_code ignored;
                std::ignore = socket.set_option(tcp::no_delay(true), ignored);
                std::make_shared<Connection>(std::move(socket), tls_, buffer_bytes_, sink_)
                    ->handshake();
            }
            accept();
        });
    }

    asio::io_context context_;
    tcp::acceptor acceptor_;
    asio::ssl::context tls_;
    bool sink_;
    std::size_t buffer_bytes_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_tls_on_threads(
        argc, argv, [](int listener, const bench::ServerOptions& options, SSL_CTX* context) {
            Server(listener, options, context).run();
        });
}
