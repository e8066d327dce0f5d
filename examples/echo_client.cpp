// Sends a message and prints what comes back. Usage: echo_client host port [word...]
//
// A Future is the bridge between the two styles: callbacks complete it, a coroutine awaits it.
#include <sluice/sluice.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <utility>

class Client : public sluice::Protocol {
public:
    explicit Client(sluice::Future<> finished) : finished_(std::move(finished)) {}

    void data_received(sluice::Bytes data) override { std::cout << sluice::as_text(data); }

    void connection_lost(std::error_code reason) override {
        if (finished_.done()) {
            return;  // The task that awaited it was cancelled, and the future with it.
        }
        if (reason) {
            const std::system_error error(reason, "the connection broke");
            finished_.set_exception(std::make_exception_ptr(error));
        } else {
            finished_.set_result();
        }
    }

private:
    sluice::Future<> finished_;
};

sluice::Task<> talk(sluice::EventLoop& loop, std::string host, sluice::Port port,
                    std::string message) {
    const sluice::Future<> finished = loop.create_future();
    const auto connection = co_await loop.create_connection<Client>(
        std::move(host), std::move(port), sluice::ConnectOptions(), finished);
    connection.transport->write(message);
    connection.transport->write_eof();  // The server sees the end, answers, and hangs up.
    co_await finished;
}

int main(int argc, char** argv) try {
    if (argc < 3) {
        throw std::invalid_argument("usage: echo_client host port [word...]");
    }
    std::string message = argc > 3 ? argv[3] : "hello";
    for (int index = 4; index < argc; ++index) {
        message.append(" ").append(argv[index]);
    }
    message += '\n';
    sluice::EventLoop loop;
    loop.run_until_complete(talk(loop, argv[1], argv[2], std::move(message)));
} catch (const std::exception& error) {
    std::cerr << "echo_client: " << error.what() << '\n';
    return 1;
}
