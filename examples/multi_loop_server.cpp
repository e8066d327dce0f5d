// One event loop per thread, all on one port; the kernel spreads the connections over them.
// Usage: multi_loop_server [host [port [loops]]]
//
// The loops share nothing. Other threads may call one function of a loop: call_soon_threadsafe().
#include <sluice/sluice.hpp>

#include <csignal>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

class Echo : public sluice::Protocol {
public:
    explicit Echo(std::size_t loop_number) : loop_number_(loop_number) {}

    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        transport_->write("served by loop " + std::to_string(loop_number_) + "\n");
    }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    std::size_t loop_number_;
    sluice::Transport* transport_ = nullptr;
};

int main(int argc, char** argv) {
    const std::string host = argc > 1 ? argv[1] : "127.0.0.1";
    sluice::Port port = argc > 2 ? argv[2] : "8888";
    std::vector<sluice::EventLoop> loops(argc > 3 ? std::stoul(argv[3]) : 2);

    for (std::size_t number = 0; number < loops.size(); ++number) {
        const auto server = loops[number].run_until_complete(loops[number].create_server<Echo>(
            host, port, sluice::ServerOptions().reuse_port(true), number));
        port = server->sockets().front().local_address().port();  // If 0, the system has chosen.
    }
    for (const int signal_number : {SIGINT, SIGTERM}) {
        loops.front().add_signal_handler(signal_number, [&loops] {
            for (sluice::EventLoop& loop : loops) {
                loop.call_soon_threadsafe([&loop] { loop.stop(); });
            }
        });
    }
    std::cout << "listening on " << host << ':' << port.to_string() << '\n' << std::flush;

    std::vector<std::thread> threads;
    for (std::size_t number = 1; number < loops.size(); ++number) {
        threads.emplace_back([&loop = loops[number]] { loop.run_forever(); });
    }
    loops.front().run_forever();
    for (std::thread& thread : threads) {
        thread.join();
    }
}
