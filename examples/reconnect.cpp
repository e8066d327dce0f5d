// Waits for a server that may not be there yet: tries again, each time after twice as long, and then
// prints what it says. Usage: reconnect host port [attempts]
#include <sluice/sluice.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <utility>

using namespace std::chrono_literals;

class Listener : public sluice::Protocol {
public:
    explicit Listener(sluice::Future<> finished) : finished_(std::move(finished)) {}
    void data_received(sluice::Bytes data) override { std::cout << sluice::as_text(data); }
    void connection_lost(std::error_code) override { finished_.try_set_result(); }

private:
    sluice::Future<> finished_;
};

sluice::Task<> listen_patiently(sluice::EventLoop& loop, std::string host, sluice::Port port,
                                int attempts) {
    const sluice::Future<> finished = loop.create_future();
    const auto options = sluice::ConnectOptions().timeout(5s);
    for (auto pause = 50ms;; pause = std::min<std::chrono::milliseconds>(2 * pause, 10s)) {
        try {
            const auto connection =
                co_await loop.create_connection<Listener>(host, port, options, finished);
            break;
        } catch (const sluice::AddressError& error) {
            if (--attempts == 0) {
                throw;
            }
            std::cout << error.what() << ", trying again\n" << std::flush;
        }
        co_await sluice::sleep(pause);
    }
    co_await finished;
}

int main(int argc, char** argv) try {
    if (argc < 3) {
        throw std::invalid_argument("usage: reconnect host port [attempts]");
    }
    const int attempts = argc > 3 ? std::stoi(argv[3]) : 100;
    sluice::EventLoop loop;
    loop.run_until_complete(listen_patiently(loop, argv[1], argv[2], attempts));
} catch (const std::exception& error) {
    std::cerr << "reconnect: " << error.what() << '\n';
    return 1;
}
