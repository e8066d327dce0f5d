// Talks to a server from a terminal or a pipe: what is typed goes there, what comes back is printed.
// Usage: stdin_chat [host [port]]
//
// Three transports in a row, each read no faster than the next takes; an end goes all the way.
#include <sluice/sluice.hpp>

#include <iostream>

#include <unistd.h>

class End : public sluice::Protocol {
public:
    explicit End(const sluice::Connection<End>& to) : to_(to.protocol), sink_(to.transport) {}
    explicit End(sluice::Future<> gone) : gone_(std::move(gone)) {}
    void connection_made(sluice::Transport& transport) override {
        if (to_ != nullptr) {
            to_->source_ = sluice::Ref(&transport);
        }
    }
    void data_received(sluice::Bytes data) override { sink_->write(data); }
    void pause_writing() override { source_->pause_reading(); }
    void resume_writing() override { source_->resume_reading(); }
    void connection_lost(std::error_code reason) override {
        if (reason) {
            std::cerr << "stdin_chat: " << reason.message() << '\n';
        }
        if (const auto source = std::exchange(source_, {})) {
            source->close();
        }
        if (sink_) {
            sink_->write_eof();
        }
        gone_.try_set_result();
    }

private:
    End* to_ = nullptr;  // Lives as long as its transport, which is sink_.
    sluice::Ref<sluice::Transport> sink_, source_;
    sluice::Future<> gone_;
};

sluice::Task<> chat(sluice::EventLoop& loop, std::string host, sluice::Port port) {
    const sluice::Future<> printed = loop.create_future();
    // Duplicates of standard output and input, because a transport closes what it was given.
    const auto out = co_await loop.connect_write_pipe<End>(sluice::Descriptor(dup(1)), printed);
    const auto server = co_await loop.create_connection<End>(std::move(host), std::move(port),
                                                             sluice::ConnectOptions(), out);
    const auto in = co_await loop.connect_read_pipe<End>(sluice::Descriptor(dup(0)), server);
    co_await printed;
}

int main(int argc, char** argv) try {
    sluice::EventLoop loop;
    loop.run_until_complete(
        chat(loop, argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888"));
} catch (const std::exception& error) {
    std::cerr << "stdin_chat: " << error.what() << '\n';
    return 1;
}
