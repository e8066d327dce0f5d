// A server whose certificate is replaced while it runs: on SIGHUP the files are read again. When
// they are no good, the old ones stay. Usage: cert_reload certificate.pem key.pem [host [port]]
#include <sluice/sluice.hpp>

#include <csignal>
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
        throw std::invalid_argument("usage: cert_reload certificate key [host [port]]");
    }
    // A context is a handle: the server's copy and this one are the same.
    sluice::TlsContext context = sluice::TlsContext::server(argv[1], argv[2]);
    sluice::EventLoop loop;
    loop.add_signal_handler(SIGHUP, [&context] {
        try {
            context.reload();
            std::cout << "reloaded\n" << std::flush;
        } catch (const sluice::TlsConfigError& error) {
            std::cout << "kept the old certificate: " << error.what() << '\n' << std::flush;
        }
    });
    const auto server = loop.run_until_complete(
        loop.create_server<Echo>(argc > 3 ? argv[3] : "127.0.0.1", argc > 4 ? argv[4] : "8443",
                                 sluice::ServerOptions().tls(context)));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "cert_reload: " << error.what() << '\n';
    return 1;
}
