// Forwards connections. While one side cannot send, the other is not read, so that a slow reader
// does not fill the proxy's memory. Each direction ends on its own.
#include <sluice/sluice.hpp>

#include <iostream>

class Side : public sluice::Protocol {
public:
    explicit Side(char** target = nullptr) : target_(target) {}
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        if (target_ != nullptr) {
            transport.pause_reading();  // Until there is somebody to write to.
            sluice::EventLoop::running()->create_task(connect(sluice::Ref(&transport)));
        }
    }
    void data_received(sluice::Bytes data) override { other_->transport_->write(data); }
    void pause_writing() override { other_->transport_->pause_reading(); }
    void resume_writing() override { other_->transport_->resume_reading(); }
    bool eof_received() override {
        ended_ = true;
        other_->transport_->write_eof();
        return !other_->ended_;  // True keeps this side open for what the other still sends.
    }
    void connection_lost(std::error_code) override {
        other_->other_ = other_;  // The other is on its own now: it sends the rest and closes.
        other_->transport_->close();
    }

private:
    // The reference keeps the transport, and so the protocol it owns, until the coroutine ends.
    sluice::Task<> connect(sluice::Ref<sluice::Transport> accepted) {
        try {
            auto& loop = *sluice::EventLoop::running();
            const auto target = co_await loop.create_connection<Side>(target_[0], target_[1]);
            (other_ = target.protocol)->other_ = this;
            accepted->resume_reading();
        } catch (const std::system_error& error) {
            std::cerr << error.what() << '\n';
            accepted->abort();
        }
    }
    char** target_;  // Host and port; null for the side that connected to them.
    sluice::Transport* transport_ = nullptr;
    Side* other_ = this;
    bool ended_ = false;
};

int main(int argc, char** argv) {
    if (argc != 5) {
        std::cerr << "usage: tcp_proxy host port target_host target_port\n";
        return 2;
    }
    sluice::EventLoop loop;
    auto server = loop.run_until_complete(loop.create_server<Side>(argv[1], argv[2], {}, argv + 3));
    const sluice::SocketAddress address = server->sockets().front().local_address();
    std::cout << "listening on " << address.to_string() << '\n' << std::flush;
    loop.run_forever();
}
