// What users naturally write with streams, in the forms that GCC 12 is known to miscompile or close to
// them. The style is deliberately not the project's, as in gcc12_coroutines_test.cpp: awaits stand inside
// conditions, calls and declarations, and options are made in the call.
#include <sluice/sluice.hpp>

#include "support/loop_fixture.hpp"
#include "support/transport_pair.hpp"

#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

const std::string long_line =
    "a line that is much too long for the small string optimisation of any standard library\n";

class NaturalStreams : public BackendTest {
protected:
    template <class F>
    std::uint16_t serve_streams(F handler) {
        server_ = run(start_server(std::move(handler), "127.0.0.1", 0));
        return port_of(server_);
    }
    void release_resources() override { server_.reset(); }

    Ref<Server> server_;
};
INSTANTIATE_TEST_SUITE_P(Every, NaturalStreams, testing::ValuesIn(backends()), backend_case_name);

StreamReader fed(std::string_view text) {
    StreamReader reader;
    reader.feed_data(text);
    reader.feed_eof();
    return reader;
}

Task<std::string> reads_inside_expressions(StreamReader reader) {
    std::string all = co_await reader.readline() + co_await reader.readline();
    all += co_await reader.readuntil(std::string("E") + "ND");
    all += (co_await reader.readexactly(3)).substr(1);
    all.append(co_await reader.readuntil_view("/"), 0, 3);
    co_return all + co_await reader.read();
}

TEST_P(NaturalStreams, reads_stand_inside_expressions) {
    EXPECT_EQ(run(reads_inside_expressions(fed(long_line + long_line + "oneENDabcdefg/rest"))),
              long_line + long_line + "oneENDbcdefrest");
}

Task<int> reads_in_conditions(StreamReader reader) {
    int score = 0;
    if ((co_await reader.readline()).size() == long_line.size()) {
        score += 1;
    }
    if (co_await reader.readexactly(3) == "abc") {
        score += 10;
    }
    if (const std::string line = co_await reader.readline(); line == long_line) {
        score += 100;
    }
    if (auto line = co_await reader.next_line()) {
        score += static_cast<int>(1000 * line->size());
    }
    while (!(co_await reader.readline()).empty()) {
        score += 10'000;
    }
    co_return score;
}

TEST_P(NaturalStreams, reads_stand_in_conditions) {
    EXPECT_EQ(run(reads_in_conditions(fed(long_line + "abc" + long_line + "123\none\ntwo\nthree"))),
              33'111);
}

Task<std::vector<std::string>> lines_by_while(StreamReader reader) {
    std::vector<std::string> lines;
    while (auto line = co_await reader.next_line()) {
        lines.push_back(std::move(*line));
    }
    co_return lines;
}

TEST_P(NaturalStreams, a_while_loop_declares_the_line) {
    auto reading = loop().create_task(lines_by_while(fed(long_line + "\n" + long_line)));
    const std::string bare = long_line.substr(0, long_line.size() - 1);
    EXPECT_THAT(finish(reading), testing::ElementsAre(bare, "", bare));
}

Task<std::string> separators_in_the_call(StreamReader reader) {
    std::string all = co_await reader.readuntil(Separators{"\r\n", "\n", ";"});
    all += "|";
    all += co_await reader.readuntil(Separators("a separator beyond all small strings", ";"));
    co_return all;
}

TEST_P(NaturalStreams, separators_are_made_in_the_call) {
    EXPECT_EQ(run(separators_in_the_call(fed("one\r\ntwo;"))), "one\r\n|two;");
}

Task<std::string> timeout_in_the_call(StreamReader reader, StreamReader silent) {
    std::string all = co_await timeout(1h, reader.readline());
    try {
        all += co_await timeout(1ms, silent.readuntil("a separator beyond all small strings"));
    } catch (const TimeoutError&) {
        all += "late";
    }
    auto [first, second] = co_await gather(reader.readline(), reader.readline());
    co_return all + first + second;
}

TEST_P(NaturalStreams, reads_are_made_in_the_calls_of_timeout_and_gather) {
    const StreamReader silent;
    EXPECT_EQ(run(timeout_in_the_call(fed(long_line + "one\ntwo\n"), silent)),
              long_line + "lateone\ntwo\n");
}

// ---- connections ----

Task<> answers(StreamReader reader, StreamWriter writer) {
    try {
        for (;;) {
            writer.write("you said " + co_await reader.readuntil());
            co_await writer.drain();
        }
    } catch (const IncompleteReadError& error) {
        writer.write("and at last " + error.partial());
    }
}

Task<std::string> talk(std::uint16_t port) {
    auto [reader, writer] =
        co_await open_connection("127.0.0.1", port, ConnectOptions().timeout(5s), 10'000);
    writer.write(long_line);
    writer.writelines({"one\n", "t", "wo"});
    writer.write_eof();
    std::string all = co_await reader.readline();
    for (auto line = co_await reader.next_line(); line; line = co_await reader.next_line()) {
        all += *line;
    }
    writer.close();
    co_await writer.wait_closed();
    co_return all;
}

TEST_P(NaturalStreams, a_conversation) {
    EXPECT_EQ(run(talk(serve_streams(&answers))),
              "you said " + long_line + "you said oneand at last two");
}

Task<std::string> server_from_a_lambda(std::string greeting) {
    const auto server = co_await start_server(
        [](StreamReader, StreamWriter writer) -> Task<> {
            writer.write(long_line);
            co_await writer.drain();
        },
        "127.0.0.1", 0, ServerOptions().backlog(10));
    auto [reader, writer] = co_await open_connection("127.0.0.1", server->local_address().port());
    greeting += co_await reader.read();
    writer.close();
    server->close();
    co_return greeting;
}

TEST_P(NaturalStreams, a_lambda_without_captures_stands_in_the_call) {
    EXPECT_EQ(run(server_from_a_lambda("greeting: ")), "greeting: " + long_line);
}

Task<> upgrading_server(StreamReader reader, StreamWriter writer) {
    // Not inside the condition: with an awaited call below it GCC 12 miscompiles that (quickstart.md).
    if (const std::string command = co_await reader.readline(); command == "STARTTLS\n") {
        writer.write("ok\n");
        co_await writer.start_tls(test_server_context());
        writer.write(co_await reader.readline());
    }
}

Task<std::string> upgrading_client(std::uint16_t port) {
    auto [reader, writer] = co_await open_connection("127.0.0.1", port);
    writer.write("STARTTLS\n");
    co_await reader.readline();
    co_await writer.start_tls(test_client_context(),
                              StartTlsOptions().server_hostname("example.test"));
    writer.write(long_line);
    std::string answer = co_await timeout(1h, reader.readline());
    writer.close();
    co_return answer;
}

TEST_P(NaturalStreams, start_tls_with_options_made_in_the_call) {
    EXPECT_EQ(run(upgrading_client(serve_streams(&upgrading_server))), long_line);
}

}  // namespace
}  // namespace sluice::test
