// Begins in plain text, turns to TLS on STARTTLS. Usage: start_tls certificate key [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>
#include <utility>

class Dialogue : public sluice::Protocol {
public:
    Dialogue(sluice::EventLoop* loop, sluice::TlsContext context)
        : loop_(*loop), context_(std::move(context)) {}
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        transport.write("220 ready\r\n");
    }
    void data_received(sluice::Bytes data) override {
        text_ += sluice::as_text(data);
        for (std::size_t end = 0; (end = text_.find("\r\n")) != std::string::npos;) {
            const std::string line = text_.substr(0, end);
            text_.erase(0, end + 2);
            if (line == "STARTTLS" && !upgrading_) {
                transport_->write("220 go ahead\r\n");
                transport_->pause_reading();  // What comes now is not for us to read.
                upgrading_ = loop_.create_task(upgrade());
                return;
            }
            transport_->write((upgrading_ ? "250 in secret: " : "250 in plain: ") + line + "\r\n");
        }
        if (text_.size() > 1000) {
            transport_->abort();  // A line without an end would fill the memory.
        }
    }

private:
    sluice::Task<> upgrade() {
        sluice::Ref<sluice::Transport> plain(transport_);
        // What stands behind the command must be TLS already; as text it would be an injection.
        auto options = sluice::StartTlsOptions().received(sluice::as_bytes(text_));
        text_.clear();
        auto securing = loop_.start_tls(std::move(plain), context_, std::move(options));
        const sluice::Ref<sluice::Transport> secure = co_await securing;
        transport_ = secure.get();
    }

    sluice::EventLoop& loop_;
    sluice::TlsContext context_;
    sluice::Transport* transport_ = nullptr;
    sluice::TaskHandle<void> upgrading_;
    std::string text_;
};

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    auto context = sluice::TlsContext::server(argc > 2 ? argv[1] : "", argc > 2 ? argv[2] : "");
    const auto server = loop.run_until_complete(loop.create_server<Dialogue>(
        argc > 3 ? argv[3] : "127.0.0.1", argc > 4 ? argv[4] : "8025", {}, &loop, context));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
