// A server as the open internet needs it: behind a load balancer that announces its clients (PROXY
// protocol), with limits for each client. It tells everybody who they are and how they came.
// Usage: behind_proxy [host [port [the load balancers' network]]]
#include <sluice/sluice.hpp>

#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

class WhoAmI : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override {
        const auto client = transport.get_extra_info(sluice::extra::peername);
        const auto proxy = transport.get_extra_info(sluice::extra::proxy);
        transport_ = &transport;
        transport_->write("you are " + client.host());
        if (proxy.source()) {
            transport_->write(" by way of " + proxy.real_peer().host());
        }
        transport_->write("\n");
    }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void connection_lost(std::error_code reason) override {
        if (reason == sluice::Error::idle_timeout || reason == sluice::Error::write_timeout) {
            std::cout << "given up: " << reason.message() << '\n' << std::flush;
        }
    }

private:
    sluice::Transport* transport_ = nullptr;
};

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    sluice::ServerOptions options;
    options.proxy_protocol(
        sluice::ProxyProtocolOptions().trust(argc > 3 ? argv[3] : "127.0.0.0/8").timeout(3s));
    options.max_connections(10'000).max_connections_per_address(20);
    options.idle_timeout(60s).write_timeout(20s);
    const auto server = loop.run_until_complete(loop.create_server<WhoAmI>(
        argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888", options));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
