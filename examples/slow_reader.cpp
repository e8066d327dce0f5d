// Sends each client numbered lines for as long as it reads, as fast as it reads, and tells afterwards
// how much was unsent at most. Usage: slow_reader [host [port]]
#include <sluice/sluice.hpp>

#include <algorithm>
#include <iostream>
#include <string>

class Feed : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        produce();
    }
    void data_received(sluice::Bytes) override {}
    void pause_writing() override { paused_ = true; }
    void resume_writing() override {
        paused_ = false;
        produce();
    }
    void connection_lost(std::error_code) override {
        next_.cancel();
        std::cout << number_ << " lines, at most " << most_unsent_ << " bytes unsent\n"
                  << std::flush;
    }

private:
    // A thousand lines at a time: a client that reads fast must not keep the loop from the others.
    void produce() {
        next_.cancel();
        for (int count = 0; count < 1000 && !paused_; ++count) {
            transport_->write("line " + std::to_string(++number_) + '\n');
            most_unsent_ = std::max(most_unsent_, transport_->get_write_buffer_size());
        }
        if (!paused_) {
            next_ = sluice::EventLoop::running()->call_soon([this] { produce(); });
        }
    }

    sluice::Transport* transport_ = nullptr;
    sluice::Handle next_;
    bool paused_ = false;
    std::size_t number_ = 0;
    std::size_t most_unsent_ = 0;
};

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(
        loop.create_server<Feed>(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888"));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
