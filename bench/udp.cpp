// The UDP benchmark's main program: an echo of datagrams by ours, by the two raw loops and by the rivals, interleaved; CPU
// time of the server a datagram, and datagrams a second. See bench/README.md.
#include "driver/catalogue.hpp"
#include "driver/figures.hpp"
#include "driver/json.hpp"
#include "driver/program.hpp"
#include "driver/run.hpp"
#include "driver/text_table.hpp"
#include "udp/udp_load.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>
#include <unistd.h>

namespace bench::udp {

namespace {

constexpr std::string_view usage =
    R"(UDP echo over loopback: ours beside a recvfrom/sendto loop, a recvmmsg/sendmmsg loop, libuv, Asio, asyncio.

  --servers LIST   (default: all)
  --rounds N       interleaved rounds (default: 9)
  --ms N           measuring time of one server in one round (default: 200)
  --json FILE      write all results
  --quick          3 rounds of 100 ms
)";

// The loop that a program without batches would have.
constexpr std::string_view reference = "raw_recvfrom";
constexpr std::size_t rounds_of_a_process = 3;

struct Settings {
    std::vector<std::string> servers;
    std::size_t rounds = 9;
    std::chrono::milliseconds slice{200};
    std::string json_path;
    bool help = false;
};

struct UdpServer {
    std::string name;
    std::vector<std::string> command;
};

struct Result {
    std::string server;
    UdpShape shape;
    Series datagrams_per_second;
    Series cpu_us_per_datagram;
    Series server_busy;
    std::uint64_t lost = 0;
    std::string failure;
};

struct Contestant {
    Result result;
    const UdpServer* server = nullptr;
    std::unique_ptr<ServerProcess> process;
    std::unique_ptr<UdpLoad> load;
};

// 64 B: alone, many peers with one each, many under way from few and from many; and packets as QUIC has them.
constexpr UdpShape shapes[] = {
    {64, 1, 1}, {64, 50, 1}, {64, 1, 64}, {64, 8, 16}, {64, 50, 4}, {1200, 4, 16},
};

std::vector<UdpServer> all_udp_servers() {
    const std::string python = SLUICE_BENCH_SOURCE_DIR "/rivals/python_udp.py";
    return {
        {std::string(reference), {beside_us("raw_udp"), "--batch", "1"}},
        {"raw_recvmmsg", {beside_us("raw_udp"), "--batch", "32"}},
        {"sluice", {beside_us("udp_server"), "--gso", "on"}},
        {"sluice_no_gso", {beside_us("udp_server"), "--gso", "off"}},
        {"sluice_single", {beside_us("udp_server"), "--batch", "1"}},
        {"libuv", {beside_us("libuv_udp")}},
        {"asio", {beside_us("asio_udp")}},
        {"asyncio", {"/usr/bin/python3", python, "--loop", "asyncio"}},
    };
}

std::size_t number(std::string_view option, std::string_view text) {
    std::size_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || stop != text.data() + text.size() || value == 0) {
        throw std::invalid_argument(fmt::format("{}: '{}' is no number from 1 up", option, text));
    }
    return value;
}

Settings parse(int argc, char** argv) {
    Settings settings;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--help") {
            settings.help = true;
        } else if (name == "--quick") {
            settings.rounds = 3;
            settings.slice = std::chrono::milliseconds(100);
        } else if (++i == argc) {
            throw std::invalid_argument(fmt::format("{}: unknown, or a value is missing", name));
        } else if (name == "--rounds") {
            settings.rounds = number(name, argv[i]);
        } else if (name == "--ms") {
            settings.slice = std::chrono::milliseconds(number(name, argv[i]));
        } else if (name == "--json") {
            settings.json_path = argv[i];
        } else if (name == "--servers") {
            const std::string list = std::string(argv[i]) + ",";
            for (std::size_t at = 0, end = 0; (end = list.find(',', at)) != std::string::npos;
                 at = end + 1) {
                settings.servers.push_back(list.substr(at, end - at));
            }
        } else {
            throw std::invalid_argument(fmt::format("unknown option '{}'", name));
        }
    }
    return settings;
}

void measure_slice(Contestant& contestant, std::chrono::nanoseconds time) {
    contestant.load->run_for(time / 10);
    contestant.process->wait_until_asleep();
    const auto before = contestant.process->cpu_time();
    const UdpCount count = contestant.load->run_for(time);
    contestant.process->wait_until_asleep();
    const std::chrono::duration<double> cpu = contestant.process->cpu_time() - before;
    const std::chrono::duration<double> wall = count.wall;
    const auto answers = static_cast<double>(count.answers);
    Result& result = contestant.result;
    result.datagrams_per_second.push_back(answers / wall.count());
    result.cpu_us_per_datagram.push_back(cpu.count() * 1e6 / answers);
    result.server_busy.push_back(cpu.count() / wall.count());
    result.lost += count.lost;
}

