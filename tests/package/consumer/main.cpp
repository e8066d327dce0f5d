// A consumer's first translation unit: an echo over loopback with the library as it was installed, fetched or copied,
// after comparing what it was compiled with to what it was linked with. Uses what users use most: a server, a client,
// coroutines, a future, exceptions that cross the library's border, a TLS context.
#include <sluice/sluice.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

const char* version_seen_by_second_unit();

namespace {

class Echo : public sluice::Protocol {
public:
    void connection_made(sluice::Transport& transport) override { transport_ = &transport; }
    void data_received(sluice::Bytes data) override { transport_->write(data); }

private:
    sluice::Transport* transport_ = nullptr;
};

class Collector : public sluice::Protocol {
public:
    explicit Collector(sluice::Future<std::string> answer) : answer_(std::move(answer)) {}
    void data_received(sluice::Bytes data) override { received_ += sluice::as_text(data); }
    void connection_lost(std::error_code reason) override {
        if (reason) {
            answer_.try_set_exception(std::make_exception_ptr(std::system_error(reason)));
        } else {
            answer_.try_set_result(received_);
        }
    }

private:
    sluice::Future<std::string> answer_;
    std::string received_;
};

sluice::Task<> echo_over_loopback(sluice::EventLoop& loop, std::string sent) {
    const auto server = co_await loop.create_server<Echo>("127.0.0.1", 0);
    const sluice::Future<std::string> answer = loop.create_future<std::string>();
    const std::uint16_t port = server->local_address().port();
    sluice::ConnectOptions options;
    options.timeout(std::chrono::seconds(20));
    const auto connection =
        co_await loop.create_connection<Collector>("127.0.0.1", port, options, answer);
    connection.transport->write(sent);
    connection.transport->write_eof();
    const std::string received = co_await answer;
    if (received != sent) {
        throw std::runtime_error("the echo differs from what was sent");
    }
    server->close();
    co_await server->wait_closed();
}

sluice::Task<> connect_where_nobody_listens(sluice::EventLoop& loop) {
    const auto server = co_await loop.create_server<Echo>("127.0.0.1", 0);
    const std::uint16_t port = server->local_address().port();
    server->close();
    const auto connection = co_await loop.create_connection<Echo>("127.0.0.1", port);
    connection.transport->abort();
}

// What the library throws is caught by its type here: both sides have the same type information.
bool recognises_an_exception_of_the_library(sluice::EventLoop& loop) {
    try {
        loop.run_until_complete(connect_where_nobody_listens(loop));
    } catch (const sluice::AddressError& error) {
        return error.code() == std::errc::connection_refused;
    }
    return false;
}

// TLS needs OpenSSL at the link, which the package has to bring along.
bool reaches_tls() {
    try {
        sluice::TlsContext::server("no/certificate.pem", "no/key.pem");
    } catch (const sluice::TlsConfigError& error) {
        return error.code() == std::errc::no_such_file_or_directory;
    }
    return false;
}

}  // namespace

int main() {
    if (std::strcmp(sluice::version(), SLUICE_VERSION_STRING) != 0 ||
        sluice::version() != version_seen_by_second_unit()) {
        std::puts("the headers and the library differ");
        return 1;
    }
    try {
        sluice::EventLoop loop;
        // More than any socket buffer takes at once, so that the write queue takes part.
        loop.run_until_complete(echo_over_loopback(loop, std::string(8'000'000, 'x')));
        if (!recognises_an_exception_of_the_library(loop)) {
            std::puts("an AddressError was not recognised");
            return 1;
        }
        if (!reaches_tls()) {
            std::puts("a TlsConfigError was not recognised");
            return 1;
        }
    } catch (const std::exception& error) {
        std::printf("failed: %s\n", error.what());
        return 1;
    }
    std::printf("sluice %s\n", sluice::version());
}
