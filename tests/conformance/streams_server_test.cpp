// open_connection and start_server, and the same over Unix sockets: handlers and how they end, TLS,
// files, misuse. Group S of asyncio's behaviour, J4 and J6 of the reliability list.
#include <sluice/detail/running_loop.hpp>
#include <sluice/unix_streams.hpp>

#include "support/loop_fixture.hpp"
#include "support/temp_dir.hpp"
#include "support/temp_file.hpp"
#include "support/tls_pki.hpp"
#include "support/transport_pair.hpp"

#include <memory>
#include <stdexcept>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

struct Way {
    Wire wire;
    bool tls;
};

std::string way_name(const testing::TestParamInfo<Way>& tested) {
    return std::string(tested.param.wire == Wire::tcp ? "tcp" : "unix") +
           (tested.param.tls ? "_tls" : "");
}
void PrintTo(const Way& value, std::ostream* out) {
    *out << way_name({value, 0});
}

/// Where a server listens: a port, or a path if there is one.
struct Place {
    std::uint16_t port = 0;
    std::string path;
};

Task<StreamPair> open_streams(Place place, ConnectOptions options) {
    return place.path.empty() ? open_connection("127.0.0.1", place.port, std::move(options))
                              : open_unix_connection(place.path, std::move(options));
}

class Serving : public LoopTest, public testing::WithParamInterface<Way> {
protected:
    [[nodiscard]] static ServerOptions server_options() {
        return GetParam().tls ? ServerOptions().tls(test_server_context()) : ServerOptions();
    }
    [[nodiscard]] static ConnectOptions client_options() {
        return GetParam().tls
                   ? ConnectOptions().tls(test_client_context()).server_hostname("example.test")
                   : ConnectOptions();
    }
    template <class F>
    Place serve(F handler, std::size_t limit = limits::stream_limit_bytes) {
        if (GetParam().wire == Wire::unix_socket) {
            const std::string path = directory_ / std::to_string(++paths_);
            server_ = run(start_unix_server(std::move(handler), path, server_options(), limit));
            return {0, path};
        }
        server_ = run(start_server(std::move(handler), "127.0.0.1", 0, server_options(), limit));
        return {port_of(server_), ""};
    }
    StreamPair connect(const Place& place) { return run(open_streams(place, client_options())); }
    void release_resources() override { server_.reset(); }

    TempDir directory_;
    int paths_ = 0;
    Ref<Server> server_;
};
INSTANTIATE_TEST_SUITE_P(Every, Serving,
                         testing::Values(Way{Wire::tcp, false}, Way{Wire::tcp, true},
                                         Way{Wire::unix_socket, false},
                                         Way{Wire::unix_socket, true}),
                         way_name);

Task<> echo_by_value(StreamReader reader, StreamWriter writer) {
    for (std::string line = co_await reader.readline(); !line.empty();
         line = co_await reader.readline()) {
        writer.write(line);
        co_await writer.drain();
    }
}

Task<> echo_by_reference(StreamReader& reader, StreamWriter& writer) {
    for (auto line = co_await reader.next_line_view(); line;
         line = co_await reader.next_line_view()) {
        writer.writelines({*line, "\n"});
        co_await writer.drain();
    }
}

Task<std::string> ask(Place place, ConnectOptions options, std::string question) {
    auto [reader, writer] = co_await open_streams(place, options);
    writer.write(question);
    const std::string answer = co_await reader.readline();
    writer.close();
    co_await writer.wait_closed();
    co_return answer;
}

TEST_P(Serving, S363_handlers_by_value_and_by_reference) {
    EXPECT_EQ(run(ask(serve(&echo_by_value), client_options(), "hello\n")), "hello\n");
    EXPECT_EQ(run(ask(serve(&echo_by_reference), client_options(), "hello\n")), "hello\n");
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
}

TEST_P(Serving, S363_over_a_descriptor_on_both_sides) {
    Listener listener({}, GetParam().wire);
    server_ = run(start_server(&echo_by_value, Descriptor(dup(listener.fd())), server_options()));
    Peer socket = GetParam().wire == Wire::tcp ? Peer::connect(listener.port())
                                               : Peer::connect_unix(listener.path());
    StreamPair streams = run(open_connection(Descriptor(socket.release()), client_options()));
    streams.writer.write("hello\n");
    EXPECT_EQ(run(as_task(streams.reader.readline())), "hello\n");
    streams.writer.close();
}

