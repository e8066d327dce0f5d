// Our server of the benchmark's mode pieces: gives back what it receives with writelines, in pieces of 64 bytes. A
// program of its own, because nothing else is measured with it.
//
// Prints "listening on HOST:PORT" when it is ready; ends with the program that started it.
#include <sluice/sluice.hpp>

#include "backend_argument.hpp"
#include "server_support.hpp"

namespace {

class PiecesEcho final : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override {
        pieces_.clear();
        const std::string_view text = sluice::as_text(data);
        bench::for_each_piece(text.data(), text.size(), [this](const char* begin, std::size_t n) {
            pieces_.push_back(sluice::as_bytes(std::string_view(begin, n)));
        });
        transport_->writelines(pieces_);
    }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

private:
    sluice::Transport* transport_ = nullptr;
    std::vector<sluice::Bytes> pieces_;
};

struct Arguments {
    std::string host = "127.0.0.1";
    std::string port = "0";
    sluice::Backend backend = sluice::Backend::automatic;
};

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string value = argv[i + 1];
        if (name == "--host") {
            arguments.host = value;
        } else if (name == "--port") {
            arguments.port = value;
        } else if (name == "--backend") {
            arguments.backend = bench::backend_argument(value);
        } else if (name != "--mode" || value != "pieces") {
            throw std::invalid_argument("unknown option or value: " + std::string(name) + " " +
                                        value);
        }
    }
    return arguments;
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_program(argv[0], [&] {
        bench::end_with_parent();
        const Arguments arguments = parse(argc, argv);
        sluice::EventLoop loop(arguments.backend);
        bench::require_backend(loop, arguments.backend);
        const auto server = loop.run_until_complete(loop.create_server<PiecesEcho>(
            arguments.host, arguments.port, sluice::ServerOptions().backlog(1024)));
        std::printf("listening on %s\n", server->local_address().to_string().c_str());
        std::fflush(stdout);
        loop.run_forever();
    });
}
