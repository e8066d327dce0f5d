// A chat of lines over TLS, as coroutines. Usage: tls_chat certificate.pem key.pem [host [port]]
// Talk to it with: openssl s_client -quiet -crlf -connect localhost:8443
#include <sluice/sluice.hpp>

#include <iostream>
#include <map>
#include <string>

std::map<std::string, sluice::StreamWriter> members;  // by name

void tell_everybody(const std::string& text) {
    for (const auto& [name, writer] : members) {
        if (writer.transport().get_write_buffer_size() < 64 * 1024) {
            writer.write(text);  // Who does not read misses something.
        }
    }
}

sluice::Task<> converse(sluice::StreamReader& reader, const std::string& name) {
    tell_everybody("* " + name + " is here\n");
    for (auto line = co_await reader.next_line(); line; line = co_await reader.next_line()) {
        tell_everybody(name + ": " + *line + "\n");
    }
}

sluice::Task<> chat(sluice::StreamReader reader, sluice::StreamWriter writer) {
    writer.write("your name?\n");
    const auto name = co_await reader.next_line();
    if (!name || name->empty() || members.contains(*name)) {
        writer.write("not that one, goodbye\n");
        co_return;
    }
    members.emplace(*name, writer);
    try {
        sluice::Task<> conversation = converse(reader, *name);
        co_await conversation;
    } catch (const std::runtime_error& error) {  // The connection broke, or the line is too long.
        std::cerr << *name << ": " << error.what() << '\n';
    }
    members.erase(*name);
    tell_everybody("* " + *name + " has left\n");
}

int main(int argc, char** argv) try {
    if (argc < 3) {
        throw std::invalid_argument("usage: tls_chat certificate key [host [port]]");
    }
    sluice::EventLoop loop;
    auto options = sluice::ServerOptions().tls(sluice::TlsContext::server(argv[1], argv[2]));
    const auto server = loop.run_until_complete(sluice::start_server(
        &chat, argc > 3 ? argv[3] : "127.0.0.1", argc > 4 ? argv[4] : "8443", std::move(options)));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
} catch (const std::exception& error) {
    std::cerr << "tls_chat: " << error.what() << '\n';
    return 1;
}
