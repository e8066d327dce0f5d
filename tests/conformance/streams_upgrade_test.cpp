// start_tls of a StreamWriter: what was buffered, who waits meanwhile, what is refused. And streams over
// transports that are no sockets.
#include <sluice/pipes.hpp>
#include <sluice/streams.hpp>

#include "support/loop_fixture.hpp"
#include "support/peer_tls.hpp"
#include "support/pipe_end.hpp"
#include "support/transport_pair.hpp"

#include <memory>
#include <string>

namespace sluice::test {
namespace {

using testing::HasSubstr;

class Upgrading : public BackendTest {
protected:
    template <class F>
    std::uint16_t serve_streams(F handler) {
        server_ = run(start_server(std::move(handler), "127.0.0.1", 0));
        return port_of(server_);
    }
    /// A client whose first TLS bytes come right behind `plain`, in one piece.
    Peer pipelining_client(std::uint16_t port, const std::string& plain) {
        Peer peer = Peer::connect(port);
        auto tls = std::make_unique<PeerTls>(false);
        std::string nothing;
        static_cast<void>(tls->read(nothing));
        peer.send(plain + tls->take_output());
        peer.speak_tls(std::move(tls));
        return peer;
    }
    bool receives(Peer& peer, const std::string& expected) {
        return run_until([&] {
                   peer.receive_available();
                   return peer.received() == expected || peer.saw_end();
               }) &&
               peer.received() == expected;
    }
    void release_resources() override { server_.reset(); }

    Ref<Server> server_;
};
INSTANTIATE_TEST_SUITE_P(Every, Upgrading, testing::ValuesIn(backends()), backend_case_name);

Task<> start_tls_when_asked(StreamReader reader, StreamWriter writer) {
    const std::string command = co_await reader.readline();
    writer.write("go ahead\n");
    Task<> upgrading = writer.start_tls(test_server_context());
    co_await upgrading;
    const std::string question = co_await reader.readline();
    writer.writelines({"secret ", command, question});
}

Task<std::string> upgrade_and_ask(std::uint16_t port) {
    auto [reader, writer] = co_await open_connection("127.0.0.1", port);
    writer.write("STARTTLS\n");
    const std::string ready = co_await reader.readline();
    Task<> upgrading =
        writer.start_tls(test_client_context(), StartTlsOptions().server_hostname("example.test"));
    co_await upgrading;
    const bool secure = !writer.can_write_eof();
    writer.write("question\n");
    const std::string answer = co_await reader.read();
    writer.close();
    co_await writer.wait_closed();
    co_return ready + (secure ? answer : "insecure");
}

TEST_P(Upgrading, start_tls_on_both_sides) {
    EXPECT_EQ(run(upgrade_and_ask(serve_streams(&start_tls_when_asked))),
              "go ahead\nsecret STARTTLS\nquestion\n");
}

// ---- what was buffered ----

/// Upgrades once something has come behind the first line, without a word in plain text.
Task<> start_tls_behind_a_line(StreamReader reader, StreamWriter writer) {
    const std::string command = co_await reader.readline();
    while (reader.buffered() == 0) {
        co_await sleep(Duration::zero());
    }
    Task<> upgrading = writer.start_tls(test_server_context());
    co_await upgrading;
    const std::string question = co_await reader.readline();
    writer.writelines({"you said ", question});
}

TEST_P(Upgrading, tls_that_came_with_the_last_plain_line_is_the_handshakes) {
    Peer peer = pipelining_client(serve_streams(&start_tls_behind_a_line), "STARTTLS\n");
    peer.send("question\n");
    EXPECT_TRUE(receives(peer, "you said question\n"));
}

TEST_P(Upgrading, a_plain_line_behind_starttls_is_never_read_as_if_it_had_been_secret) {
    Peer peer = pipelining_client(serve_streams(&start_tls_behind_a_line), "STARTTLS\nevil line\n");
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        return peer.saw_end() || peer.error() != 0;
    }));
    EXPECT_EQ(peer.received(), "");
    ASSERT_TRUE(run_until([this] { return server_->connection_count() == 0; }));
    run_idle();
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1u) << "the handshake has failed";
    EXPECT_EQ(reports[0].message, "Unhandled exception in client_connected_cb");
}

Task<> feed_and_upgrade(StreamReader reader, StreamWriter writer, std::string text) {
    reader.feed_data(text);
    Task<> upgrading = writer.start_tls(test_server_context());
    co_await upgrading;
}

TEST_P(Upgrading, a_read_that_was_answered_before_keeps_its_bytes) {
    Listener listener;
    StreamPair streams = run(open_connection("127.0.0.1", listener.port()));
    auto reading = loop().create_task(as_task(streams.reader.readline()));
    run_idle();
    // Answered in the step that goes on with start_tls(), so its coroutine has not run by then.
    auto upgrading =
        loop().create_task(feed_and_upgrade(streams.reader, streams.writer, "a line\nno TLS"));
    EXPECT_EQ(finish(reading), "a line\n");
    EXPECT_THROW(finish(upgrading), TlsError) << "the rest went to the handshake";
}

TEST_P(Upgrading, a_line_too_long_that_was_found_before_is_dropped_alone) {
    Listener listener;
    StreamPair streams = run(open_connection("127.0.0.1", listener.port(), ConnectOptions(), 4));
    auto reading = loop().create_task(as_task(streams.reader.readline()));
    run_idle();
    auto upgrading =
        loop().create_task(feed_and_upgrade(streams.reader, streams.writer, "too long\nno TLS"));
    EXPECT_THROW(finish(reading), LineTooLongError);
    EXPECT_THROW(finish(upgrading), TlsError);
}

