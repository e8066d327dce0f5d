// Parses the driver's command line: see options.hpp.
#include "options.hpp"

#include "words.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

namespace bench {

namespace {

constexpr std::string_view usage =
    R"(Echo benchmark over loopback: ours, a hand-written epoll server, and the rivals.

  --servers LIST      of raw_epoll,raw_uring,sluice,sluice_buffered,sluice_io_uring,asio,libuv,libevent,asyncio,uvloop
                      (default: all), and of
                      raw_epoll_tuned, which is there for TLS only
  --sizes LIST        message sizes in bytes (default: 64,256,1024,8192,16384,32768,102400,262144)
  --connections LIST  (default: 1,50,1000)
  --depth LIST        messages sent at once on a connection (default: 1, and 16 once)
  --rounds N          interleaved rounds (default: 9; with --quick 6, and 3 of TLS)
  --ms N              measuring time of one server in one round (default: 300)
  --idle N            idle connections for the memory rows (default: 10000)
  --rate N            messages a second for the latency rows (default: 20000)
  --backend NAME      of our servers but sluice_io_uring: epoll or io_uring
  --json FILE         write all results, for bench/chart.py
  --quick             fewer cells and shorter slices: less than two minutes

Parts of a run (default: all of them):
  --echo --syscalls --threads --latency --bulk --writelines --accept --memory
  --tls --handshakes --tls-memory
)";

using Setter = std::function<void(Options&, std::string_view option, std::string_view value)>;

const std::map<std::string_view, Setter>& setters() {
    static const std::map<std::string_view, Setter> table = {
        {"--servers", [](Options& o, auto, auto value) { o.servers = words(value); }},
        {"--sizes", [](Options& o, auto name, auto value) { o.sizes = numbers(name, value); }},
        {"--connections",
         [](Options& o, auto name, auto value) { o.connections = numbers(name, value); }},
        {"--depth", [](Options& o, auto name, auto value) { o.depths = numbers(name, value); }},
        {"--rounds",
         [](Options& o, auto name, auto value) {
             o.rounds = number(name, value);
             o.tls_rounds = o.rounds;
         }},
        {"--ms", [](Options& o, auto name,
                    auto value) { o.slice = std::chrono::milliseconds(number(name, value)); }},
        {"--idle",
         [](Options& o, auto name, auto value) { o.idle_connections = number(name, value); }},
        {"--rate", [](Options& o, auto name, auto value) { o.latency_rate = number(name, value); }},
        {"--backend", [](Options& o, auto, auto value) { o.backend = value; }},
        {"--json", [](Options& o, auto, auto value) { o.json_path = value; }},
    };
    return table;
}

bool* section_flag(Sections& sections, std::string_view name) {
    const std::map<std::string_view, bool*> flags = {
        {"--echo", &sections.echo},
        {"--syscalls", &sections.syscalls},
        {"--threads", &sections.threads},
        {"--latency", &sections.latency},
        {"--bulk", &sections.bulk},
        {"--accept", &sections.accept},
        {"--memory", &sections.memory},
        {"--writelines", &sections.writelines},
        {"--tls", &sections.tls},
        {"--handshakes", &sections.handshakes},
        {"--tls-memory", &sections.tls_memory},
    };
    const auto found = flags.find(name);
    return found == flags.end() ? nullptr : found->second;
}

void fill_defaults(Options& options, bool any_section) {
    options.default_grid =
        options.sizes.empty() && options.connections.empty() && options.depths.empty();
    if (options.sizes.empty()) {
        options.sizes = options.quick ? std::vector<std::size_t>{64, 1024, 8192, 102'400}
                                      : std::vector<std::size_t>{64,     256,    1024,    8192,
                                                                 16'384, 32'768, 102'400, 262'144};
    }
    if (options.connections.empty()) {
        options.connections =
            options.quick ? std::vector<std::size_t>{1, 50} : std::vector<std::size_t>{1, 50, 1000};
    }
    if (options.depths.empty()) {
        options.depths = {1};
    }
    if (!any_section) {
        options.sections = {true, true, true, true, true, true, true, true, true, true, true};
    }
}

}  // namespace

std::string_view usage_text() {
    return usage;
}

Options parse_options(int argc, char** argv) {
    Options options;
    if (std::find(argv + 1, argv + argc, std::string_view("--quick")) != argv + argc) {
        // First of all and only defaults: an explicit value wins wherever it stands.
        options.quick = true;
        options.slice = std::chrono::milliseconds(40);
        // The fewest that still give an interval of 95 %.
        options.rounds = 6;
        options.idle_connections = 2'000;
        options.tls_rounds = 3;
    }
    bool any_section = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--help") {
            options.help = true;
            return options;
        }
        if (name == "--quick") {
            continue;
        }
        if (bool* flag = section_flag(options.sections, name)) {
            *flag = any_section = true;
            continue;
        }
        const auto setter = setters().find(name);
        if (setter == setters().end()) {
            throw std::invalid_argument(
                fmt::format("unknown option '{}'; --help lists them", name));
        }
        if (++i == argc) {
            throw std::invalid_argument(fmt::format("{}: a value is missing", name));
        }
        setter->second(options, name, argv[i]);
    }
    fill_defaults(options, any_section);
    return options;
}

}  // namespace bench
