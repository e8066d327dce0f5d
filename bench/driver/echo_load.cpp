// The echo load: see echo_load.hpp.
#include "echo_load.hpp"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Small enough to be compared while it is still in the second-level cache, next to the pattern.
constexpr std::size_t receive_bytes = 128 * 1024;
constexpr auto stall_limit = 5s;
// Reading the clock costs some 25 ns; more often than this it would be seen at one connection.
constexpr unsigned polls_per_clock_reading = 64;

[[noreturn]] void fail(std::string_view what) {
    throw LoadError(std::string(what) + ": " + std::generic_category().message(errno));
}

}  // namespace

Descriptor connect_to(std::uint16_t port) {
    Descriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) {
        fail("socket");
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        fail("connect");
    }
    fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
}

EchoLoad::EchoLoad(std::uint16_t port, const EchoShape& shape)
    : shape_(shape),
      pattern_(Pattern::of_lines(shape.message_bytes)),
      buffer_(receive_bytes),
      connections_(shape.connections),
      events_(1024),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    static_assert(receive_bytes <= Pattern::stretch_bytes);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        Connection& connection = connections_[i];
        connection.origin = pattern_.origin(i);
        connection.fd = connect_to(port);
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &connection;
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event) != 0) {
            fail("epoll_ctl");
        }
    }
}

EchoCount EchoLoad::run_for(std::chrono::nanoseconds time) {
    return run(std::numeric_limits<std::uint64_t>::max(), time);
}

EchoCount EchoLoad::run_batches(std::uint64_t batches) {
    return run(batches, std::chrono::nanoseconds::max());
}

EchoCount EchoLoad::run(std::uint64_t batches_each, std::chrono::nanoseconds time) {
    const auto received = [this] {
        std::uint64_t sum = 0;
        for (const Connection& connection : connections_) {
            sum += connection.received;
        }
        return sum;
    };
    const std::uint64_t before = received();
    const auto start = Clock::now();
    auto last_progress = start;
    ending_ = false;
    for (Connection& connection : connections_) {
        connection.batches_left = batches_each;
        begin_batch(connection);
    }
    for (unsigned polls = 0; busy_ > 0; ++polls) {
        const int count =
            epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), 0);
        serve_ready(count);
        if (polls % polls_per_clock_reading == 0 || count == 0) {
            const auto now = Clock::now();
            ending_ = now - start >= time;
            if (count > 0) {
                last_progress = now;
            } else if (now - last_progress > stall_limit) {
                throw LoadError("no answer for 5 s");
            }
        }
    }
    EchoCount result;
    result.wall = Clock::now() - start;
    result.messages = (received() - before) / shape_.message_bytes;
    return result;
}

void EchoLoad::serve_ready(int count) {
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events_[static_cast<std::size_t>(i)];
        auto& connection = *static_cast<Connection*>(event.data.ptr);
        if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) {
            receive_some(connection);
        }
        if ((event.events & EPOLLOUT) != 0 && connection.wants_write) {
            send_some(connection);
        }
    }
}

void EchoLoad::begin_batch(Connection& connection) {
    --connection.batches_left;
    ++busy_;
    connection.goal += shape_.message_bytes * shape_.depth;
    send_some(connection);
}

void EchoLoad::send_some(Connection& connection) {
    while (connection.sent < connection.goal) {
        const auto bytes =
            pattern_.at(connection.origin + connection.sent, connection.goal - connection.sent);
        const ssize_t sent = send(connection.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                fail("send");
            }
            break;
        }
        connection.sent += static_cast<std::uint64_t>(sent);
    }
    watch(connection, connection.sent < connection.goal);
}

std::span<const char> EchoLoad::receive(const Connection& connection) {
    const ssize_t count = recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
    if (count < 0) {
        if (errno == EAGAIN) {
            return {};
        }
        fail("recv");
    }
    if (count == 0) {
        throw LoadError("the server closed a connection");
    }
    return {buffer_.data(), static_cast<std::size_t>(count)};
}

void EchoLoad::receive_some(Connection& connection) {
    accept_answer(connection, receive(connection));
}

void EchoLoad::accept_answer(Connection& connection, std::span<const char> bytes) {
    if (bytes.empty()) {
        return;
    }
    if (connection.received + bytes.size() > connection.sent) {
        throw LoadError("more bytes came back than were sent");
    }
    if (!pattern_.matches(connection.origin + connection.received, bytes)) {
        throw LoadError("wrong bytes came back");
    }
    connection.received += bytes.size();
    if (connection.received == connection.goal) {
        --busy_;
        if (!ending_ && connection.batches_left > 0) {
            begin_batch(connection);
        }
    }
}

void EchoLoad::watch(Connection& connection, bool write) {
    if (connection.wants_write == write) {
        return;
    }
    connection.wants_write = write;
    epoll_event event{};
    event.events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = &connection;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event);
}

}  // namespace bench