std::vector<Result> measure(const Settings& settings, const Machine& machine, const UdpShape& shape,
                            const std::vector<UdpServer>& servers, Progress& progress) {
    std::vector<Contestant> contestants(servers.size());
    for (std::size_t i = 0; i < servers.size(); ++i) {
        contestants[i].server = &servers[i];
        contestants[i].result.server = servers[i].name;
        contestants[i].result.shape = shape;
    }
    const std::string name =
        fmt::format("UDP, {} B, {} x {}", shape.bytes, shape.sockets, shape.window);
    for (std::size_t begin = 0; begin < settings.rounds; begin += rounds_of_a_process) {
        for (Contestant& contestant : contestants) {
            attempt(contestant.result, [&] {
                contestant.process = std::make_unique<ServerProcess>(
                    contestant.server->command, std::vector<int>{machine.server_core});
                contestant.load = std::make_unique<UdpLoad>(contestant.process->port(), shape);
            });
        }
        const Rounds rounds{begin, std::min(begin + rounds_of_a_process, settings.rounds),
                            settings.rounds};
        run_rounds(contestants, rounds, progress, name,
                   [&](Contestant& contestant) { measure_slice(contestant, settings.slice); });
        for (Contestant& contestant : contestants) {
            contestant.load.reset();
            contestant.process.reset();
        }
    }
    std::vector<Result> results;
    results.reserve(contestants.size());
    for (Contestant& contestant : contestants) {
        results.push_back(std::move(contestant.result));
    }
    return results;
}

const Result* reference_of(const std::vector<Result>& results) {
    const auto found = std::find_if(results.begin(), results.end(), [](const Result& result) {
        return result.server == reference && result.failure.empty();
    });
    return found == results.end() ? nullptr : &*found;
}

std::string table_of(const std::vector<Result>& results, std::size_t rounds) {
    const UdpShape& shape = results.front().shape;
    TextTable table({fmt::format("UDP echo, {} B, {} sockets x {} under way", shape.bytes,
                                 shape.sockets, shape.window),
                     "datagrams/s", "min-max", "CPU us", "min-max", "ratio", interval_title(rounds),
                     "busy", "lost"});
    const Result* const base = reference_of(results);
    for (const Result& result : results) {
        if (!result.failure.empty()) {
            table.add_line(failure_line(result.server, result.failure));
            continue;
        }
        std::vector<std::string> cells = {indented(result.server)};
        add_summary(cells, result.datagrams_per_second);
        add_summary(cells, result.cpu_us_per_datagram);
        add_ratio(cells, result.cpu_us_per_datagram,
                  base == nullptr ? nullptr : &base->cpu_us_per_datagram);
        const auto busy = summarize(result.server_busy);
        cells.push_back(busy ? fmt::format("{:.0f} %", busy->median * 100) : "-");
        cells.push_back(fmt::format("{}", result.lost));
        table.add(std::move(cells));
    }
    return table.text() + "\n";
}

std::string json_of(const Machine& machine, const std::vector<std::vector<Result>>& cells) {
    JsonWriter json;
    json.begin_object();
    json.member("schema", 1);
    json.member("cpu", machine.cpu_model);
    json.member("kernel", machine.kernel);
    json.list("labels", machine.labels);
    json.key("udp").begin_array();
    for (const std::vector<Result>& cell : cells) {
        for (const Result& result : cell) {
            json.begin_object();
            json.member("server", result.server);
            json.member("bytes", result.shape.bytes);
            json.member("sockets", result.shape.sockets);
            json.member("window", result.shape.window);
            json.member("lost", result.lost);
            if (!result.failure.empty()) {
                json.member("failure", result.failure);
            }
            json.list("datagrams_per_second", result.datagrams_per_second);
            json.list("cpu_us_per_datagram", result.cpu_us_per_datagram);
            json.list("server_busy", result.server_busy);
            json.end_object();
        }
    }
    json.end_array();
    json.end_object();
    return json.text() + "\n";
}

int run(const Settings& settings) {
    const Machine machine = prepare_machine();
    std::vector<UdpServer> servers = all_udp_servers();
    std::erase_if(servers, [&](const UdpServer& server) {
        const bool wanted =
            settings.servers.empty() || std::find(settings.servers.begin(), settings.servers.end(),
                                                  server.name) != settings.servers.end();
        if (wanted && access(server.command.front().c_str(), X_OK) != 0) {
            fmt::print(stderr, "skipped: {}: not built\n", server.name);
            return true;
        }
        return !wanted;
    });
    Progress progress;
    progress.expect(std::size(shapes) * settings.rounds * servers.size());
    std::vector<std::vector<Result>> cells;
    for (const UdpShape& shape : shapes) {
        cells.push_back(measure(settings, machine, shape, servers, progress));
    }
    progress.clear();
    bool failed = false;
    fmt::print("{}, Linux {}; {} rounds of {} ms; ratios: to {}\n\n", machine.cpu_model,
               machine.kernel, settings.rounds, settings.slice.count(), reference);
    for (const std::vector<Result>& cell : cells) {
        fmt::print("{}", table_of(cell, settings.rounds));
        failed = failed || std::any_of(cell.begin(), cell.end(),
                                       [](const Result& r) { return !r.failure.empty(); });
    }
    for (const std::string& label : machine.labels) {
        fmt::print("NOTE: {}\n", label);
    }
    if (!settings.json_path.empty()) {
        std::ofstream(settings.json_path) << json_of(machine, cells);
    }
    return failed ? 1 : 0;
}

}  // namespace

}  // namespace bench::udp

int main(int argc, char** argv) {
    return bench::run_driver("udp", [&] {
        const auto settings = bench::udp::parse(argc, argv);
        if (settings.help) {
            fmt::print("{}", bench::udp::usage);
            return 0;
        }
        return bench::udp::run(settings);
    });
}
