// What every echo server written for the benchmark shares: its command line, its listening socket and its one line of
// output. Everything that is measured stays in the servers themselves, so that each is read as one whole program.
//
//   --host ADDRESS     IPv4 literal, default 127.0.0.1
//   --port NUMBER      default 0: the kernel chooses
//   --threads NUMBER   loops that share the port, default 1
//   --mode echo|sink|pieces   sink reads and drops, pieces echoes as a list of small pieces; default echo
//   --buffer BYTES     size of the receive buffer, 0 for the server's own choice
#pragma once

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

struct ServerOptions {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    unsigned threads = 1;
    bool sink = false;
    bool pieces = false;
    std::size_t buffer_bytes = 0;
};

/// In the mode pieces an answer is given to the library as pieces of this size, the last one shorter: what a server does
/// that puts an answer together from headers, fields and separators.
inline constexpr std::size_t piece_bytes = 64;

/// Calls `add(begin, size)` for each piece of `bytes`.
template <typename Add>
void for_each_piece(const char* bytes, std::size_t count, const Add& add) {
    for (std::size_t done = 0; done < count; done += piece_bytes) {
        add(bytes + done, std::min(piece_bytes, count - done));
    }
}

inline unsigned long number_argument(std::string_view name, const char* text, unsigned long most) {
    char* end = nullptr;
    const unsigned long value = std::strtoul(text, &end, 10);
    if (end == text || *end != '\0' || *text == '-' || value > most) {
        throw std::invalid_argument(std::string(name) + ": expected a number up to " +
                                    std::to_string(most) + ", got '" + text + "'");
    }
    return value;
}

inline bool is_mode(std::string_view text) {
    return text == "echo" || text == "sink" || text == "pieces";
}

inline ServerOptions parse_server_options(int argc, char** argv) {
    ServerOptions options;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (i + 1 == argc) {
            throw std::invalid_argument(std::string(name) + ": a value is missing");
        }
        const char* value = argv[i + 1];
        if (name == "--host") {
            options.host = value;
        } else if (name == "--port") {
            options.port = static_cast<std::uint16_t>(number_argument(name, value, 65535));
        } else if (name == "--threads") {
            options.threads = static_cast<unsigned>(number_argument(name, value, 64));
        } else if (name == "--buffer") {
            options.buffer_bytes = number_argument(name, value, 64UL * 1024 * 1024);
        } else if (name == "--mode" && is_mode(value)) {
            options.sink = std::string_view(value) == "sink";
            options.pieces = std::string_view(value) == "pieces";
        } else {
            throw std::invalid_argument("unknown option or value: " + std::string(name) + " " +
                                        value);
        }
    }
    return options;
}

/// A server must not outlive the program that measures it, however that one ends.
inline void end_with_parent() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/// A non-blocking listening socket. All loops of one server bind the same port: the first call may pass port 0, the
/// others pass what bound_port() says.
inline int listen_on(const ServerOptions& options, std::uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) {
        throw std::invalid_argument("--host: expected an IPv4 address, got '" + options.host + "'");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (options.threads > 1) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        throw std::system_error(errno, std::generic_category(), "listening");
    }
    return fd;
}

inline std::uint16_t bound_port(int fd) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
    return ntohs(address.sin_port);
}

/// Calls what is a program's main function. What that throws is printed; gives the exit status: 2 for a wrong argument,
/// 1 for any other failure.
template <typename Main>
int run_program(const char* name, const Main& main) {
    try {
        main();
        return 0;
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
}

/// A server's main function: calls `serve(listener, options)`, which does not return, once on each thread, after saying
/// where it listens.
template <typename Serve>
int serve_on_threads(int argc, char** argv, const Serve& serve) {
    end_with_parent();
    return run_program(argv[0], [&] {
        const ServerOptions options = parse_server_options(argc, argv);
        std::vector<int> listeners{listen_on(options, options.port)};
        const std::uint16_t port = bound_port(listeners.front());
        while (listeners.size() < options.threads) {
            listeners.push_back(listen_on(options, port));
        }
        std::printf("listening on %s:%u\n", options.host.c_str(), static_cast<unsigned>(port));
        std::fflush(stdout);
        std::vector<std::jthread> others;
        for (std::size_t i = 1; i < listeners.size(); ++i) {
            others.emplace_back([&, fd = listeners[i]] { serve(fd, options); });
        }
        serve(listeners.front(), options);
    });
}

}  // namespace bench
