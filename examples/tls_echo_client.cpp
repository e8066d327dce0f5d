// Sends a message over TLS, prints the answer. Usage: tls_echo_client host port authority message
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>
#include <utility>

class Client : public sluice::Protocol {
public:
    Client(std::string message, sluice::Future<> finished)
        : message_(std::move(message)), finished_(std::move(finished)) {}

    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override {
        answer_ += sluice::as_text(data);
        // TLS has no half-close: the answer has to say itself when it is complete.
        if (answer_.size() >= message_.size()) {
            std::cout << answer_;
            transport_->close();
        }
    }
    void connection_lost(std::error_code reason) override {
        if (answer_ != message_) {
            const std::system_error error(reason, "the answer is incomplete");
            finished_.try_set_exception(std::make_exception_ptr(error));
        }
        finished_.try_set_result();
    }

private:
    std::string message_;
    std::string answer_;
    sluice::Future<> finished_;
    sluice::Transport* transport_ = nullptr;
};

sluice::Task<> talk(sluice::EventLoop& loop, std::string host, sluice::Port port,
                    std::string authority_file, std::string message) {
    const sluice::Future<> finished = loop.create_future();
    auto trust = sluice::TlsOptions().certificate_authority_file(std::move(authority_file));
    auto options = sluice::ConnectOptions().tls(sluice::TlsContext::client(std::move(trust)));
    auto connecting = loop.create_connection<Client>(std::move(host), std::move(port),
                                                     std::move(options), message, finished);
    const auto connection = co_await connecting;
    connection.transport->write(message);
    co_await finished;
}

int main(int argc, char** argv) try {
    if (argc < 5) {
        throw std::invalid_argument("usage: tls_echo_client host port authority message");
    }
    sluice::EventLoop loop;
    loop.run_until_complete(talk(loop, argv[1], argv[2], argv[3], std::string(argv[4]) + "\n"));
} catch (const std::exception& error) {
    std::cerr << "tls_echo_client: " << error.what() << '\n';
    return 1;
}
