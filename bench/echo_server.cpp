// The echo server the benchmarks and other tools drive: ours, one loop per thread, no work but the
// echo.
//
// Prints "listening on HOST:PORT" when it is ready; ends on SIGINT or SIGTERM.
#include <sluice/sluice.hpp>

#include "aligned_buffer.hpp"
#include "backend_argument.hpp"

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

/// What every variant does besides: a client that does not read its answers is not read from.
template <class Base>
class PausingProtocol : public Base {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

protected:
    sluice::Transport* transport_ = nullptr;
};

class Echo final : public PausingProtocol<sluice::Protocol> {
public:
    void data_received(sluice::Bytes data) override { transport_->write(data); }
};

/// Writes once per message of a fixed size, as a server that answers requests would.
class SplitEcho final : public PausingProtocol<sluice::Protocol> {
public:
    explicit SplitEcho(std::size_t message_bytes) : message_bytes_(message_bytes) {}
    void data_received(sluice::Bytes data) override {
        while (!data.empty()) {
            const std::size_t count = std::min(message_bytes_, data.size());
            transport_->write(data.first(count));
            data = data.subspan(count);
        }
    }

private:
    std::size_t message_bytes_;
};

/// Reads and drops: the receiving end of one-way traffic.
class Sink final : public sluice::Protocol {
public:
    void data_received(sluice::Bytes) override {}
};

/// Receives into a buffer that all connections of the loop share: each echo is written before the
/// next read.
class BufferedEcho final : public PausingProtocol<sluice::BufferedProtocol> {
public:
    explicit BufferedEcho(std::shared_ptr<bench::AlignedBuffer> buffer)
        : buffer_(std::move(buffer)) {}
    sluice::MutableBytes get_buffer(std::size_t) override {
        return std::as_writable_bytes(buffer_->bytes());
    }
    void buffer_updated(std::size_t byte_count) override {
        transport_->write(std::as_bytes(buffer_->bytes()).first(byte_count));
    }

private:
    std::shared_ptr<bench::AlignedBuffer> buffer_;
};

/// Coroutines in place of a protocol: answers lines.
sluice::Task<> echo_lines(sluice::StreamReader reader, sluice::StreamWriter writer) {
    try {
        for (;;) {
            const std::string line = co_await reader.readuntil();
            writer.write(line);
            co_await writer.drain();
        }
    } catch (const sluice::IncompleteReadError&) {
        // The client is done.
    } catch (const std::system_error&) {
        // Or gone.
    }
}

struct Arguments {
    std::string host = "127.0.0.1";
    std::string port = "0";
    std::string protocol = "simple";
    std::string mode = "echo";
    std::size_t split_bytes = 0;  // 0: one write for whatever arrived
    sluice::Backend backend = sluice::Backend::automatic;
    int threads = 1;
    bool tls = false;
    std::string certificate_file;
    std::string key_file;
};

[[noreturn]] void usage(std::string_view problem) {
    std::fprintf(
        stderr,
        "echo_server: %.*s\nusage: echo_server [--host H] [--port P] [--backend "
        "automatic|epoll|io_uring] "
        "[--threads N] [--protocol simple|buffered|streams] [--mode echo|sink] [--split BYTES] "
        "[--tls --cert FILE --key FILE]\n",
        static_cast<int>(problem.size()), problem.data());
    std::exit(2);
}

void set(Arguments& arguments, std::string_view name, const std::string& value) {
    const auto one_of = [&](std::string_view first, std::string_view second) {
        if (value != first && value != second) {
            usage(std::string(name).append(" cannot be ").append(value));
        }
    };
    if (name == "--host") {
        arguments.host = value;
    } else if (name == "--port") {
        arguments.port = value;
    } else if (name == "--threads") {
        arguments.threads = std::atoi(value.c_str());
        if (arguments.threads < 1) {
            usage("--threads must be at least 1, not " + value);
        }
    } else if (name == "--cert") {
        arguments.certificate_file = value;
    } else if (name == "--key") {
        arguments.key_file = value;
    } else if (name == "--split") {
        arguments.split_bytes = std::strtoul(value.c_str(), nullptr, 10);
    } else if (name == "--protocol") {
        if (value != "streams") {
            one_of("simple", "buffered");
        }
        arguments.protocol = value;
    } else if (name == "--mode") {
        one_of("echo", "sink");
        arguments.mode = value;
    } else if (name == "--backend") {
        arguments.backend = bench::backend_argument(value);
    } else {
        usage("unknown option " + std::string(name));
    }
}

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    for (int index = 1; index < argc; index += 2) {
        if (std::string_view(argv[index]) == "--tls") {
            arguments.tls = true;
            --index;
            continue;
        }
        if (index + 1 == argc) {
            usage(std::string(argv[index]) + " needs a value");
        }
        set(arguments, argv[index], argv[index + 1]);
    }
    if (arguments.tls != !arguments.certificate_file.empty() ||
        arguments.tls != !arguments.key_file.empty()) {
        usage("--tls, --cert and --key belong together");
    }
    return arguments;
}

sluice::Task<sluice::Ref<sluice::Server>> listen(sluice::EventLoop& loop,
                                                 const Arguments& arguments,
                                                 const sluice::Port& port) {
    auto options = sluice::ServerOptions().backlog(1024).reuse_port(arguments.threads > 1);
    if (arguments.tls) {
        options.tls(sluice::TlsContext::server(arguments.certificate_file, arguments.key_file));
    }
    if (arguments.mode == "sink") {
        return loop.create_server<Sink>(arguments.host, port, options);
    }
    if (arguments.split_bytes != 0) {
        return loop.create_server<SplitEcho>(arguments.host, port, options, arguments.split_bytes);
    }
    if (arguments.protocol == "streams") {
        // No message of the benchmark is longer than this limit.
        return sluice::start_server(&echo_lines, arguments.host, port, options, 1024 * 1024);
    }
    if (arguments.protocol == "simple") {
        return loop.create_server<Echo>(arguments.host, port, options);
    }
    auto buffer = std::make_shared<bench::AlignedBuffer>(256 * 1024);
    return loop.create_server<BufferedEcho>(arguments.host, port, options, buffer);
}

}  // namespace

int main(int argc, char** argv) try {
    const Arguments arguments = parse(argc, argv);
    sluice::EventLoop loop(arguments.backend);
    bench::require_backend(loop, arguments.backend);
    const auto server = loop.run_until_complete(listen(loop, arguments, arguments.port));
    const sluice::SocketAddress address = server->local_address();

    // Every loop listens before the address is announced, so that the kernel spreads from the first connection on.
    std::vector<std::unique_ptr<sluice::EventLoop>> others;
    for (int count = 1; count < arguments.threads; ++count) {
        others.push_back(std::make_unique<sluice::EventLoop>(arguments.backend));
        others.back()->run_until_complete(listen(*others.back(), arguments, address.port()));
    }
    std::vector<std::jthread> threads;
    threads.reserve(others.size());
    for (const auto& other : others) {
        threads.emplace_back([loop_of_thread = other.get()] { loop_of_thread->run_forever(); });
    }
    for (const int signal_number : {SIGINT, SIGTERM}) {
        loop.add_signal_handler(signal_number, [&] {
            for (const auto& other : others) {
                other->call_soon_threadsafe([stopped = other.get()] { stopped->stop(); });
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
