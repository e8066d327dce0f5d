// Work that takes long belongs on another thread: counts the primes below each number it is sent, one
// a line, and stays responsive meanwhile. Usage: worker [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>
#include <vector>

std::size_t primes_below(std::size_t end) {
    std::vector<bool> composite(end);
    std::size_t count = 0;
    for (std::size_t number = 2; number < end; ++number) {
        if (!composite[number]) {
            ++count;
            for (std::size_t multiple = 2 * number; multiple < end; multiple += number) {
                composite[multiple] = true;
            }
        }
    }
    return count;
}

class Counter : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override {
        for (const char character : sluice::as_text(data)) {
            if (character >= '0' && character <= '9' && number_ < 10'000'000) {
                number_ = 10 * number_ + static_cast<std::size_t>(character - '0');
            } else if (character == '\n') {
                transport_->pause_reading();  // One question at a time from each client.
                auto& loop = *sluice::EventLoop::running();
                loop.create_task(answer(loop, sluice::Ref(transport_), number_));
                number_ = 0;
            }
        }
    }

private:
    // The Ref keeps the transport while the work is under way, even if the client has left by then.
    static sluice::Task<> answer(sluice::EventLoop& loop, sluice::Ref<sluice::Transport> client,
                                 std::size_t end) {
        const sluice::Future<std::size_t> counted =
            loop.run_in_executor([end] { return primes_below(end); });
        const std::size_t count = co_await counted;
        client->write(std::to_string(count) + " primes below " + std::to_string(end) + '\n');
        client->resume_reading();
    }
    sluice::Transport* transport_ = nullptr;
    std::size_t number_ = 0;
};

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(
        loop.create_server<Counter>(argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888"));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
