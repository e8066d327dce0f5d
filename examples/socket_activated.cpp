// An echo server on the sockets that systemd passes to it, or one of its own when it is started by hand.
// Usage: socket_activated [host [port]]; with systemd: a .socket unit with FileDescriptorName=echo.
#include <sluice/sluice.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::Transport* transport_ = nullptr;
};

sluice::Task<> serve(sluice::EventLoop& loop, std::vector<sluice::PassedDescriptor> passed,
                     std::string host, sluice::Port port) {
    std::vector<sluice::Ref<sluice::Server>> servers;
    for (sluice::PassedDescriptor& one : passed) {
        if (one.name == "echo" && one.kind == sluice::DescriptorKind::stream_listener) {
            auto starting = loop.create_server<Echo>(std::move(one.descriptor));
            const auto server = co_await starting;
            servers.push_back(server);
        }
    }
    if (passed.empty()) {
        auto starting = loop.create_server<Echo>(std::move(host), std::move(port));
        const auto server = co_await starting;
        servers.push_back(server);
    }
    for (const auto& server : servers) {
        std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    }
    if (servers.empty()) {
        throw std::runtime_error("no listening socket of the name echo was passed");
    }
}

int main(int argc, char** argv) try {
    // Before anything opens a descriptor or starts a thread.
    auto passed = sluice::listen_fds();
    sluice::EventLoop loop;
    loop.run_until_complete(serve(loop, std::move(passed), argc > 1 ? argv[1] : "127.0.0.1",
                                  argc > 2 ? argv[2] : "8888"));
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "socket_activated: " << error.what() << '\n';
    return 1;
}
