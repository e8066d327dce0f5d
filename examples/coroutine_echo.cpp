// An echo server of lines, as coroutines: one task per client. Usage: coroutine_echo [host [port]]
#include <sluice/sluice.hpp>

#include <iostream>
#include <string>

sluice::Task<> echo(sluice::StreamReader reader, sluice::StreamWriter writer) {
    for (std::string line = co_await reader.readline(); !line.empty();
         line = co_await reader.readline()) {
        writer.write(line);
        co_await writer.drain();  // Waits while the client does not read its answers.
    }
}

int main(int argc, char** argv) {
    sluice::EventLoop loop;
    const auto server = loop.run_until_complete(
        sluice::start_server(&echo, argc > 1 ? argv[1] : "127.0.0.1", argc > 2 ? argv[2] : "8888"));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}