TEST_P(Serving, a_lambda_lives_as_long_as_its_coroutines) {
    auto greeting = std::make_shared<std::string>("greetings, ");
    const std::weak_ptr<std::string> watch = greeting;
    auto handler = [greeting](StreamReader reader, StreamWriter writer) -> Task<> {
        const std::string name = co_await reader.readline();
        writer.writelines({*greeting, name});
    };
    greeting.reset();
    const Place place = serve(std::move(handler));
    StreamPair streams = connect(place);
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 1; }));
    server_->close();
    server_.reset();
    run_idle();
    streams.writer.write("Ada\n");
    EXPECT_EQ(run(as_task(streams.reader.readline())), "greetings, Ada\n");
    streams.writer.close();
    EXPECT_TRUE(run_until([&] { return watch.expired(); }));
}

Task<> say_goodbye(StreamReader, StreamWriter writer) {
    writer.write("goodbye\n");
    co_return;
}

TEST_P(Serving, the_end_of_the_handler_closes_its_connection_after_what_it_wrote) {
    StreamPair streams = connect(serve(&say_goodbye));
    EXPECT_EQ(run(as_task(streams.reader.read())), "goodbye\n");
    streams.writer.close();
    EXPECT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
}

Task<> fail_when_asked(StreamReader reader, StreamWriter writer) {
    const std::string line = co_await reader.readline();
    writer.write("before\n");
    if (line == "fail\n") {
        throw std::runtime_error("asked to fail");
    }
    if (line == "cancel\n") {
        throw Cancelled();
    }
    const std::string rest = co_await reader.readline();
    writer.write(rest);
}

TEST_P(Serving, S380_J6_an_exception_is_reported_and_ends_its_connection_only) {
    const Place place = serve(&fail_when_asked);
    StreamPair failing = connect(place);
    StreamPair other = connect(place);
    other.writer.write("work\n");
    failing.writer.write("fail\n");
    EXPECT_EQ(run(as_task(failing.reader.read())), "before\n");
    failing.writer.close();
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].message, "Unhandled exception in client_connected_cb");
    EXPECT_EQ(reports[0].what, "asked to fail");
    EXPECT_TRUE(reports[0].has_transport);
    other.writer.write("goes on\n");
    EXPECT_EQ(run(as_task(other.reader.read())), "before\ngoes on\n");
    other.writer.close();
}

TEST_P(Serving, S380_a_cancelled_handler_ends_quietly) {
    StreamPair streams = connect(serve(&fail_when_asked));
    streams.writer.write("cancel\n");
    EXPECT_EQ(run(as_task(streams.reader.read())), "before\n");
    streams.writer.close();
    EXPECT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
}

TEST_P(Serving, S380_a_function_keeps_the_writer_if_the_connection_is_to_live) {
    std::vector<StreamWriter> kept;
    const Place place = serve([&kept](StreamReader, StreamWriter writer) {
        if (kept.empty()) {
            kept.push_back(std::move(writer));
        }
    });
    StreamPair first = connect(place);
    ASSERT_TRUE(run_until([&] { return kept.size() == 1; }));
    StreamPair second = connect(place);
    EXPECT_EQ(run(as_task(second.reader.read())), "") << "its writer was dropped";
    kept.front().write("alive");
    EXPECT_EQ(run(as_task(first.reader.readexactly(5))), "alive");
    kept.clear();
    EXPECT_EQ(run(as_task(first.reader.read())), "");
    first.writer.close();
    second.writer.close();
}

TEST_P(Serving, S380_what_a_function_throws_is_reported) {
    StreamPair streams =
        connect(serve([](StreamReader, StreamWriter) { throw std::runtime_error("mine"); }));
    EXPECT_EQ(run(as_task(streams.reader.read())), "");
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].what, "mine");
    streams.writer.close();
}

TEST_P(Serving, S363_many_clients_at_once) {
    const Place place = serve(&echo_by_reference);
    std::vector<TaskHandle<std::string>> asking;
    for (int i = 0; i < 50; ++i) {
        asking.push_back(
            loop().create_task(ask(place, client_options(), std::to_string(i) + "\n")));
    }
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(finish(asking[static_cast<std::size_t>(i)]), std::to_string(i) + "\n");
    }
}

