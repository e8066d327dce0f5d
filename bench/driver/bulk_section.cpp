// One-way throughput: see sections.hpp. A few connections are kept full; the server reads and drops (`--mode sink`). A
// slice ends when the kernel has delivered everything and the server sleeps, which it does only with nothing left to
// read, so bytes and CPU time belong to each other although nothing comes back.
#include "echo_load.hpp"
#include "sections.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t bulk_connections = 4;
constexpr std::size_t bytes_per_send = 256 * 1024;
constexpr auto stall_limit = 5s;
constexpr double mib = 1024.0 * 1024.0;

class BulkLoad {
public:
    explicit BulkLoad(std::uint16_t port) {
        for (std::size_t i = 0; i < bulk_connections; ++i) {
            connections_.push_back(connect_to(port));
        }
    }

    /// Returns the bytes sent; all of them have been delivered.
    std::uint64_t run_for(std::chrono::nanoseconds time) {
        const auto start = Clock::now();
        auto last_progress = start;
        std::uint64_t total = 0;
        for (auto now = start; now - start < time; now = Clock::now()) {
            const std::uint64_t sent = send_round();
            total += sent;
            check_stall(sent > 0, now, last_progress);
        }
        while (std::any_of(connections_.begin(), connections_.end(), undelivered)) {
            check_stall(false, Clock::now(), last_progress);
        }
        return total;
    }

private:
    std::uint64_t send_round() {
        std::uint64_t total = 0;
        for (const Descriptor& fd : connections_) {
            const auto bytes = pattern_.at(0, bytes_per_send);
            const ssize_t sent = send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                throw LoadError("the server closed a connection");
            }
            total += static_cast<std::uint64_t>(std::max<ssize_t>(sent, 0));
        }
        return total;
    }

    static bool undelivered(const Descriptor& fd) {
        int bytes = 0;
        return ioctl(fd.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
    }

    static void check_stall(bool progress, Clock::time_point now,
                            Clock::time_point& last_progress) {
        if (progress) {
            last_progress = now;
        } else if (now - last_progress > stall_limit) {
            throw LoadError("nothing was read for 5 s");
        }
    }

    Pattern pattern_;
    std::vector<Descriptor> connections_;
};

struct Contestant {
    BulkResult result;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<BulkLoad> load;
};

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const auto start = Clock::now();
    const auto bytes = static_cast<double>(contestant.load->run_for(time));
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> wall = Clock::now() - start;
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    contestant.result.mib_per_second.push_back(bytes / mib / wall.count());
    contestant.result.cpu_us_per_mib.push_back(cpu.count() * 1e6 / (bytes / mib));
}

}  // namespace

std::size_t bulk_units(const Run& run) {
    return run.options.rounds * beyond_echo(run.servers).size();
}

void measure_bulk(Run& run) {
    std::vector<Contestant> contestants;
    for (const Server& server : beyond_echo(run.servers)) {
        Contestant contestant;
        contestant.result.server = server.name;
        try {
            contestant.process =
                std::make_unique<ServerProcess>(server.command_for({.threads = 1, .sink = true}),
                                                std::vector<int>{run.machine.server_core});
            contestant.load = std::make_unique<BulkLoad>(contestant.process->port());
        } catch (const NotOffered& reason) {
            run.results.skipped.push_back({server.name, "bulk", reason.what()});
            run.progress.done(run.options.rounds);
            continue;
        } catch (const std::exception& error) {
            contestant.result.failure = error.what();
        }
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.rounds, run.progress, "bulk one way",
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        run.results.bulk.push_back(std::move(contestant.result));
    }
}

}  // namespace bench
