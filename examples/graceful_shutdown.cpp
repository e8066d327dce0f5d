// Ends well: on SIGTERM or SIGINT no new client is accepted, those that are there get some time to
// finish, the exit code is 0. Usage: graceful_shutdown [host [port [seconds]]]
#include <sluice/sluice.hpp>

#include <chrono>
#include <csignal>
#include <iostream>
#include <string>
#include <utility>

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::Transport* transport_ = nullptr;
};

sluice::Task<> serve(sluice::EventLoop& loop, std::string host, sluice::Port port,
                     std::chrono::seconds deadline) {
    const sluice::Future<> asked_to_stop = loop.create_future();
    for (const int signal_number : {SIGTERM, SIGINT}) {
        loop.add_signal_handler(signal_number, [asked_to_stop] {
            if (!asked_to_stop.done()) {
                asked_to_stop.set_result();
            }
        });
    }
    const auto server = co_await loop.create_server<Echo>(std::move(host), std::move(port));
    const sluice::SocketAddress address = server->sockets().front().local_address();
    std::cout << "listening on " << address.to_string() << '\n' << std::flush;

    co_await asked_to_stop;
    server->close();
    std::cout << "waiting for " << server->connection_count() << " clients\n" << std::flush;
    const bool all_finished = co_await server->drain(deadline);
    std::cout << (all_finished ? "all have finished\n" : "the deadline cut some off\n");
}

int main(int argc, char** argv) {
    const std::chrono::seconds deadline(argc > 3 ? std::stoi(argv[3]) : 10);
    sluice::EventLoop loop;
    loop.run_until_complete(
        serve(loop, argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888", deadline));
}
