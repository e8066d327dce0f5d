// Sends datagrams to an echo server, 32 at a time, and counts what comes back within a second of the
// last one. Usage: udp_blast host port [datagrams [bytes]]
#include <sluice/sluice.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <vector>

class Counter : public sluice::DatagramProtocol {
public:
    void datagrams_received(std::span<const sluice::Datagram> batch) override {
        for (const sluice::Datagram& datagram : batch) {
            ++datagrams;
            bytes += datagram.data.size();
        }
    }
    void error_received(std::error_code error) override { last_error = error; }

    std::size_t datagrams = 0;
    std::size_t bytes = 0;
    std::error_code last_error;
};

sluice::Task<> blast(sluice::EventLoop& loop, sluice::DatagramOptions options, std::size_t count,
                     std::size_t size) {
    const auto endpoint = co_await loop.create_datagram_endpoint<Counter>(std::move(options));
    const std::vector<std::byte> data(32 * size);
    for (std::size_t sent = 0; sent < count; sent += 32) {
        // The same as 32 calls of sendto(), for hardly more than the price of one.
        const std::size_t datagrams = count - sent < 32 ? count - sent : 32;
        endpoint.transport->send_segments(sluice::Bytes(data).first(datagrams * size), size);
        co_await sluice::sleep(std::chrono::milliseconds(1));
    }
    const Counter& counter = *endpoint.protocol;
    for (int i = 0; i < 100 && counter.datagrams < count; ++i) {
        co_await sluice::sleep(std::chrono::milliseconds(10));
    }
    std::cout << counter.datagrams << " of " << count << " came back, " << counter.bytes
              << " bytes\n";
    if (counter.last_error) {
        std::cout << "last error: " << counter.last_error.message() << '\n';
    }
    endpoint.transport->close();
}

int main(int argc, char** argv) try {
    if (argc < 3) {
        throw std::invalid_argument("usage: udp_blast host port [datagrams [bytes]]");
    }
    sluice::EventLoop loop;
    loop.run_until_complete(blast(loop, sluice::DatagramOptions().remote_address(argv[1], argv[2]),
                                  argc > 3 ? std::stoul(argv[3]) : 1000,
                                  argc > 4 ? std::stoul(argv[4]) : 64));
} catch (const std::exception& error) {
    std::cerr << "udp_blast: " << error.what() << '\n';
    return 1;
}
