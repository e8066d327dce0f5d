// The echo server the benchmarks and other tools drive: ours, one loop per thread, no work but the
// echo.
//
// Prints "listening on HOST:PORT" when it is ready; ends on SIGINT or SIGTERM.
#include <sluice/sluice.hpp>

#include "aligned_buffer.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

class Echo final : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }

private:
    sluice::Transport* transport_ = nullptr;
};

/// Receives into a buffer that all connections of the loop share: each echo is written before the
/// next read.
class BufferedEcho final : public sluice::BufferedProtocol {
public:
    explicit BufferedEcho(std::shared_ptr<bench::AlignedBuffer> buffer)
        : buffer_(std::move(buffer)) {}

    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    sluice::MutableBytes get_buffer(std::size_t) override {
        return std::as_writable_bytes(buffer_->bytes());
    }
    void buffer_updated(std::size_t byte_count) override {
        transport_->write(std::as_bytes(buffer_->bytes()).first(byte_count));
    }

private:
    std::shared_ptr<bench::AlignedBuffer> buffer_;
    sluice::Transport* transport_ = nullptr;
};

struct Arguments {
    std::string host = "127.0.0.1";
    std::string port = "0";
    std::string protocol = "simple";
    sluice::Backend backend = sluice::Backend::automatic;
    int threads = 1;
};

[[noreturn]] void usage(std::string_view problem) {
    std::fprintf(
        stderr,
        "echo_server: %.*s\nusage: echo_server [--host H] [--port P] [--backend automatic|epoll] "
        "[--threads N] [--protocol simple|buffered]\n",
        static_cast<int>(problem.size()), problem.data());
    std::exit(2);
}

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int index = 1; index < argc; index += 2) {
        const std::string_view name = argv[index];
        if (index + 1 == argc) {
            usage(std::string(name) + " needs a value");
        }
        const std::string value = argv[index + 1];
        if (name == "--host") {
            arguments.host = value;
        } else if (name == "--port") {
            arguments.port = value;
        } else if (name == "--threads") {
            arguments.threads = std::atoi(value.c_str());
            if (arguments.threads < 1) {
                usage("--threads must be at least 1, not " + value);
            }
        } else if (name == "--protocol") {
            if (value != "simple" && value != "buffered") {
                usage("--protocol is simple or buffered, not " + value);
            }
            arguments.protocol = value;
        } else if (name == "--backend") {
            if (value != "automatic" && value != "epoll") {
                usage("this build has no backend " + value);
            }
            arguments.backend =
                value == "epoll" ? sluice::Backend::epoll : sluice::Backend::automatic;
        } else {
            usage("unknown option " + std::string(name));
        }
    }
    return arguments;
}

sluice::Task<sluice::Ref<sluice::Server>> listen(sluice::EventLoop& loop,
                                                 const Arguments& arguments,
                                                 const sluice::Port& port) {
    auto options = sluice::ServerOptions().backlog(1024).reuse_port(arguments.threads > 1);
    if (arguments.protocol == "simple") {
        return loop.create_server<Echo>(arguments.host, port, options);
    }
    auto buffer = std::make_shared<bench::AlignedBuffer>(256 * 1024);
    return loop.create_server<BufferedEcho>(arguments.host, port, options, buffer);
}

/// A loop of its own on a port that other threads share; ends when the process does or `stopper`
/// asks it to.
void serve_on_thread(sluice::EventLoop& loop, const Arguments& arguments,
                     const sluice::Port& port) {
    loop.run_until_complete(listen(loop, arguments, port));
    loop.run_forever();
}

}  // namespace

int main(int argc, char** argv) try {
    const Arguments arguments = parse(argc, argv);
    sluice::EventLoop loop(arguments.backend);
    const auto server = loop.run_until_complete(listen(loop, arguments, arguments.port));
    const sluice::SocketAddress address = server->sockets().front().local_address();

    std::vector<std::unique_ptr<sluice::EventLoop>> others;
    std::vector<std::jthread> threads;
    for (int count = 1; count < arguments.threads; ++count) {
        others.push_back(std::make_unique<sluice::EventLoop>(arguments.backend));
        threads.emplace_back([&arguments, address, other = others.back().get()] {
            serve_on_thread(*other, arguments, address.port());
        });
    }
    for (const int signal_number : {SIGINT, SIGTERM}) {
        loop.add_signal_handler(signal_number, [&] {
            for (const auto& other : others) {
                other->call_soon_threadsafe([other = other.get()] { other->stop(); });
            }
            loop.stop();
        });
    }
    std::printf("listening on %s\n", address.to_string().c_str());
    std::fflush(stdout);
    loop.run_forever();
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "echo_server: %s\n", error.what());
    return 1;
}
