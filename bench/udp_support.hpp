// What every UDP echo server of the benchmark shares: its command line, its socket and its one line of output. Everything
// that is measured stays in the servers themselves.
//
//   --port NUMBER   default 0: the kernel chooses
//   --batch NUMBER  datagrams a system call at most, where the server has such a thing
//   --gso on|off    whether equal datagrams for one address leave as one, where the server has such a thing
#pragma once

#include "server_support.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bench {

struct UdpOptions {
    std::uint16_t port = 0;
    std::size_t batch = 32;
    bool gso = false;
};

inline UdpOptions parse_udp_options(int argc, char** argv) {
    UdpOptions options;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        const char* const text = i + 1 < argc ? argv[i + 1] : "";
        const std::string_view value = text;
        if (name == "--port") {
            options.port = static_cast<std::uint16_t>(number_argument(name, text, 65535));
        } else if (name == "--batch") {
            options.batch = number_argument(name, text, 32);
        } else if (name == "--gso" && (value == "on" || value == "off")) {
            options.gso = value == "on";
        } else {
            throw std::invalid_argument("unknown option or value: " + std::string(name));
        }
    }
    return options;
}

/// A non-blocking UDP socket on the loopback.
inline int bind_udp(const UdpOptions& options) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(options.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw std::system_error(errno, std::generic_category(), "binding");
    }
    return fd;
}

/// A server's main function: calls `serve(socket, options)`, which does not return, after saying where it is.
template <typename Serve>
int serve_datagrams(int argc, char** argv, const Serve& serve) {
    end_with_parent();
    return run_program(argv[0], [&] {
        const UdpOptions options = parse_udp_options(argc, argv);
        const int fd = bind_udp(options);
        std::printf("listening on 127.0.0.1:%u\n", static_cast<unsigned>(bound_port(fd)));
        std::fflush(stdout);
        serve(fd, options);
    });
}

}  // namespace bench
