// A server that knows its clients: each must show a certificate of the given authority, and is
// greeted by the name in it. Usage: mtls certificate.pem key.pem client_authority.pem [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>

class Greeter : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override {
        const auto info = transport.get_extra_info(sluice::extra::tls);
        // Required and verified, so it is there.
        transport.write("hello " + info.peer_certificate()->subject + "\n");
        transport.close();
    }
    void data_received(sluice::Bytes) override {}
};

int main(int argc, char** argv) try {
    if (argc < 4) {
        throw std::invalid_argument("usage: mtls certificate key client_authority [host [port]]");
    }
    auto tls = sluice::TlsOptions().certificate_authority_file(argv[3]).client_certificates(
        sluice::ClientCertificates::required);
    auto options =
        sluice::ServerOptions().tls(sluice::TlsContext::server(argv[1], argv[2], std::move(tls)));
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(loop.create_server<Greeter>(
        argc > 4 ? argv[4] : "127.0.0.1", argc > 5 ? argv[5] : "8443", std::move(options)));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "mtls: " << error.what() << '\n';
    return 1;
}
