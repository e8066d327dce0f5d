// What examples/echo_server.cpp does, written with standalone Asio and its callbacks: the other side of the compile-time
// comparison (compile_time.py). Includes what it uses and no more, as somebody who cares for compile times would.
#include <array>
#include <iostream>
#include <memory>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>

using asio::ip::tcp;

class Echo : public std::enable_shared_from_this<Echo> {
public:
    explicit Echo(tcp::socket socket) : socket_(std::move(socket)) {}

    // Reads again only after everything has been written: memory stays bounded.
    void read() {
        socket_.async_read_some(asio::buffer(buffer_),
                                [self = shared_from_this()](std::error_code error, std::size_t n) {
                                    if (!error) {
                                        self->write(n);
                                    }
                                });
    }

private:
    void write(std::size_t count) {
        asio::async_write(socket_, asio::buffer(buffer_, count),
                          [self = shared_from_this()](std::error_code error, std::size_t) {
                              if (!error) {
                                  self->read();
                              }
                          });
    }

    tcp::socket socket_;
    std::array<char, 65536> buffer_;
};

void accept_next(tcp::acceptor& acceptor) {
    acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
        if (!error) {
            std::make_shared<Echo>(std::move(socket))->read();
        }
        accept_next(acceptor);
    });
}

int main(int argc, char** argv) {
    asio::io_context context;
    tcp::resolver resolver(context);
    const auto found =
        resolver.resolve(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888");
    tcp::acceptor acceptor(context, found.begin()->endpoint());
    std::cout << "listening on " << acceptor.local_endpoint() << '\n' << std::flush;
    accept_next(acceptor);
    context.run();
}
