// Asks several servers at once, a time limit for each and one for all, and loses neither a task nor an
// error. It starts the servers itself; one of them never answers. Usage: structured_crawler
#include <sluice/sluice.hpp>

#include <iostream>

using namespace std::chrono_literals;

class Page : public sluice::Protocol {
public:
    explicit Page(std::string text) : text_(std::move(text)) {}
    void connection_made(sluice::Transport& transport) override {
        if (!text_.empty()) {
            transport.write(text_);
            transport.close();
        }
    }
    void data_received(sluice::Bytes) override {}

private:
    std::string text_;
};

class Reader : public sluice::Protocol {
public:
    explicit Reader(sluice::Future<std::string> page) : page_(std::move(page)) {}
    void data_received(sluice::Bytes data) override { text_ += sluice::as_text(data); }
    void connection_lost(std::error_code) override { page_.try_set_result(text_); }

private:
    sluice::Future<std::string> page_;
    std::string text_;
};

sluice::Task<> fetch(sluice::EventLoop& loop, std::uint16_t port, std::string& pages) {
    const auto page = loop.create_future<std::string>();
    const auto connection = co_await loop.create_connection<Reader>("127.0.0.1", port, {}, page);
    try {
        pages += co_await sluice::timeout(200ms, page);
    } catch (const sluice::TimeoutError&) {
        pages += "(no answer)\n";
        connection.transport->abort();
    }
}

sluice::Task<std::string> crawl(sluice::EventLoop& loop) {
    std::string pages;
    sluice::TaskGroup group;  // Declared last: its tasks refer to what stands above.
    for (const std::string text : {"one\n", "two\n", ""}) {
        const auto server = co_await loop.create_server<Page>("127.0.0.1", 0, {}, text);
        group.create_task(fetch(loop, server->local_address().port(), pages));
    }
    co_await group.wait();  // Throws ExceptionGroup with everything that failed.
    co_return pages;
}

int main() {
    std::cout << sluice::run([](auto& loop) { return sluice::timeout(10s, crawl(loop)); });
}
