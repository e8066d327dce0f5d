// Plain POSIX behind BackendTest. See loop_fixture.hpp.
#include "support/loop_fixture.hpp"

#include "support/checked.hpp"
#include "support/patience.hpp"
#include "support/raw_descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace sluice::test {

namespace {

// The build with the emulation is what one for macOS is: it has kqueue in place of epoll.
#ifdef SLUICE_KQUEUE_EMULATION
constexpr Backend readiness_backend = Backend::kqueue;
#elif defined(_WIN32)
constexpr Backend readiness_backend = Backend::iocp;
#else
constexpr Backend readiness_backend = Backend::epoll;
#endif

RawAddress raw_address(const std::string& ip, std::uint16_t port) {
    RawAddress raw;
    if (ip.find(':') == std::string::npos) {
        auto& address = reinterpret_cast<sockaddr_in&>(raw.storage);
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        checked(::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) - 1, "inet_pton");
        raw.length = sizeof address;
    } else {
        auto& address = reinterpret_cast<sockaddr_in6&>(raw.storage);
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(port);
        checked(::inet_pton(AF_INET6, ip.c_str(), &address.sin6_addr) - 1, "inet_pton");
        raw.length = sizeof address;
    }
    return raw;
}

Family family_of(const std::string& ip) {
    return ip.find(':') == std::string::npos ? Family::ipv4 : Family::ipv6;
}

// Starts connecting; true if the handshake is over within `milliseconds`.
bool connects(const Peer& socket, const std::string& ip, std::uint16_t port, int milliseconds) {
    start_connecting(socket, ip, port);
    pollfd entry{socket.fd(), POLLOUT, 0};
    if (checked(::poll(&entry, 1, milliseconds), "poll") == 0) {
        return false;
    }
    if (const int error = socket_option(socket.fd(), SOL_SOCKET, SO_ERROR)) {
        throw std::system_error(error, std::system_category(), "connect");
    }
    return true;
}

}  // namespace

std::vector<Backend> backends() {
    if constexpr (SLUICE_TEST_IO_URING != 0) {
        return {readiness_backend, Backend::io_uring};
    }
    return {readiness_backend};
}

std::string backend_case_name(const testing::TestParamInfo<Backend>& info) {
    switch (info.param) {
        case Backend::automatic:
            return "automatic";
        case Backend::epoll:
            return "epoll";
        case Backend::kqueue:
            return "kqueue";
        case Backend::io_uring:
            return "io_uring";
        case Backend::iocp:
            return "iocp";
    }
    return "unknown";
}

// ---- servers ----

std::function<std::unique_ptr<StreamProtocol>()> BackendTest::recording_factory() {
    return [this]() -> std::unique_ptr<StreamProtocol> {
        Recorder& recorder = make_recorder();
        connections_.push_back(&recorder);
        return make_recording_protocol(ProtocolKind::simple, recorder);
    };
}

Ref<Server> BackendTest::serve(ServerOptions options, std::string host) {
    return run(loop().create_server(recording_factory(), std::move(host), 0, options));
}

bool BackendTest::wait_for_connections(std::size_t count) {
    return run_until([this, count] {
        return std::count_if(connections_.begin(), connections_.end(), [](const Recorder* each) {
                   return each->made();
               }) == static_cast<std::ptrdiff_t>(count);
    });
}

void BackendTest::shut_down(Ref<Server> server) {
    server->close();
    server->abort_clients();
    run(server->wait_closed());
}

std::uint16_t port_of(const Ref<Server>& server) {
    return server->sockets().at(0).local_address().port();
}

// ---- raw sockets ----

Peer unconnected_socket(Family family) {
    return Peer(
        make_socket(family == Family::ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, IoMode::nonblocking));
}

Peer bound_socket(const std::string& ip, std::uint16_t port, std::optional<int> backlog) {
    Peer socket = unconnected_socket(family_of(ip));
    if (family_of(ip) == Family::ipv6) {
        const int on = 1;
        checked(::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), "V6ONLY");
    }
    RawAddress raw = raw_address(ip, port);
    checked(::bind(socket.fd(), raw.get(), raw.length), "bind");
    if (backlog) {
        checked(::listen(socket.fd(), *backlog), "listen");
    }
    return socket;
}

Peer connect_to(const std::string& ip, std::uint16_t port) {
    Peer socket = unconnected_socket(family_of(ip));
    if (!connects(socket, ip, port, patience_ms())) {
        throw std::runtime_error("connect_to: no answer from " + ip);
    }
    return socket;
}

void start_connecting(const Peer& socket, const std::string& ip, std::uint16_t port) {
    RawAddress raw = raw_address(ip, port);
    if (::connect(socket.fd(), raw.get(), raw.length) < 0 && errno != EINPROGRESS) {
        throw std::system_error(errno, std::system_category(), "connect");
    }
}

SocketAddress address_of(int fd) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length), "getsockname");
    char text[INET6_ADDRSTRLEN] = {};
    if (storage.ss_family == AF_INET) {
        const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
        ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
        return SocketAddress::parse(text, ntohs(address.sin_port)).value();
    }
    const auto& address = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
    return SocketAddress::parse(text, ntohs(address.sin6_port)).value();
}

bool has_ipv6() {
    try {
        const Peer probe = bound_socket("::1");
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

ClosedPort::ClosedPort(const std::string& ip) : holder_(bound_socket(ip)) {}

std::uint16_t ClosedPort::port() const {
    return address_of(holder_.fd()).port();
}

BlackHole::BlackHole(const std::string& ip) : listener_(bound_socket(ip, 0, 0)) {
    // A backlog of 0 still queues one connection (listen(2), Linux). How many more it is does not
    // matter: the first one that stays unanswered shows that the queue is full. On the loopback the
    // handshake is over when connect(2) returns, so a short wait is a sure sign.
    constexpr int sign_ms = 50;
    constexpr int attempts = 16;
    for (int i = 0; i < attempts; ++i) {
        waiting_.push_back(unconnected_socket(family_of(ip)));
        if (!connects(waiting_.back(), ip, port(), sign_ms)) {
            return;
        }
    }
    throw std::runtime_error("BlackHole: the listener's queue does not fill up");
}

std::uint16_t BlackHole::port() const {
    return address_of(listener_.fd()).port();
}

}  // namespace sluice::test
