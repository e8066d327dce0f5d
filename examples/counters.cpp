// An echo server that tells on SIGUSR1 what it has done so far. Usage: counters [host [port]]
#include <sluice/sluice.hpp>

#include <algorithm>
#include <csignal>
#include <set>

#include <fmt/chrono.h>

class Echo : public sluice::Protocol {
public:
    using Open = std::set<sluice::Transport*>;
    explicit Echo(Open* open) : open_(open) {}
    void connection_made(sluice::Transport& transport) override {
        transport_ = *open_->insert(&transport).first;
    }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void connection_lost(std::error_code) override { open_->erase(transport_); }

private:
    Open* open_;
    sluice::Transport* transport_ = nullptr;
};

class LagMeter : public sluice::LoopObserver {
public:
    void on_iteration(std::chrono::nanoseconds, std::chrono::nanoseconds ran,
                      std::size_t) noexcept override {
        longest = std::max(longest, ran);
    }
    std::chrono::nanoseconds longest{};
};

int main(int argc, char** argv) {
    Echo::Open open;
    LagMeter lag;
    sluice::EventLoop loop;
    loop.set_observer(&lag);
    const auto server = loop.run_until_complete(loop.create_server<Echo>(
        argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888", {}, &open));
    loop.add_signal_handler(SIGUSR1, [&] {
        const sluice::LoopCounters all = loop.counters();
        fmt::print("loop: {} iterations, {} timers, {} receives, {} sends, longest stretch {}\n",
                   all.iterations, all.timers_pending, all.receive_calls, all.send_calls,
                   std::chrono::duration_cast<std::chrono::microseconds>(lag.longest));
        const auto mine = server->counters();
        fmt::print("server: {} accepted, {} open\n", mine.accepted, mine.open);
        for (const sluice::Transport* transport : open) {
            const auto bytes = transport->get_extra_info(sluice::extra::counters);
            fmt::print("{}: {} bytes in, {} bytes out, {} unsent\n",
                       transport->get_extra_info(sluice::extra::peername).to_string(),
                       bytes.bytes_received, bytes.bytes_sent, transport->get_write_buffer_size());
        }
        std::fflush(stdout);
    });
    fmt::print("listening on {}\n", server->local_address().to_string());
    std::fflush(stdout);
    loop.run_forever();
}
