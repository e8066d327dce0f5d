// Latency at a fixed rate: see sections.hpp. Messages leave by a timetable, whether or not earlier answers have come, and a
// latency counts from the time in the table. A server that stalls is thus charged for everything that was due meanwhile.
#include "echo_load.hpp"
#include "histogram.hpp"
#include "sections.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <memory>

#include <fmt/core.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t latency_connections = 50;
constexpr std::size_t message_bytes = 64;
constexpr auto stall_limit = 5s;
// A percentile with fewer messages beyond it says nothing.
constexpr double curve_least_beyond = 5;
constexpr std::array<double, 23> curve_percentiles = {1,  5,    10,   20,   30,    40,    50,    60,
                                                      70, 75,   80,   85,   90,    95,    97,    98,
                                                      99, 99.5, 99.8, 99.9, 99.95, 99.99, 99.999};

class LatencyLoad {
public:
    LatencyLoad(std::uint16_t port, std::size_t rate)
        : interval_(std::chrono::nanoseconds(1s) / rate),
          epoll_(epoll_create1(EPOLL_CLOEXEC)),
          connections_(latency_connections),
          buffer_(64 * 1024) {
        for (std::size_t i = 0; i < connections_.size(); ++i) {
            connections_[i].fd = connect_to(port);
            connections_[i].origin = pattern_.origin(i);
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.ptr = &connections_[i];
            epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connections_[i].fd.get(), &event);
        }
    }

    Histogram run_for(std::chrono::nanoseconds time) {
        Histogram histogram;
        const auto start = Clock::now();
        auto due = start;
        auto last_answer = start;
        while (due < start + time || in_flight_ > 0) {
            const auto now = Clock::now();
            while (due <= now && due < start + time && send_next(due)) {
                due += interval_;
            }
            if (receive_ready(histogram)) {
                last_answer = now;
            } else if (now - last_answer > stall_limit) {
                throw LoadError("no answer for 5 s");
            }
        }
        return histogram;
    }

private:
    struct Connection {
        Descriptor fd;
        std::uint64_t origin = 0;
        std::uint64_t sent = 0;
        std::uint64_t received = 0;
        std::deque<Clock::time_point> due;  // of the messages under way
    };

    // False when the kernel takes no more; the message stays due.
    bool send_next(Clock::time_point due) {
        Connection& connection = connections_[next_];
        const std::size_t missing = message_bytes - connection.sent % message_bytes;
        const auto bytes = pattern_.at(connection.origin + connection.sent, missing);
        const ssize_t sent = send(connection.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            throw LoadError("the server closed a connection");
        }
        connection.sent += static_cast<std::uint64_t>(std::max<ssize_t>(sent, 0));
        if (sent < static_cast<ssize_t>(missing)) {
            return false;
        }
        connection.due.push_back(due);
        ++in_flight_;
        next_ = (next_ + 1) % connections_.size();
        return true;
    }

    bool receive_ready(Histogram& histogram) {
        std::array<epoll_event, latency_connections> events;
        const int count =
            epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
        for (int i = 0; i < count; ++i) {
            receive(*static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr),
                    histogram);
        }
        return count > 0;
    }

    void receive(Connection& connection, Histogram& histogram) {
        const ssize_t count = recv(connection.fd.get(), buffer_.data(), buffer_.size(), 0);
        const auto now = Clock::now();
        if (count <= 0) {
            throw LoadError("the server closed a connection");
        }
        const std::span<const char> bytes(buffer_.data(), static_cast<std::size_t>(count));
        if (connection.received + bytes.size() > connection.sent ||
            !pattern_.matches(connection.origin + connection.received, bytes)) {
            throw LoadError("wrong bytes came back");
        }
        const std::uint64_t complete_before = connection.received / message_bytes;
        connection.received += bytes.size();
        for (auto i = complete_before; i < connection.received / message_bytes; ++i) {
            const std::chrono::nanoseconds latency = now - connection.due.front();
            histogram.record(static_cast<std::uint64_t>(latency.count()));
            connection.due.pop_front();
            --in_flight_;
        }
    }

    std::chrono::nanoseconds interval_;
    Descriptor epoll_;
    Pattern pattern_;
    std::vector<Connection> connections_;
    AlignedBuffer buffer_;
    std::size_t next_ = 0;
    std::size_t in_flight_ = 0;
};

struct Contestant {
    LatencyResult result;
    Histogram all;
    std::vector<Histogram> rounds;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<LatencyLoad> load;
};

double us(double nanoseconds) {
    return nanoseconds / 1000;
}

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(std::max<std::chrono::nanoseconds>(time / 10, 5ms));
    contestant.process->wait_until_asleep();
    const auto cpu_before = contestant.process->cpu_time();
    const Histogram histogram = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - cpu_before;
    contestant.result.p50_us.push_back(us(histogram.value_at(50)));
    contestant.result.p99_us.push_back(us(histogram.value_at(99)));
    contestant.result.p999_us.push_back(us(histogram.value_at(99.9)));
    contestant.result.cpu_us_per_message.push_back(cpu.count() * 1e6 /
                                                   static_cast<double>(histogram.count()));
    contestant.all.merge(histogram);
    contestant.rounds.push_back(histogram);
}

// For each percentile the median of what the rounds say. All rounds in one histogram would show, from the percentile on that
// it makes up, the one round in which the host paused the machine; the largest value of all is in the table.
void add_curve(Contestant& contestant) {
    for (const double percentile : curve_percentiles) {
        std::vector<double> values;
        for (const Histogram& round : contestant.rounds) {
            if (static_cast<double>(round.count()) * (1 - percentile / 100) < curve_least_beyond) {
                return;
            }
            values.push_back(us(round.value_at(percentile)));
        }
        if (const auto summary = summarize(values)) {
            contestant.result.curve.emplace_back(percentile, summary->median);
        }
    }
}

}  // namespace

std::size_t latency_units(const Run& run) {
    return run.options.rounds * beyond_echo(run.servers).size();
}

void measure_latency(Run& run) {
    std::vector<Contestant> contestants;
    for (const Server& server : beyond_echo(run.servers)) {
        Contestant contestant;
        contestant.result.server = server.name;
        contestant.result.connections = latency_connections;
        contestant.result.rate_per_second = run.options.latency_rate;
        attempt(contestant.result, [&] {
            contestant.process = std::make_unique<ServerProcess>(
                server.command_for({}), std::vector<int>{run.machine.server_core});
            contestant.load =
                std::make_unique<LatencyLoad>(contestant.process->port(), run.options.latency_rate);
            contestant.load->run_for(50ms);
        });
        contestants.push_back(std::move(contestant));
    }
    run_rounds(contestants, run.options.rounds, run.progress,
               fmt::format("latency at {}/s", run.options.latency_rate),
               [&](Contestant& contestant) { measure_slice(contestant, run.options.slice); });
    for (Contestant& contestant : contestants) {
        add_curve(contestant);
        contestant.result.max_us = us(static_cast<double>(contestant.all.max()));
        run.results.latency.push_back(std::move(contestant.result));
    }
}

}  // namespace bench
