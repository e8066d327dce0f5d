// Asks for files: see file_load.hpp.
#include "file_load.hpp"

#include "../driver/echo_load.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include <poll.h>
#include <sys/socket.h>

namespace bench::files {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t receive_bytes = 256 * 1024;
constexpr std::size_t plaintext_bytes = 16 * 1024;
// An answer's beginning is read in a piece of this size, so that little of the file is copied with the head.
constexpr std::size_t head_bytes = 1024;
constexpr std::size_t most_head_bytes = 16 * 1024;
// Without a copy there is no reason to take little.
constexpr std::uint64_t skipped_at_once = 1024 * 1024;
constexpr auto stall_limit = 10s;
constexpr int handshake_limit_ms = 5000;
constexpr unsigned polls_per_clock_reading = 64;

// The number behind "Content-Length:", or nothing.
std::optional<std::uint64_t> content_length(const std::string& head) {
    constexpr std::string_view name = "\r\ncontent-length: ";
    const auto* const found = std::search(
        std::to_address(head.begin()), std::to_address(head.end()), name.begin(), name.end(),
        [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
    std::uint64_t length = 0;
    const char* const end = std::to_address(head.end());
    if (found == end || std::from_chars(found + name.size(), end, length).ec != std::errc{}) {
        return std::nullopt;
    }
    return length;
}

}  // namespace

FileLoad::FileLoad(std::uint16_t port, FileShape shape)
    : shape_(std::move(shape)),
      request_("GET " + shape_.path + " HTTP/1.1\r\nHost: localhost\r\n\r\n"),
      buffer_(receive_bytes),
      plaintext_(plaintext_bytes),
      connections_(shape_.connections),
      events_(shape_.connections),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    static_assert(receive_bytes <= Pattern::stretch_bytes);
    for (Connection& connection : connections_) {
        connection.fd = connect_to(port);
        if (shape_.tls) {
            shake_hands(connection);
        }
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &connection;
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event);
    }
    run_for(0ns, Bodies::compared);
}

FileCount FileLoad::run_for(std::chrono::nanoseconds time, Bodies bodies) {
    bodies_ = bodies;
    count_ = {};
    const auto start = Clock::now();
    auto now = start;
    auto last_progress = start;
    ending_ = false;
    busy_ = connections_.size();
    for (Connection& connection : connections_) {
        ask(connection);
    }
    for (unsigned polls = 0; busy_ > 0; ++polls) {
        const int count =
            epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), 0);
        for (int i = 0; i < count; ++i) {
            receive(*static_cast<Connection*>(events_[static_cast<std::size_t>(i)].data.ptr));
        }
        if (polls % polls_per_clock_reading == 0 || count > 0) {
            now = Clock::now();
            ending_ = now - start >= time;
            last_progress = count > 0 ? now : last_progress;
        }
        if (now - last_progress > stall_limit) {
            throw LoadError("an answer made no progress for 10 s");
        }
    }
    count_.wall = Clock::now() - start;
    return count_;
}

void FileLoad::shake_hands(Connection& connection) {
    connection.tls.emplace(client_);
    for (bool complete = connection.tls->handshake({});;) {
        send_output(connection);
        if (complete) {
            // Tickets may have come with the last flight.
            while (connection.tls->read(plaintext_.bytes()) != 0) {
            }
            return;
        }
        pollfd readable{connection.fd.get(), POLLIN, 0};
        if (poll(&readable, 1, handshake_limit_ms) == 0) {
            throw LoadError("no handshake within 5 s");
        }
        const std::size_t count = receive_into(connection, buffer_.bytes(), 0);
        complete = connection.tls->handshake(buffer_.bytes().first(count));
    }
}

// A connection sends some hundred bytes at a time and waits for the answer, so that its socket always takes them.
void FileLoad::send_output(const Connection& connection) {
    std::vector<char>& output = client_.output();
    const ssize_t sent = send(connection.fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(output.size())) {
        throw LoadError("the kernel does not take a whole request");
    }
    output.clear();
}

void FileLoad::ask(Connection& connection) {
    connection.in_head = true;
    connection.position = 0;
    if (connection.tls) {
        connection.tls->write(request_);
        send_output(connection);
    } else if (send(connection.fd.get(), request_.data(), request_.size(), MSG_NOSIGNAL) !=
               static_cast<ssize_t>(request_.size())) {
        throw LoadError("the kernel does not take a whole request");
    }
}

// 0 if nothing is there.
std::size_t FileLoad::receive_into(const Connection& connection, std::span<char> space,
                                   int flags) const {
    const ssize_t count = recv(connection.fd.get(), space.data(), space.size(), flags);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        throw LoadError("the server closed a connection");
    }
    return static_cast<std::size_t>(std::max<ssize_t>(count, 0));
}

void FileLoad::receive(Connection& connection) {
    if (connection.tls) {
        const std::size_t count = receive_into(connection, buffer_.bytes(), 0);
        connection.tls->feed(buffer_.bytes().first(count));
        while (const std::size_t opened = connection.tls->read(plaintext_.bytes())) {
            accept(connection, plaintext_.bytes().first(opened));
        }
        if (connection.tls->has_ended()) {
            throw LoadError("the server closed a connection");
        }
        return;
    }
    if (bodies_ == Bodies::counted && !connection.in_head) {
        skip_body(connection);
        return;
    }
    const bool only_head = bodies_ == Bodies::counted;
    const auto space = buffer_.bytes().first(only_head ? head_bytes : receive_bytes);
    const std::size_t count = receive_into(connection, space, 0);
    accept(connection, space.first(count));
}

// With MSG_TRUNC a TCP socket throws away what it would have copied (tcp(7)).
void FileLoad::skip_body(Connection& connection) {
    const std::uint64_t wanted = std::min(shape_.bytes - connection.position, skipped_at_once);
    const ssize_t count = recv(connection.fd.get(), nullptr, wanted, MSG_TRUNC);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        throw LoadError("the server closed a connection");
    }
    add_to_body(connection, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
}

void FileLoad::accept(Connection& connection, std::span<const char> bytes) {
    if (connection.in_head && !bytes.empty()) {
        connection.head.append(bytes.data(), bytes.size());
        const std::size_t end = connection.head.find("\r\n\r\n");
        if (end == std::string::npos) {
            if (connection.head.size() > most_head_bytes) {
                throw LoadError("the head of an answer does not end");
            }
            return;
        }
        const std::size_t body = connection.head.size() - (end + 4);
        bytes = bytes.last(body);
        connection.head.resize(end + 4);
        read_head(connection);
    }
    if (bytes.empty() && shape_.bytes > 0) {
        return;
    }
    if (connection.position + bytes.size() > shape_.bytes) {
        throw LoadError("more bytes came than were announced");
    }
    if (bodies_ == Bodies::compared && !pattern_.matches(connection.position, bytes)) {
        throw LoadError("wrong bytes came");
    }
    add_to_body(connection, bytes.size());
}

void FileLoad::read_head(Connection& connection) const {
    if (!connection.head.starts_with("HTTP/1.1 200 ")) {
        throw LoadError("answered: " + connection.head.substr(0, connection.head.find('\r')));
    }
    if (content_length(connection.head) != shape_.bytes) {
        throw LoadError("the announced length is not the file's");
    }
    connection.head.clear();
    connection.in_head = false;
}

void FileLoad::add_to_body(Connection& connection, std::size_t count) {
    connection.position += count;
    if (connection.position < shape_.bytes) {
        return;
    }
    ++count_.answers;
    if (ending_) {
        connection.in_head = true;
        --busy_;
    } else {
        ask(connection);
    }
}

}  // namespace bench::files
