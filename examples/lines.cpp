// A protocol of lines: answers each with its length, says goodbye to "quit" and to who is silent for
// too long. Usage: lines [host [port [milliseconds]]]
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>

class Lines : public sluice::Protocol {
public:
    explicit Lines(std::chrono::milliseconds patience) : patience_(patience) {}
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        wait_for_line();
    }
    void data_received(sluice::Bytes data) override {
        input_ += sluice::as_text(data);
        std::size_t end = 0;
        while (!transport_->is_closing() && (end = input_.find('\n')) != std::string::npos) {
            line_received(input_.substr(0, end));
            input_.erase(0, end + 1);
        }
        if (input_.size() > 1000) {
            transport_->abort();  // Nobody types that much: memory stays bounded.
        }
    }
    void connection_lost(std::error_code) override { silence_.cancel(); }

private:
    void line_received(const std::string& line) {
        if (line == "quit") {
            return end("goodbye\n");
        }
        wait_for_line();
        transport_->write(std::to_string(line.size()) + '\n');
    }
    void wait_for_line() {
        silence_.cancel();
        silence_ = sluice::EventLoop::running()->call_later(patience_,
                                                            [this] { end("too slow, goodbye\n"); });
    }
    void end(std::string_view last_words) {
        transport_->write(last_words);
        transport_->close();  // After what was written has been sent.
    }
    std::chrono::milliseconds patience_;
    sluice::TimerHandle silence_;
    sluice::Transport* transport_ = nullptr;
    std::string input_;
};

int main(int argc, char** argv) {
    const std::chrono::milliseconds patience(argc > 3 ? std::stoi(argv[3]) : 60'000);
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(loop.create_server<Lines>(
        argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888", {}, patience));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