TEST_P(Serving, a_loop_closed_while_handlers_and_clients_wait) {
    const Place place = serve(&echo_by_value);
    StreamPair streams = connect(place);
    auto reading = loop().create_task(as_task(streams.reader.readline()));
    auto closing = loop().create_task(as_task(streams.writer.wait_closed()));
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 1; }));
    server_.reset();
    destroy_loop();
    EXPECT_TRUE(reading.cancelled());
    EXPECT_TRUE(closing.cancelled());
    streams.writer.write("dropped");
    EXPECT_TRUE(streams.writer.is_closing());
}

TEST_P(Serving, cancelling_open_connection_leaves_nothing_open) {
    const Place place = serve(&echo_by_value);
    for (int iterations = 0; iterations < 12; ++iterations) {
        auto connecting = loop().create_task(open_streams(place, client_options()));
        for (int i = 0; i < iterations; ++i) {
            loop().run_once(1ms);
        }
        connecting.cancel();
        ASSERT_TRUE(run_until([&] { return connecting.done(); }));
    }
    EXPECT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
    run_idle();
    for (const Report& report : take_reports()) {
        EXPECT_THAT(report.what, HasSubstr("reset")) << "by the client that was aborted";
    }
}

// ---- what not every way has ----

class Plain : public Serving {};
INSTANTIATE_TEST_SUITE_P(Only, Plain,
                         testing::Values(Way{Wire::tcp, false}, Way{Wire::unix_socket, false}),
                         way_name);

class Secure : public Serving {};
INSTANTIATE_TEST_SUITE_P(Only, Secure,
                         testing::Values(Way{Wire::tcp, true}, Way{Wire::unix_socket, true}),
                         way_name);

TEST_P(Secure, S364_an_error_of_the_handshake_comes_out_of_open_connection) {
    const Place place = serve(&echo_by_value);
    auto options = ConnectOptions().tls(test_client_context()).server_hostname("wrong.test");
    EXPECT_THROW(run(open_streams(place, options)), TlsError);
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
}

Task<> send_file(int file, StreamWriter writer) {
    writer.write("before ");
    Task<std::uint64_t> sending = writer.sendfile(file, 2, 5);
    const std::uint64_t sent = co_await sending;
    writer.write(" sent " + std::to_string(sent));
}

TEST_P(Plain, sendfile_goes_in_order_with_what_is_written) {
    const TempFile file("0123456789");
    const Place place = serve([&file](StreamReader, StreamWriter writer) -> Task<> {
        return send_file(file.fd(), std::move(writer));
    });
    StreamPair streams = connect(place);
    EXPECT_EQ(run(as_task(streams.reader.read())), "before 23456 sent 5");
    streams.writer.close();
}

TEST_P(Plain, without_a_running_loop_they_throw) {
    const Task<StreamPair> connecting = open_connection("127.0.0.1", 1);
    EXPECT_TRUE(connecting) << "only awaiting it does anything";
    EXPECT_THROW(detail::running_loop_for("open_connection"), std::logic_error);
    EXPECT_THROW(run(open_connection("127.0.0.1", 1, ConnectOptions(), 0)), std::invalid_argument);
    EXPECT_THROW(run(start_server(&echo_by_value, "127.0.0.1", 0, ServerOptions(), 0)),
                 std::invalid_argument);
    EXPECT_THROW(run(open_unix_connection("/nobody", ConnectOptions(), 0)), std::invalid_argument);
    const ClosedPort closed;
    EXPECT_THROW(run(open_connection("127.0.0.1", closed.port())), AddressError);
    EXPECT_THROW(run(open_unix_connection(directory_ / "nobody")), AddressError);
}

TEST_P(Plain, J_a_client_that_never_reads_stops_the_handler_not_the_memory) {
    std::size_t written = 0;
    const Place place = serve([&written](StreamReader, StreamWriter writer) -> Task<> {
        const std::string piece(10'000, 'x');
        for (;;) {
            writer.write(piece);
            written += piece.size();
            co_await writer.drain();
        }
    });
    Peer peer = place.path.empty() ? Peer::connect(place.port) : Peer::connect_unix(place.path);
    ASSERT_TRUE(run_until([&] { return written > 0; }));
    std::size_t before = 0;
    ASSERT_TRUE(run_until([&] { return std::exchange(before, written) == written; }));
    run_idle();
    EXPECT_EQ(written, before) << "it waits in drain()";
    peer.reset();
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
    run_idle();
    EXPECT_EQ(take_reports().size(), 1u) << "nobody caught what drain() threw";
}

}  // namespace
}  // namespace sluice::test
