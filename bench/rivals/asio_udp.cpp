// Rival: Asio, callbacks on an io_context without locks; the answer is sent at once, without a request.
#include "aligned_buffer.hpp"
#include "udp_support.hpp"

#include <asio.hpp>

namespace {

class Echo {
public:
    Echo(asio::io_context& context, int fd) : socket_(context, asio::ip::udp::v4(), fd) {
        socket_.non_blocking(true);
    }

    void receive() {
        socket_.async_receive_from(asio::buffer(buffer_.data(), datagram_bytes), sender_,
                                   [this](const asio::error_code& error, std::size_t size) {
                                       if (!error) {
                                           asio::error_code ignored;
                                           socket_.send_to(asio::buffer(buffer_.data(), size),
                                                           sender_, 0, ignored);
                                       }
                                       receive();
                                   });
    }

private:
    static constexpr std::size_t datagram_bytes = 64UL * 1024;

    asio::ip::udp::socket socket_;
    asio::ip::udp::endpoint sender_;
    bench::AlignedBuffer buffer_{datagram_bytes};
};

void serve(int fd, const bench::UdpOptions&) {
    asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
    Echo echo(context, fd);
    echo.receive();
    context.run();
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_datagrams(argc, argv, serve);
}
