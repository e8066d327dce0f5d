// An echo server: whatever a client sends, it gets back. Usage: echo_server [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    // A client that does not read its answers is not read from either: memory stays bounded.
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::Transport* transport_ = nullptr;
};

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(
        loop.create_server<Echo>(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888"));
    const sluice::SocketAddress address = server->sockets().front().local_address();
    std::cout << "listening on " << address.to_string() << '\n' << std::flush;
    loop.run_forever();
}
