// Fetches one page with streams. Usage: http_get host [port [path [--tls | ca.pem]]]
#include <sluice/sluice.hpp>

#include <chrono>
#include <iostream>
#include <string>

struct Page {
    std::string host;
    std::string port = "80";
    std::string path = "/";
    std::string tls;  // empty: plain; a file: trust what it holds
};

sluice::Task<> fetch(Page page) {
    sluice::ConnectOptions options;
    options.timeout(std::chrono::seconds(10));
    if (page.tls == "--tls") {
        options.tls(sluice::TlsContext::client());
    } else if (!page.tls.empty()) {
        auto trust = sluice::TlsOptions().certificate_authority_file(page.tls);
        options.tls(sluice::TlsContext::client(trust));
    }
    auto [reader, writer] = co_await sluice::open_connection(page.host, page.port, options);
    writer.writelines({"GET ", page.path, " HTTP/1.0\r\nHost: ", page.host, "\r\n\r\n"});

    auto answer = sluice::timeout(std::chrono::seconds(10), reader.readline());
    const std::string status = co_await answer;
    std::cerr << status;
    auto field = co_await reader.next_line();
    while (field && !field->empty()) {
        field = co_await reader.next_line();
    }
    std::string body = co_await reader.read_some();
    while (!body.empty()) {
        std::cout << body;
        body = co_await reader.read_some();
    }
    writer.close();
    co_await writer.wait_closed();
}

int main(int argc, char** argv) try {
    Page page;
    std::string* const parts[] = {&page.host, &page.port, &page.path, &page.tls};
    for (int i = 1; i < argc && i <= 4; ++i) {
        *parts[i - 1] = argv[i];
    }
    sluice::EventLoop loop;
    loop.run_until_complete(fetch(page));
} catch (const std::exception& error) {
    std::cerr << "http_get: " << error.what() << '\n';
    return 1;
}
