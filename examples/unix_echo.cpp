// Server and client on one Unix socket, in one loop. Usage: unix_echo path [word...]
//
// Who the client is comes from the system, not from the client.
#include <sluice/sluice.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <utility>

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        const auto client = transport.get_extra_info(sluice::extra::peer_credentials);
        transport.write("hello, process " + std::to_string(client.pid) + "\n");
    }
    void data_received(sluice::Bytes data) override { transport_->write(data); }

private:
    sluice::Transport* transport_ = nullptr;
};

class Client : public sluice::Protocol {
public:
    explicit Client(sluice::Future<> finished) : finished_(std::move(finished)) {}
    void data_received(sluice::Bytes data) override { std::cout << sluice::as_text(data); }
    void connection_lost(std::error_code) override { finished_.try_set_result(); }

private:
    sluice::Future<> finished_;
};

sluice::Task<> talk(sluice::EventLoop& loop, std::string path, std::string message) {
    auto options = sluice::ServerOptions().permissions(0600);  // For nobody but this user.
    const auto server = co_await loop.create_unix_server<Echo>(path, std::move(options));
    const sluice::Future<> finished = loop.create_future();
    const auto connection =
        co_await loop.create_unix_connection<Client>(path, sluice::ConnectOptions(), finished);
    connection.transport->write(message);
    connection.transport->write_eof();  // The server sees the end, and hangs up.
    co_await finished;
    server->close();  // The file goes with it.
}

int main(int argc, char** argv) try {
    if (argc < 2) {
        throw std::invalid_argument("usage: unix_echo path [word...]");
    }
    std::string message = argc > 2 ? argv[2] : "hello";
    for (int index = 3; index < argc; ++index) {
        message.append(" ").append(argv[index]);
    }
    sluice::EventLoop loop;
    loop.run_until_complete(talk(loop, argv[1], message + "\n"));
} catch (const std::exception& error) {
    std::cerr << "unix_echo: " << error.what() << '\n';
    return 1;
}
