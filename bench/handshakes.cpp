// Makes a fixed number of TLS handshakes with one server, in steps, and shows the server's memory after each. A server whose
// memory goes on growing fails (exit status 1).
//
// With --under it is also how exact counts are had: the same work for every server, whatever runs it (valgrind, strace).
#include "driver/catalogue.hpp"
#include "driver/handshake_load.hpp"
#include "driver/machine.hpp"
#include "driver/program.hpp"
#include "driver/server_process.hpp"
#include "driver/tls_certificate.hpp"
#include "driver/words.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <stdexcept>

#include <fmt/core.h>

namespace bench::handshakes {

namespace {

constexpr const char* usage = R"(usage: handshakes [options]
  --count N      handshakes in all                      [1000000]
  --steps N      how often memory is looked at           [10]
  --resumed      resumed handshakes; the first is full
  --server NAME  as bench/echo --help lists them         [sluice]
  --under WORDS  run the server by this command, e.g. "/usr/bin/valgrind --tool=callgrind"
)";

// What a process may hold more after the last step than after the first and still count as not growing: an allocator's pages,
// not a leak. Over a million handshakes it is a quarter of a byte each.
constexpr std::size_t noise_kib = 256;

struct Settings {
    std::size_t count = 1'000'000;
    std::size_t steps = 10;
    bool resumed = false;
    std::string server = "sluice";
    std::vector<std::string> under;
    bool help = false;
};

Settings parse(int argc, char** argv) {
    Settings settings;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--help") {
            settings.help = true;
            continue;
        }
        if (name == "--resumed") {
            settings.resumed = true;
            continue;
        }
        if (i + 1 == argc) {
            throw std::invalid_argument(fmt::format("{}: unknown, or a value is missing", name));
        }
        const std::string value = argv[++i];
        if (name == "--count") {
            settings.count = number(name, value);
        } else if (name == "--steps") {
            settings.steps = number(name, value);
        } else if (name == "--server") {
            settings.server = value;
        } else if (name == "--under") {
            std::istringstream words(value);
            for (std::string word; words >> word;) {
                settings.under.push_back(word);
            }
        } else {
            throw std::invalid_argument(fmt::format("there is no option {}", name));
        }
    }
    if (settings.steps > settings.count) {
        throw std::invalid_argument("--steps: more than --count");
    }
    return settings;
}

std::vector<std::string> command_of(const Settings& settings) {
    const std::string pem_file = beside_us("tls_server.pem");
    make_tls_file(pem_file);
    for (const Server& server : all_tls_servers("", pem_file)) {
        if (server.name == settings.server) {
            std::vector<std::string> command = settings.under;
            const std::vector<std::string> own = server.command_for({});
            command.insert(command.end(), own.begin(), own.end());
            return command;
        }
    }
    throw std::invalid_argument(fmt::format("--server: there is no '{}'", settings.server));
}

int run(const Settings& settings) {
    const std::vector<std::string> command = command_of(settings);
    const Machine machine = prepare_machine();
    const ServerProcess server(command, {machine.server_core});
    HandshakeLoad load(server.port(), settings.resumed);
    fmt::print("{}, {} handshakes\n{:>12}  {:>12}  {:>12}\n", settings.server,
               settings.resumed ? "resumed" : "full", "handshakes", "CPU us each", "KiB resident");
    std::size_t made = 0;
    std::size_t after_first = 0;
    std::size_t resident = 0;
    for (std::size_t step = 1; step <= settings.steps; ++step) {
        const std::size_t goal = settings.count * step / settings.steps;
        const auto cpu_before = server.cpu_time();
        load.run(goal - made);
        server.wait_until_asleep();
        const std::chrono::duration<double, std::micro> cpu = server.cpu_time() - cpu_before;
        resident = server.resident_kib();
        after_first = step == 1 ? resident : after_first;
        fmt::print("{:>12}  {:>12.1f}  {:>12}\n", goal,
                   cpu.count() / static_cast<double>(goal - made), resident);
        std::fflush(stdout);
        made = goal;
    }
    const bool grows = resident > after_first + noise_kib;
    fmt::print("{}\n", grows ? "memory grows" : "memory does not grow");
    return grows ? 1 : 0;
}

}  // namespace

}  // namespace bench::handshakes

int main(int argc, char** argv) {
    return bench::run_driver("handshakes", [&] {
        const auto settings = bench::handshakes::parse(argc, argv);
        if (settings.help) {
            fmt::print("{}", bench::handshakes::usage);
            return 0;
        }
        return bench::handshakes::run(settings);
    });
}
