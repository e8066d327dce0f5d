// A UDP echo server: every datagram goes back to where it came from. Usage: udp_echo [host [port]]
#include <sluice/sluice.hpp>

#include <exception>
#include <iostream>

class Echo : public sluice::DatagramProtocol {
public:
    void connection_made(sluice::DatagramTransport& transport) override { transport_ = &transport; }

    // Called for each datagram of a batch; the answers leave together when the last one is done.
    void datagram_received(sluice::Bytes data, const sluice::SocketAddress& sender) override {
        transport_->sendto(data, sender);
    }
    // One peer that cannot be reached is no reason to stop: the endpoint lives on.
    void error_received(std::error_code error) override {
        std::cerr << "udp_echo: " << error.message() << '\n';
    }
    // A system that takes no more is not given more: what arrives meanwhile waits in the socket.
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::DatagramTransport* transport_ = nullptr;
};

int main(int argc, char** argv) try {
    sluice::EventLoop loop;
    const auto endpoint = loop.run_until_complete(
        loop.create_datagram_endpoint<Echo>(sluice::DatagramOptions().local_address(
            argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888")));
    const auto address = endpoint.transport->get_extra_info(sluice::extra::sockname);
    std::cout << "listening on " << address.to_string() << '\n' << std::flush;
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "udp_echo: " << error.what() << '\n';
    return 1;
}
