// A server of static files over HTTP/1.1, plain or over TLS: the command line, and the life of the server from its socket
// to its end by SIGTERM or SIGINT. Usage: file_server [option value]... folder [host [port]]
#include <sluice/sluice.hpp>

#include "connection.hpp"

#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace file_server {

namespace {

constexpr const char* usage =
    "usage: file_server [option value]... folder [host [port]]\n"
    "  --tls on             HTTPS; needs a certificate and its key\n"
    "  --cert FILE          certificate chain, PEM\n"
    "  --key FILE           its private key, PEM\n"
    "  --ktls on            TLS by the kernel where it can\n"
    "  --chunk BYTES        how much of a file is read at once where the kernel cannot send it\n"
    "  --head-timeout MS    for a request's head to arrive (10000)\n"
    "  --keep-alive MS      between requests (75000)\n"
    "  --send-timeout MS    without a byte taken by the client (60000)\n"
    "  --drain MS           for answers under way when asked to stop (10000)";

struct Arguments {
    std::string folder;
    std::string host = "127.0.0.1";
    std::string port = "8080";
    bool tls = false;
    bool ktls = false;
    std::string certificate;
    std::string key;
    std::chrono::milliseconds drain_time{10'000};
    Settings settings;
};

unsigned long number(std::string_view name, const std::string& text,
                     unsigned long most = 1'000'000'000) {
    std::size_t used = 0;
    unsigned long value = 0;
    try {
        value = std::stoul(text, &used);
    } catch (const std::logic_error&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value == 0 || value > most || text.front() == '-') {
        throw std::invalid_argument(std::string(name) + ": expected a number from 1 to " +
                                    std::to_string(most) + ", got '" + text + "'");
    }
    return value;
}

using Setter = std::function<void(Arguments&, std::string_view, const std::string&)>;

Setter switch_of(bool Arguments::* member) {
    return [member](Arguments& arguments, std::string_view name, const std::string& value) {
        if (value != "on" && value != "off") {
            throw std::invalid_argument(std::string(name) + ": on or off, not '" + value + "'");
        }
        arguments.*member = value == "on";
    };
}

Setter milliseconds_of(std::chrono::milliseconds Settings::* member) {
    return [member](Arguments& arguments, std::string_view name, const std::string& value) {
        arguments.settings.*member = std::chrono::milliseconds(number(name, value));
    };
}

const std::map<std::string_view, Setter>& setters() {
    static const std::map<std::string_view, Setter> table = {
        {"--tls", switch_of(&Arguments::tls)},
        {"--ktls", switch_of(&Arguments::ktls)},
        {"--cert",
         [](Arguments& arguments, auto, const auto& value) { arguments.certificate = value; }},
        {"--key", [](Arguments& arguments, auto, const auto& value) { arguments.key = value; }},
        {"--chunk",
         [](Arguments& arguments, auto name, const auto& value) {
             arguments.settings.sendfile.fallback_chunk_size =
                 number(name, value, sluice::limits::file_chunk_max_bytes);
         }},
        {"--head-timeout", milliseconds_of(&Settings::head_timeout)},
        {"--keep-alive", milliseconds_of(&Settings::keep_alive_timeout)},
        {"--send-timeout", milliseconds_of(&Settings::send_timeout)},
        {"--drain",
         [](Arguments& arguments, auto name, const auto& value) {
             arguments.drain_time = std::chrono::milliseconds(number(name, value));
         }},
    };
    return table;
}

Arguments parse_arguments(int argc, char** argv) {
    Arguments arguments;
    std::vector<std::string> places;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (!word.starts_with("--")) {
            places.push_back(word);
            continue;
        }
        const auto setter = setters().find(word);
        if (setter == setters().end() || i + 1 == argc) {
            throw std::invalid_argument(word + ": no such option, or its value is missing\n" +
                                        usage);
        }
        setter->second(arguments, word, argv[++i]);
    }
    if (places.empty() || places.size() > 3) {
        throw std::invalid_argument(usage);
    }
    arguments.folder = places[0];
    arguments.host = places.size() > 1 ? places[1] : arguments.host;
    arguments.port = places.size() > 2 ? places[2] : arguments.port;
    return arguments;
}

sluice::Task<> serve(sluice::EventLoop& loop, Site& site, Arguments arguments) {
    const sluice::Future<> asked_to_stop = loop.create_future();
    for (const int signal_number : {SIGTERM, SIGINT}) {
        loop.add_signal_handler(signal_number, [asked_to_stop] {
            if (!asked_to_stop.done()) {
                asked_to_stop.set_result();
            }
        });
    }
    sluice::ServerOptions options;
    options.backlog(1024);
    if (arguments.tls) {
        sluice::TlsOptions tls;
        tls.ktls(arguments.ktls ? sluice::KernelTls::send : sluice::KernelTls::off);
        options.tls(
            sluice::TlsContext::server(arguments.certificate, arguments.key, std::move(tls)));
    }
    auto make_connection = [&site] { return std::make_unique<Connection>(site); };
    sluice::Port port(arguments.port);
    const auto server = co_await loop.create_server(
        std::move(make_connection), std::move(arguments.host), std::move(port), std::move(options));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;

    co_await asked_to_stop;
    const bool all_finished = co_await server->drain(arguments.drain_time);
    if (!all_finished) {
        std::cout << "the deadline cut some off\n";
    }
}

}  // namespace

}  // namespace file_server

int main(int argc, char** argv) try {
    file_server::Arguments arguments = file_server::parse_arguments(argc, argv);
    file_server::Site site(arguments.folder, arguments.settings);
    sluice::EventLoop loop;
    loop.run_until_complete(file_server::serve(loop, site, std::move(arguments)));
} catch (const std::invalid_argument& error) {
    std::cerr << "file_server: " << error.what() << '\n';
    return 2;
} catch (const std::exception& error) {
    std::cerr << "file_server: " << error.what() << '\n';
    return 1;
}