Task<std::string> view_across_upgrade(StreamReader reader, StreamWriter writer) {
    const std::string_view line = co_await reader.readline_view();
    while (reader.buffered() == 0) {
        co_await sleep(Duration::zero());
    }
    Task<> upgrading = writer.start_tls(test_server_context());
    co_await upgrading;
    co_return std::string(line);
}

TEST_P(Upgrading, a_view_outlives_the_upgrade) {
    Listener listener;
    Peer peer = pipelining_client(listener.port(), "the last line in plain text\n");
    std::optional<Peer> accepted = listener.accept();
    ASSERT_TRUE(accepted);
    StreamPair streams = run(open_connection(Descriptor(accepted->release())));
    auto seeing = loop().create_task(view_across_upgrade(streams.reader, streams.writer));
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        return seeing.done();
    }));
    EXPECT_EQ(seeing.result(), "the last line in plain text\n");
    streams.writer.transport().abort();
}

// ---- who waits meanwhile ----

Task<> upgrade_when_something_came(StreamReader reader, StreamWriter writer) {
    while (reader.buffered() == 0) {
        co_await sleep(Duration::zero());
    }
    Task<> upgrading = writer.start_tls(test_server_context());
    co_await upgrading;
}

TEST_P(Upgrading, a_read_that_waits_while_another_task_upgrades_goes_on_over_tls) {
    Listener listener;
    Peer peer = pipelining_client(listener.port(), "");
    std::optional<Peer> accepted = listener.accept();
    ASSERT_TRUE(accepted);
    StreamPair streams = run(open_connection(Descriptor(accepted->release())));
    // It sees the handshake's first bytes, which are not for it, and then a shorter text.
    auto reading = loop().create_task(as_task(streams.reader.readuntil("the end")));
    auto upgrading =
        loop().create_task(upgrade_when_something_came(streams.reader, streams.writer));
    peer.send("the end");
    ASSERT_TRUE(run_until([&] {
        peer.receive_available();
        return reading.done();
    }));
    EXPECT_EQ(reading.result(), "the end");
    finish(upgrading);
    streams.writer.transport().abort();
}

TEST_P(Upgrading, nothing_can_be_written_in_plain_text_once_the_upgrade_has_begun) {
    Listener listener;
    StreamPair streams = run(open_connection("127.0.0.1", listener.port()));
    auto upgrading = loop().create_task(streams.writer.start_tls(
        test_client_context(), StartTlsOptions().server_hostname("example.test")));
    run_idle();
    ASSERT_FALSE(upgrading.done());
    EXPECT_THROW(streams.writer.write("a secret"), std::logic_error);
    upgrading.cancel();
    ASSERT_TRUE(run_until([&] { return upgrading.done(); }));
    EXPECT_TRUE(upgrading.cancelled());
    EXPECT_TRUE(streams.writer.is_closing());
}

// ---- what is refused ----

TEST_P(Upgrading, an_upgrade_that_is_refused_leaves_the_connection_and_its_bytes) {
    Listener listener;
    StreamPair streams = run(open_connection("127.0.0.1", listener.port()));
    std::optional<Peer> peer = listener.accept();
    ASSERT_TRUE(peer);
    streams.reader.feed_data("kept ");
    EXPECT_THROW(run(streams.writer.start_tls(test_client_context())), std::invalid_argument)
        << "without a server_hostname";
    EXPECT_TRUE(streams.writer.can_write_eof());
    peer->send("and more\n");
    EXPECT_EQ(run(as_task(streams.reader.readline())), "kept and more\n");
    streams.writer.write("plain");
    ASSERT_TRUE(run_until([&] {
        peer->receive_available();
        return peer->received() == "plain";
    }));
    streams.writer.close();
    run(as_task(streams.writer.wait_closed()));
    EXPECT_THROW(run(streams.writer.start_tls(test_server_context())), std::system_error);
}

// ---- other transports ----

TEST_P(Upgrading, S381_a_pipe_is_read_to_its_end) {
    const auto [reading_end, writing_end] = make_pipe();
    PipeEnd pipe(writing_end);
    const StreamReader reader;
    run(loop().connect_read_pipe<StreamReaderProtocol>(Descriptor(reading_end), reader));
    pipe.write("one\ntwo\nthree");
    EXPECT_EQ(run(as_task(reader.readline())), "one\n");
    pipe.close();
    EXPECT_EQ(run(as_task(reader.read())), "two\nthree");
    EXPECT_TRUE(reader.at_eof());
}

TEST_P(Upgrading, a_pipe_is_written_with_drain_and_closed) {
    const auto [reading_end, writing_end] = make_pipe();
    shrink_pipe(writing_end);
    PipeEnd pipe(reading_end);
    const StreamReader nothing;
    run(loop().connect_write_pipe<StreamReaderProtocol>(Descriptor(writing_end), nothing));
    const StreamWriter writer(nothing);
    const std::string much = pattern(300'000);
    writer.write(much);
    auto draining = loop().create_task(as_task(writer.drain()));
    run_idle();
    EXPECT_FALSE(draining.done());
    ASSERT_TRUE(run_until([&] {
        pipe.read_available();
        return draining.done();
    }));
    writer.close();
    ASSERT_TRUE(run_until([&] {
        pipe.read_available();
        return pipe.saw_end();
    }));
    EXPECT_EQ(pipe.received(), much);
    run(as_task(writer.wait_closed()));
}

}  // namespace
}  // namespace sluice::test
