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

Server python_server(const char* name, const char* package) {
    return {name,
            package,
            {python, SLUICE_BENCH_SOURCE_DIR "/rivals/python_echo.py", "--loop", name},
            false};
}

std::vector<std::string> our_server(const char* protocol, const std::string& backend) {
    std::vector<std::string> command = {beside_us("echo_server"), "--protocol", protocol};
    if (!backend.empty()) {
        command.insert(command.end(), {"--backend", backend});
    }
    return command;
}

}  // namespace

std::string beside_us(const std::string& file) {
    return (fs::read_symlink("/proc/self/exe").parent_path() / file).string();
}

std::vector<std::string> Server::command_for(const ServerVariant& variant) const {
    std::vector<std::string> words =
        variant.pieces && !pieces_command.empty() ? pieces_command : command;
    words.insert(words.end(), {"--host", "127.0.0.1", "--port", "0"});
    // Only what differs from the default, so that a server without threads still serves everything else.
    if (variant.threads > 1) {
        words.insert(words.end(), {"--threads", std::to_string(variant.threads)});
    }
    if (variant.sink) {
        words.insert(words.end(), {"--mode", "sink"});
    }
    if (variant.pieces) {
        words.insert(words.end(), {"--mode", "pieces"});
    }
    return words;
}

std::vector<Server> all_servers(const std::string& backend) {
    std::vector<std::string> pieces = {beside_us("writelines_server")};
    if (!backend.empty()) {
        pieces.insert(pieces.end(), {"--backend", backend});
    }
    return {
        {std::string(reference_server), "", {beside_us("raw_epoll")}},
        {.name = "raw_uring",
         .needs = "liburing-dev",
         .command = {beside_us("raw_uring")},
         .many_loops = false,
         .echo_only = true},
        {"sluice", "", our_server("simple", backend), true, pieces},
        {"sluice_buffered", "", our_server("buffered", backend)},
        {.name = "sluice_io_uring",
         .needs = "liburing-dev",
         .command = our_server("simple", "io_uring")},
        {.name = "sluice_streams",
         .needs = "",
         .command = our_server("streams", backend),
         .many_loops = false,
         .echo_only = true},
        {"asio", "libasio-dev", {beside_us("asio_echo")}},
        {.name = "asio_coroutines",
         .needs = "libasio-dev",
         .command = {beside_us("asio_coroutines_echo")},
         .many_loops = false,
         .echo_only = true},
        {"libuv", "libuv1-dev", {beside_us("libuv_echo")}},
        {"libevent", "libevent-dev", {beside_us("libevent_echo")}},
        python_server("asyncio", "python3"),
        python_server("uvloop", "python3-uvloop"),
    };
}

std::vector<Server> all_tls_servers(const std::string& backend, const std::string& pem_file) {
    std::vector<Server> servers = {
        {std::string(reference_server), "", {beside_us("raw_epoll_tls")}},
        {.name = "raw_epoll_tuned",
         .needs = "",
         .command = {beside_us("raw_epoll_tls"), "--tuned", "1"},
         .echo_only = true},
        {"sluice", "", our_server("simple", backend)},
        {"sluice_buffered", "", our_server("buffered", backend)},
        {.name = "sluice_io_uring",
         .needs = "liburing-dev",
         .command = our_server("simple", "io_uring")},
        {"asio", "libasio-dev", {beside_us("asio_tls_echo")}},
        {"libuv", "libuv1-dev", {beside_us("libuv_tls_echo")}},
        {"libevent", "libevent-dev", {beside_us("libevent_tls_echo")}},
        python_server("asyncio", "python3"),
        python_server("uvloop", "python3-uvloop"),
    };
    for (Server& server : servers) {
        server.command.insert(server.command.end(),
                              {"--tls", "--cert", pem_file, "--key", pem_file});
    }
    return servers;
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
