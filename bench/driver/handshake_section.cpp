// TLS handshakes: see sections.hpp. Many short connections at once; each shakes hands, exchanges one small message, so that
// the server has certainly seen the end of the handshake and sent its ticket, and ends. In the resumed rows each
// connection shows a ticket that an earlier one was given, and a server that then does not resume fails. The load's own
// share of a handshake is larger than the server's, so with one core for each the rate is the load's; CPU time a handshake
// is the server's.
#include "echo_load.hpp"
#include "sections.hpp"
#include "tls_client.hpp"

#include <array>
#include <cerrno>
#include <memory>
#include <optional>

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
// A closed connection keeps its address pair for a minute; 127.0.0.2, .3 ... give us enough pairs.
constexpr std::uint32_t source_addresses = 64;

class HandshakeLoad {
public:
    HandshakeLoad(std::uint16_t port, bool resumed)
        : epoll_(epoll_create1(EPOLL_CLOEXEC)),
          slots_(at_once),
          arrived_(receive_bytes),
          plaintext_(receive_bytes),
          port_(port) {
        if (resumed) {
            client_.resume_sessions();
        }
    }

    EchoCount run_for(std::chrono::nanoseconds time) {
        const auto start = Clock::now();
        auto last_progress = start;
        EchoCount result;
        for (Slot& slot : slots_) {
            open(slot);
        }
        for (std::size_t open_slots = slots_.size(); open_slots > 0;) {
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
                if (now - start < time) {
                    open(slot);
                } else {
                    --open_slots;
                }
            }
        }
        result.wall = Clock::now() - start;
        return result;
    }

private:
    struct Slot {
        Descriptor fd;
        std::optional<TlsConnection> tls;
        bool connected = false;
        bool secure = false;
        std::size_t answered = 0;
    };

    void open(Slot& slot) {
        slot.fd = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + next_source_++ % source_addresses);
        const int on = 1;
        setsockopt(slot.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        setsockopt(slot.fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto* plain = reinterpret_cast<const sockaddr*>(&address);
        if (bind(slot.fd.get(), plain, sizeof address) != 0) {
            throw LoadError("bind: no source address");
        }
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port_);
        if (connect(slot.fd.get(), plain, sizeof address) != 0 && errno != EINPROGRESS) {
            throw LoadError("connect: refused");
        }
        slot.tls.emplace(client_);
        watch(EPOLL_CTL_ADD, slot, EPOLLOUT);
    }

    void watch(int operation, Slot& slot, std::uint32_t interest) const {
        epoll_event event{};
        event.events = interest;
        event.data.ptr = &slot;
        epoll_ctl(epoll_.get(), operation, slot.fd.get(), &event);
    }

    // True when the connection is over.
    bool advance(Slot& slot) {
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

    void proceed(Slot& slot, std::span<const char> arrived) {
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

    void read_answer(Slot& slot) {
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
    void send_output(const Slot& slot) {
        std::vector<char>& output = client_.output();
        const ssize_t sent = send(slot.fd.get(), output.data(), output.size(), MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(output.size())) {
            throw LoadError("send failed");
        }
        output.clear();
    }

    TlsClient client_;
    Descriptor epoll_;
    std::vector<Slot> slots_;
    Pattern pattern_;
    AlignedBuffer arrived_;
    AlignedBuffer plaintext_;
    std::uint16_t port_;
    std::uint32_t next_source_ = 0;
};

struct Contestant {
    HandshakeResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<HandshakeLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const EchoCount count = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto handshakes = static_cast<double>(count.messages);
    contestant.result.handshakes_per_second.push_back(handshakes / wall.count());
    contestant.result.cpu_us_per_handshake.push_back(cpu.count() * 1e6 / handshakes);
}

void measure_kind(Run& run, bool resumed) {
    std::vector<Contestant> contestants;
    for (const Server& server : servers_beyond_echo(run)) {
        Contestant contestant;
        contestant.result.server = server.name;
        contestant.result.resumed = resumed;
        attempt(contestant.result, [&] {
            contestant.process = std::make_unique<ServerProcess>(
                server.command_for({}), std::vector<int>{run.machine.server_core});
            contestant.load = std::make_unique<HandshakeLoad>(contestant.process->port(), resumed);
            contestant.load->run_for(20ms);
        });
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.tls_rounds, run.progress,
               resumed ? "resumed handshakes" : "full handshakes",
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        run.results.handshakes.push_back(std::move(contestant.result));
    }
}

}  // namespace

std::size_t handshake_units(const Run& run) {
    return 2 * run.options.tls_rounds * servers_beyond_echo(run).size();
}

void measure_handshakes(Run& run) {
    measure_kind(run, false);
    measure_kind(run, true);
}

}  // namespace bench
