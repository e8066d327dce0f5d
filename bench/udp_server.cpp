// The UDP echo server of the benchmark: ours, with the options whose price is asked for.
#include <sluice/sluice.hpp>

#include "udp_support.hpp"

namespace {

class Echo final : public sluice::DatagramProtocol {
public:
    void connection_made(sluice::DatagramTransport& transport) override { transport_ = &transport; }
    void datagram_received(sluice::Bytes data, const sluice::SocketAddress& sender) override {
        transport_->sendto(data, sender);
    }

private:
    sluice::DatagramTransport* transport_ = nullptr;
};

void serve(int fd, const bench::UdpOptions& options) {
    sluice::EventLoop loop;
    loop.run_until_complete(loop.create_datagram_endpoint<Echo>(
        sluice::Descriptor(fd),
        sluice::DatagramOptions().batch(options.batch).gso(options.gso).gro(options.gso)));
    loop.run_forever();
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_datagrams(argc, argv, serve);
}
