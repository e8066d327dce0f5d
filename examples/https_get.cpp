// Fetches a page, or says why not to trust the server. Usage: https_get host port path [authority]
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>
#include <utility>

class Page : public sluice::Protocol {
public:
    Page(std::string request, sluice::Future<> finished)
        : request_(std::move(request)), finished_(std::move(finished)) {}

    void connection_made(sluice::Transport& transport) override {
        const auto info = transport.get_extra_info(sluice::extra::tls);
        std::cerr << info.version() << ' ' << info.cipher() << ", certificate of "
                  << info.peer_certificate()->subject << '\n';
        transport.write(request_);
    }
    void data_received(sluice::Bytes data) override { std::cout << sluice::as_text(data); }
    void connection_lost(std::error_code reason) override {
        // Without close_notify somebody may have cut the page short: that is Error::tls_truncated.
        if (reason) {
            const std::system_error error(reason, "the page may be incomplete");
            finished_.try_set_exception(std::make_exception_ptr(error));
        }
        finished_.try_set_result();
    }

private:
    std::string request_;
    sluice::Future<> finished_;
};

sluice::Task<> get(sluice::EventLoop& loop, std::string host, sluice::Port port, std::string path,
                   sluice::TlsContext context) {
    const sluice::Future<> finished = loop.create_future();
    std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + host + "\r\n\r\n";
    auto options = sluice::ConnectOptions().tls(std::move(context));
    auto connecting = loop.create_connection<Page>(
        std::move(host), std::move(port), std::move(options), std::move(request), finished);
    co_await connecting;
    co_await finished;
}

int main(int argc, char** argv) try {
    if (argc < 4) {
        throw std::invalid_argument("usage: https_get host port path [authority]");
    }
    sluice::TlsOptions trust;  // The system's authorities, unless one is named.
    if (argc > 4) {
        trust.certificate_authority_file(argv[4]);
    }
    sluice::EventLoop loop;
    loop.run_until_complete(
        get(loop, argv[1], argv[2], argv[3], sluice::TlsContext::client(std::move(trust))));
} catch (const std::exception& error) {
    std::cerr << "https_get: " << error.what() << '\n';
    return 1;
}
