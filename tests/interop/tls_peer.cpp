// Our side of the interop tests: what the examples leave out (ALPN, versions, several connections
// with one context), by command line. It must not check anything that the other implementation is
// asked about: the test script does that.
//
//   tls_peer echo CERTIFICATE KEY [OPTION VALUE]...       gives everything back
//   tls_peer page CERTIFICATE KEY [OPTION VALUE]...       answers the first bytes with an HTTP page
//   tls_peer client HOST PORT [OPTION VALUE]...           sends lines, expects them back
//
// Servers print a line per connection that is made, clients one per connection that ended well.
#include <sluice/sluice.hpp>

#include <algorithm>
#include <charconv>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Settings {
    sluice::TlsOptions tls;
    std::size_t lines = 1;
    int connections = 1;
};

/// Each line is its own mirror image, so that servers that reverse lines serve as echo servers. Only
/// digits: no command of any test client begins with one.
std::string numbered_lines(std::size_t count) {
    constexpr std::size_t half_bytes = 2048;
    std::string text;
    for (std::size_t number = 0; number < count; ++number) {
        std::string half = std::to_string(1'000'000 + number);
        half.resize(half_bytes, '0');
        text += half;
        text.append(half.rbegin(), half.rend());
        text += '\n';
    }
    return text;
}

std::string describe(const sluice::Transport& transport) {
    const auto info = transport.get_extra_info(sluice::extra::tls);
    return info.version() + " cipher=" + info.cipher() + " alpn=" + info.alpn() +
           " reused=" + (info.session_reused() ? "yes" : "no") +
           " peer=" + (info.peer_certificate() ? info.peer_certificate()->subject : "nobody");
}

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        std::cout << describe(transport) << '\n' << std::flush;
    }
    void data_received(sluice::Bytes data) override { transport_->write(data); }
    void pause_writing() override { transport_->pause_reading(); }
    void resume_writing() override { transport_->resume_reading(); }

protected:
    sluice::Transport* transport_ = nullptr;
};

/// The request is not parsed: a test client's fits one record.
class Page : public Echo {
public:
    explicit Page(std::size_t lines) : lines_(lines) {}
    void data_received(sluice::Bytes) override {
        const std::string page = numbered_lines(lines_);
        transport_->write("HTTP/1.0 200 OK\r\nContent-Length: " + std::to_string(page.size()) +
                          "\r\n\r\n" + page);
        transport_->close();
    }

private:
    std::size_t lines_;
};

class Client : public sluice::Protocol {
public:
    Client(std::size_t lines, sluice::Future<> finished)
        : message_(numbered_lines(lines)), finished_(std::move(finished)) {}

    void connection_made(sluice::Transport& transport) override {
        transport_ = &transport;
        transport.write(message_);
    }
    void data_received(sluice::Bytes data) override {
        answer_ += sluice::as_text(data);
        if (answer_.size() >= message_.size()) {
            description_ = describe(*transport_);
            transport_->close();
        }
    }
    void connection_lost(std::error_code reason) override {
        if (reason || answer_ != message_) {
            const auto failure = transport_->get_extra_info(sluice::extra::tls_failure);
            const std::string why = "after " + std::to_string(answer_.size()) + " of " +
                                    std::to_string(message_.size()) + " bytes: " + failure.text;
            finished_.try_set_exception(std::make_exception_ptr(std::system_error(reason, why)));
            return;
        }
        std::cout << description_ << " bytes=" << answer_.size() << '\n' << std::flush;
        finished_.try_set_result();
    }

private:
    std::string message_;
    std::string answer_;
    std::string description_;
    sluice::Future<> finished_;
    sluice::Transport* transport_ = nullptr;
};

sluice::Task<> talk(sluice::EventLoop& loop, std::string host, std::string port,
                    sluice::TlsContext context, std::size_t lines, int connections) {
    for (int number = 0; number < connections; ++number) {
        const sluice::Future<> finished = loop.create_future();
        auto options = sluice::ConnectOptions().tls(context);
        auto connecting = loop.create_connection<Client>(host, sluice::Port(port),
                                                         std::move(options), lines, finished);
        co_await connecting;
        co_await finished;
    }
}

sluice::TlsVersion version_of(std::string_view text) {
    return text == "1.2" ? sluice::TlsVersion::tls1_2 : sluice::TlsVersion::tls1_3;
}

int number_of(std::string_view text) {
    int number = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec != std::errc{} || number < 1) {
        throw std::invalid_argument("not a number: " + std::string(text));
    }
    return number;
}

Settings settings_of(const std::vector<std::string>& words, std::size_t first) {
    Settings settings;
    for (std::size_t at = first; at + 1 < words.size(); at += 2) {
        const std::string& name = words[at];
        const std::string& value = words[at + 1];
        if (name == "--authority") {
            settings.tls.certificate_authority_file(value);
        } else if (name == "--client-authority") {
            settings.tls.certificate_authority_file(value).client_certificates(
                sluice::ClientCertificates::required);
        } else if (name == "--identity") {
            settings.tls.identity_files(value + ".pem", value + ".key");
        } else if (name == "--version") {
            settings.tls.minimum_version(version_of(value)).maximum_version(version_of(value));
        } else if (name == "--alpn") {
            settings.tls.alpn({value});
        } else if (name == "--lines") {
            settings.lines = static_cast<std::size_t>(number_of(value));
        } else if (name == "--connections") {
            settings.connections = number_of(value);
        } else {
            throw std::invalid_argument("unknown option: " + name);
        }
    }
    return settings;
}

void run(const std::vector<std::string>& words) {
    if (words.size() < 3) {
        throw std::invalid_argument("usage: tls_peer echo|page|client ...");
    }
    Settings settings = settings_of(words, 3);
    sluice::EventLoop loop;
    if (words[0] == "client") {
        auto context = sluice::TlsContext::client(std::move(settings.tls));
        loop.run_until_complete(talk(loop, words[1], words[2], std::move(context), settings.lines,
                                     settings.connections));
        return;
    }
    auto options = sluice::ServerOptions().tls(
        sluice::TlsContext::server(words[1], words[2], std::move(settings.tls)));
    auto serving =
        words[0] == "page"
            ? loop.create_server<Page>("127.0.0.1", 0, std::move(options), settings.lines)
            : loop.create_server<Echo>("127.0.0.1", 0, std::move(options));
    const auto server = loop.run_until_complete(std::move(serving));
    std::cout << "listening on " << server->local_address().to_string() << '\n' << std::flush;
    loop.run_forever();
}

}  // namespace

int main(int argc, char** argv) try {
    run({argv + 1, argv + argc});
} catch (const std::exception& error) {
    std::cerr << "tls_peer: " << error.what() << '\n';
    return 1;
}
