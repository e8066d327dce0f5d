// Accept + close rate: see sections.hpp. Many short connections at once; each is opened, ended by us without a byte of
// data, and over when the server has closed it, too. So the server accepts, registers, reads the end and closes.
#include "descriptor.hpp"
#include "echo_load.hpp"
#include "sections.hpp"
#include "source_addresses.hpp"

#include <cerrno>
#include <memory>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t at_once = 64;
constexpr auto stall_limit = 5s;

class AcceptLoad {
public:
    explicit AcceptLoad(std::uint16_t port)
        : epoll_(epoll_create1(EPOLL_CLOEXEC)), slots_(at_once), port_(port) {}

    EchoCount run_for(std::chrono::nanoseconds time) {
        const auto start = Clock::now();
        auto last_progress = start;
        EchoCount result;
        for (Slot& slot : slots_) {
            open(slot);
        }
        for (std::size_t open_slots = slots_.size(); open_slots > 0;) {
            epoll_event events[at_once];
            const int count = epoll_wait(epoll_.get(), events, at_once, 0);
            const auto now = Clock::now();
            if (count > 0) {
                last_progress = now;
            } else if (now - last_progress > stall_limit) {
                throw LoadError("a connection was not closed for 5 s");
            }
            for (int i = 0; i < count; ++i) {
                auto& slot = *static_cast<Slot*>(events[i].data.ptr);
                if (!advance(slot, events[i].events)) {
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
        bool connected = false;
    };

    void open(Slot& slot) {
        slot.fd = sources_.connect(port_);
        epoll_event event{};
        event.events = EPOLLOUT;
        event.data.ptr = &slot;
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, slot.fd.get(), &event);
    }

    // True when the connection is over.
    bool advance(Slot& slot, std::uint32_t ready) {
        if ((ready & EPOLLERR) != 0) {
            throw LoadError("a connection failed");
        }
        if (!slot.connected) {
            slot.connected = true;
            shutdown(slot.fd.get(), SHUT_WR);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &slot;
            epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, slot.fd.get(), &event);
            return false;
        }
        char byte = 0;
        const ssize_t count = recv(slot.fd.get(), &byte, 1, 0);
        if (count > 0) {
            throw LoadError("bytes came back that were never sent");
        }
        return count == 0;
    }

    Descriptor epoll_;
    std::vector<Slot> slots_;
    std::uint16_t port_;
    SourceAddresses sources_;
};

struct Contestant {
    AcceptResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<AcceptLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const EchoCount count = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    const std::chrono::duration<double> wall = count.wall;
    const auto connections = static_cast<double>(count.messages);
    contestant.result.connections_per_second.push_back(connections / wall.count());
    contestant.result.cpu_us_per_connection.push_back(cpu.count() * 1e6 / connections);
}

}  // namespace

std::size_t accept_units(const Run& run) {
    return run.options.rounds * beyond_echo(run.servers).size();
}

void measure_accept(Run& run) {
    std::vector<Contestant> contestants;
    for (const Server& server : beyond_echo(run.servers)) {
        Contestant contestant;
        contestant.result.server = server.name;
        attempt(contestant.result, [&] {
            contestant.process = std::make_unique<ServerProcess>(
                server.command_for({}), std::vector<int>{run.machine.server_core});
            contestant.load = std::make_unique<AcceptLoad>(contestant.process->port());
            contestant.load->run_for(20ms);
        });
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.rounds, run.progress, "accept + close",
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        run.results.accept.push_back(std::move(contestant.result));
    }
}

}  // namespace bench
