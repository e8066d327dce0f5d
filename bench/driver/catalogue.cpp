// The list of servers: see catalogue.hpp.
#include "catalogue.hpp"

#include "server_process.hpp"

#include <filesystem>
#include <stdexcept>

#include <unistd.h>

namespace bench {

namespace {

namespace fs = std::filesystem;

// Debian's own, because python3-uvloop belongs to it, whatever python3 the PATH finds first.
constexpr const char* python = "/usr/bin/python3";

std::string beside_us(const char* program) {
    return (fs::read_symlink("/proc/self/exe").parent_path() / program).string();
}

Server python_server(const char* name, const char* package) {
    return {name,
            package,
            {python, SLUICE_BENCH_SOURCE_DIR "/rivals/python_echo.py", "--loop", name},
            false};
}

}  // namespace

std::vector<std::string> Server::command_for(const ServerVariant& variant) const {
    std::vector<std::string> words = command;
    words.insert(words.end(), {"--host", "127.0.0.1", "--port", "0"});
    // Only what differs from the default, so that a server without threads still serves everything else.
    if (variant.threads > 1) {
        words.insert(words.end(), {"--threads", std::to_string(variant.threads)});
    }
    if (variant.sink) {
        words.insert(words.end(), {"--mode", "sink"});
    }
    return words;
}

std::vector<Server> all_servers(const std::string& backend) {
    std::vector<std::string> simple = {beside_us("echo_server"), "--protocol", "simple"};
    std::vector<std::string> buffered = {beside_us("echo_server"), "--protocol", "buffered"};
    if (!backend.empty()) {
        simple.insert(simple.end(), {"--backend", backend});
        buffered.insert(buffered.end(), {"--backend", backend});
    }
    return {
        {std::string(reference_server), "", {beside_us("raw_epoll")}},
        {"sluice", "", simple},
        {"sluice_buffered", "", buffered},
        {"asio", "libasio-dev", {beside_us("asio_echo")}},
        {"libuv", "libuv1-dev", {beside_us("libuv_echo")}},
        {"libevent", "libevent-dev", {beside_us("libevent_echo")}},
        python_server("asyncio", "python3"),
        python_server("uvloop", "python3-uvloop"),
    };
}

std::string reason_not_available(const Server& server, const std::vector<int>& cores) {
    const std::string hint = server.needs.empty() ? "" : " (Debian package " + server.needs + ")";
    if (access(server.command.front().c_str(), X_OK) != 0) {
        return "not built" + hint;
    }
    try {
        ServerProcess(server.command_for({}), cores).stop();
        return "";
    } catch (const std::runtime_error& error) {
        return error.what() + hint;
    }
}

}  // namespace bench
