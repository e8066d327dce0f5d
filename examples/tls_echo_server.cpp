// An echo server over TLS. Usage: tls_echo_server certificate.pem key.pem [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::Transport* transport_ = nullptr;
};

int main(int argc, char** argv) try {
    if (argc < 3) {
        throw std::invalid_argument("usage: tls_echo_server certificate key [host [port]]");
    }
    sluice::EventLoop loop;
    auto options = sluice::ServerOptions().tls(sluice::TlsContext::server(argv[1], argv[2]));
    const auto server = loop.run_until_complete(loop.create_server<Echo>(
        argc > 3 ? argv[3] : "127.0.0.1", argc > 4 ? argv[4] : "8443", std::move(options)));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "tls_echo_server: " << error.what() << '\n';
    return 1;
}
