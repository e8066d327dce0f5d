// Rival: standalone Asio with C++20 coroutines, the way its users write a line server: async_read_until into a string, then
// async_write of the line, both awaited with use_awaitable. One io_context per thread without locks, as in asio_echo.cpp.
#include "server_support.hpp"

#include <memory>
#include <string>
#include <tuple>

#include <asio.hpp>

namespace {

using asio::ip::tcp;

// No message of the benchmark is longer.
constexpr std::size_t most_bytes = 4 * 1024 * 1024;
constexpr std::size_t receive_bytes = 64 * 1024;

asio::awaitable<void> sink(tcp::socket& socket) {
    std::string buffer(receive_bytes, '\0');
    for (;;) {
        co_await socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    }
}

asio::awaitable<void> echo_lines(tcp::socket& socket) {
    std::string buffer;
    buffer.reserve(receive_bytes);
    for (;;) {
        const std::size_t count = co_await asio::async_read_until(
            socket, asio::dynamic_buffer(buffer, most_bytes), '\n', asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(buffer.data(), count), asio::use_awaitable);
        buffer.erase(0, count);
    }
}

asio::awaitable<void> serve(tcp::socket socket, bool sink_only) {
    try {
        if (sink_only) {
            co_await sink(socket);
        } else {
            co_await echo_lines(socket);
        }
    } catch (const std::system_error&) {
        // The client is gone.
    }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor, bool sink_only) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        std::error_code ignored;
        std::ignore = socket.set_option(tcp::no_delay(true), ignored);
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), sink_only),
                       asio::detached);
    }
}

}  // namespace

int main(int argc, char** argv) {
    return bench::serve_on_threads(
        argc, argv, [](int listener, const bench::ServerOptions& options) {
            asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
            tcp::acceptor acceptor(context, tcp::v4(), listener);
            asio::co_spawn(context, accept(acceptor, options.sink), asio::detached);
            context.run();
        });
}
