// Rival: standalone Asio with callbacks, the way its users write a fast server: a buffer per connection that lives as long
// as its operations, async_read_some, then async_write of what came. One io_context per thread without locks, so Asio's
// own fast paths (speculative reads, recycled handler memory) all apply.
//
// 64 KiB of buffer, because Asio's composed operations never move more than that at once.
#include "aligned_buffer.hpp"
#include "server_support.hpp"

#include <memory>
#include <span>
#include <tuple>
#include <vector>

#include <asio.hpp>

namespace {

using asio::ip::tcp;

constexpr std::size_t receive_bytes = 64 * 1024;

class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(tcp::socket socket, std::size_t buffer_bytes, const bench::ServerOptions& options)
        : socket_(std::move(socket)),
          sink_(options.sink),
          in_pieces_(options.pieces),
          buffer_(buffer_bytes) {}

    void read() {
        socket_.async_read_some(asio::buffer(buffer_.data(), buffer_.size()),
                                [self = shared_from_this()](std::error_code ec, std::size_t count) {
                                    if (ec) {
                                        return;
                                    }
                                    if (self->sink_) {
                                        self->read();
                                    } else {
                                        self->write(count);
                                    }
                                });
    }

private:
    void write(std::size_t count) {
        if (in_pieces_) {
            write_pieces(count);
        } else {
            write_from(0, count);
        }
    }

    void write_from(std::size_t begin, std::size_t end) {
        asio::async_write(socket_, asio::buffer(buffer_.data() + begin, end - begin),
                          [self = shared_from_this()](std::error_code ec, std::size_t) {
                              if (!ec) {
                                  self->read();
                              }
                          });
    }

    // async_write hands the kernel 16 buffers at a time; async_write_some, which takes 64, is the faster way for many
    // small ones, and nearly always takes them all.
    void write_pieces(std::size_t count) {
        pieces_.clear();
        bench::for_each_piece(buffer_.data(), count, [this](const char* begin, std::size_t size) {
            pieces_.emplace_back(begin, size);
        });
        socket_.async_write_some(
            std::span<const asio::const_buffer>(pieces_),
            [self = shared_from_this(), count](std::error_code ec, std::size_t sent) {
                if (ec) {
                    return;
                }
                if (sent == count) {
                    self->read();
                } else {
                    self->write_from(sent, count);
                }
            });
    }

    tcp::socket socket_;
    bool sink_;
    bool in_pieces_;
    bench::AlignedBuffer buffer_;
    std::vector<asio::const_buffer> pieces_;
};

class Server {
public:
    Server(int listener, const bench::ServerOptions& options)
        : context_(ASIO_CONCURRENCY_HINT_UNSAFE),
          acceptor_(context_, tcp::v4(), listener),
          options_(options),
          buffer_bytes_(options.buffer_bytes != 0 ? options.buffer_bytes : receive_bytes) {}

    void run() {
        accept();
        context_.run();
    }

private:
    void accept() {
        acceptor_.async_accept([this](std::error_code ec, tcp::socket socket) {
            if (!ec) {
                std::error_code ignored;
                std::ignore = socket.set_option(tcp::no_delay(true), ignored);
                std::make_shared<Connection>(std::move(socket), buffer_bytes_, options_)->read();
            }
            accept();
        });
    }

    asio::io_context context_;
    tcp::acceptor acceptor_;
    const bench::ServerOptions& options_;
    std::size_t buffer_bytes_;
};

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_on_threads(
        argc, argv,
        [](int listener, const bench::ServerOptions& options) { Server(listener, options).run(); });
}
