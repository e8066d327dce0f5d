// The load of TLS handshakes: see handshake_load.hpp.
#include "handshake_load.hpp"

#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t at_once = 16;
constexpr std::size_t message_bytes = 64;
constexpr std::size_t receive_bytes = 16 * 1024;
constexpr auto stall_limit = 5s;

}  // namespace

HandshakeLoad::HandshakeLoad(std::uint16_t port, bool resumed)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      slots_(at_once),
      arrived_(receive_bytes),
      plaintext_(receive_bytes),
      port_(port) {
    if (resumed) {
        client_.resume_sessions();
    }
}

EchoCount HandshakeLoad::run_for(std::chrono::nanoseconds time) {
    const auto end = Clock::now() + time;
    return run_while([end](std::uint64_t) { return Clock::now() < end; });
}

EchoCount HandshakeLoad::run(std::uint64_t connections) {
    return run_while([connections](std::uint64_t opened) { return opened < connections; });
}

EchoCount HandshakeLoad::run_while(const std::function<bool(std::uint64_t)>& more) {
    const auto start = Clock::now();
    auto last_progress = start;
    EchoCount result;
    std::uint64_t opened = 0;
    std::size_t open_slots = 0;
    for (Slot& slot : slots_) {
        if (more(opened)) {
            open(slot);
            ++opened;
            ++open_slots;
        }
    }
    while (open_slots > 0) {
        std::array<epoll_event, at_once> events;
        const int count = epoll_wait(epoll_.get(), events.data(), at_once, 0);
        const auto now = Clock::now();
        if (count > 0) {
            last_progress = now;
        } else if (now - last_progress > stall_limit) {
            throw LoadError("a handshake made no progress for 5 s");
        }
        for (int i = 0; i < count; ++i) {
            auto& slot = *static_cast<Slot*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (!advance(slot)) {
                continue;
            }
            ++result.messages;
            slot = {};
            if (more(opened)) {
                open(slot);
                ++opened;
            } else {
                --open_slots;
            }
        }
    }
    result.wall = Clock::now() - start;
    return result;
}

void HandshakeLoad::open(Slot& slot) {
    slot.fd = sources_.connect(port_);
    const int on = 1;
    setsockopt(slot.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    slot.tls.emplace(client_);
    watch(EPOLL_CTL_ADD, slot, EPOLLOUT);
}

void HandshakeLoad::watch(int operation, Slot& slot, std::uint32_t interest) const {
    epoll_event event{};
    event.events = interest;
    event.data.ptr = &slot;
    epoll_ctl(epoll_.get(), operation, slot.fd.get(), &event);
}

// True when the connection is over.
bool HandshakeLoad::advance(Slot& slot) {
    if (!slot.connected) {
        slot.connected = true;
        watch(EPOLL_CTL_MOD, slot, EPOLLIN);
        slot.tls->handshake({});
        send_output(slot);
        return false;
    }
    const ssize_t count = recv(slot.fd.get(), arrived_.data(), arrived_.size(), 0);
    const bool answered = slot.answered == message_bytes;
    if (count == 0 || (count < 0 && errno == ECONNRESET)) {
        if (!answered) {
            throw LoadError("the server closed a connection early");
        }
        return true;
    }
    if (count < 0) {
        return false;
    }
    // After the answer only the server's farewell can come.
    if (!answered) {
        proceed(slot, {arrived_.data(), static_cast<std::size_t>(count)});
    }
    return false;
}

void HandshakeLoad::proceed(Slot& slot, std::span<const char> arrived) {
    if (slot.secure) {
        slot.tls->feed(arrived);
    } else if (slot.tls->handshake(arrived)) {
        slot.secure = true;
        if (slot.tls->offers_session() && !slot.tls->is_resumed()) {
            throw LoadError("the server does not resume sessions");
        }
        slot.tls->write(pattern_.at(0, message_bytes));
    }
    send_output(slot);
    if (slot.secure) {
        read_answer(slot);
    }
}

void HandshakeLoad::read_answer(Slot& slot) {
    while (const std::size_t count = slot.tls->read(plaintext_.bytes())) {
        if (slot.answered + count > message_bytes ||
            !pattern_.matches(slot.answered, plaintext_.bytes().first(count))) {
            throw LoadError("wrong bytes came back");
        }
        slot.answered += count;
        if (slot.answered == message_bytes) {
            slot.tls->write_end();
            send_output(slot);
            shutdown(slot.fd.get(), SHUT_WR);
        }
    }
}

// A connection sends some hundred bytes in its life, which a new socket always takes.
void HandshakeLoad::send_output(const Slot& slot) {
    std::vector<char>& output = client_.output();
    const ssize_t sent = send(slot.fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(output.size())) {
        throw LoadError("send failed");
    }
    output.clear();
}

}  // namespace bench
