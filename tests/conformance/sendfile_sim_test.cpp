// Sending files in the simulated system, where minutes cost nothing and every byte is counted: slow
// peers of a closing TLS connection, counts above 2 GiB (F6), turns of other connections.
//
// Awaited values have names: GCC 12 miscompiles some temporaries in co_await.
#include <sluice/tls.hpp>

#include "support/tls_pki.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

using std::chrono::seconds;

void fill_with_nothing(std::uint64_t, MutableBytes into) {
    std::fill(into.begin(), into.end(), std::byte{0});
}

/// Reads what there is once a second.
class SlowSink : public Actor<Protocol> {
public:
    using Actor::Actor;
    void data_received(Bytes data) override {
        stage_.received += data.size();
        transport_->pause_reading();
        resuming_ = stage_.loop.call_later(seconds(1), [this] { transport_->resume_reading(); });
    }
    void connection_lost(std::error_code reason) override {
        resuming_.cancel();
        Actor::connection_lost(reason);
    }

private:
    TimerHandle resuming_;
};

constexpr std::uint64_t slow_file_bytes = 1024 * 1024;

/// Sends a file and closes at once.
class ClosingSender : public Actor<Protocol> {
public:
    ClosingSender(Stage& stage, SendfileResult* result) : Actor(stage), result_(*result) {}
    void connection_made(Transport& transport) override {
        Actor::connection_made(transport);
        const Descriptor file(stage_.kernel.open_file(slow_file_bytes, fill_with_nothing));
        SendfileResult& result = result_;
        transport.sendfile(file.get(), 0, {}, {.fallback = true, .fallback_chunk_size = 64 * 1024},
                           [&result](const SendfileResult& end) { result = end; });
        transport.close();
    }
    void data_received(Bytes) override {}

private:
    SendfileResult& result_;
};

Task<void> send_to_slow_reader(Stage& stage, SendfileResult& result, std::error_code& reason) {
    const TlsContext serving =
        TlsContext::server(pki().server().certificate_file, pki().server().key_file);
    const TlsContext trusting =
        TlsContext::client(TlsOptions().certificate_authority_file(pki().root_file()));
    auto starting = stage.loop.create_server<ClosingSender>(
        "127.0.0.1", 9000, ServerOptions().tls(serving), std::ref(stage), &result);
    const Ref<Server> server = co_await starting;
    ConnectOptions options;
    options.tls(trusting).server_hostname("example.test");
    auto connecting =
        stage.loop.create_connection<SlowSink>("127.0.0.1", 9000, options, std::ref(stage));
    const Connection<SlowSink> connection = co_await connecting;
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
    reason = connection.protocol->reason();
    server->close();
    auto closed = server->wait_closed();
    co_await closed;
}

TEST(SendfileInTime, a_closing_TLS_connection_lasts_as_long_as_its_peer_reads_the_file) {
    SimKernel kernel(1);
    kernel.set_capacity(16 * 1024, 16 * 1024);
    Stage stage(kernel);
    SendfileResult result{.error = std::make_error_code(std::errc::io_error), .sent = 0};
    std::error_code reason;
    stage.play(send_to_slow_reader(stage, result, reason));
    EXPECT_GT(kernel.elapsed(), limits::tls_shutdown_time) << "the file was too small";
    EXPECT_EQ(stage.received, slow_file_bytes);
    EXPECT_EQ(reason, std::error_code());
    EXPECT_EQ(result.error, std::error_code());
    EXPECT_EQ(result.sent, slow_file_bytes);
}

struct HugeSend {
    std::size_t size_at_call = 0;
    std::uint64_t sent_at_call = 0;
    std::uint64_t sent_at_end = 0;
    std::optional<SendfileResult> result;
};

constexpr std::int64_t huge_count = (std::int64_t{1} << 31) + 5;

Task<void> send_huge_file(Stage& stage, HugeSend& huge) {
    constexpr std::uint64_t five_gibibytes = 5ULL << 30;
    const Descriptor file(stage.kernel.open_file(five_gibibytes, fill_with_nothing));
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, ConnectOptions(),
                                                              std::ref(stage), 1'000'000U);
    const Connection<SinkActor> connection = co_await connecting;
    Transport& transport = *connection.transport;
    const int fd = transport.get_extra_info(extra::socket).fd();
    SimKernel& kernel = stage.kernel;
    SendfileCallback done = [&huge, &kernel, fd](const SendfileResult& end) {
        huge.result = end;
        huge.sent_at_end = kernel.bytes_sent(fd);
    };
    transport.sendfile(file.get(), 7, huge_count, {}, std::move(done));
    huge.size_at_call = transport.get_write_buffer_size();
    huge.sent_at_call = kernel.bytes_sent(fd);
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
}

TEST(SendfileInTime, F6_a_count_above_2_GiB_and_a_reset_amid_it_are_counted_to_the_byte) {
    SimKernel kernel(1);
    kernel.set_capacity(100'000, 100'000);
    kernel.faults.short_write = 300;
    kernel.listen_peer(peer_place, [](SimPeer peer) {
        auto count = std::make_shared<std::size_t>(0);
        peer.on_readable([count](SimPeer end) {
            *count += end.receive(1'000'000).size();
            if (*count > 500'000) {
                end.reset();
            }
        });
    });
    Stage stage(kernel);
    HugeSend huge;
    stage.play(send_huge_file(stage, huge));
    EXPECT_EQ(huge.size_at_call + huge.sent_at_call, static_cast<std::uint64_t>(huge_count));
    ASSERT_TRUE(huge.result);
    EXPECT_EQ(huge.result->error, std::errc::connection_reset);
    EXPECT_EQ(huge.result->sent, huge.sent_at_end);
    EXPECT_GT(huge.result->sent, 500'000U);
}

Task<void> send_into_large_buffer(Stage& stage, std::uint64_t& sent_at_call) {
    constexpr std::uint64_t size = 10 * limits::file_turn_bytes;
    const Descriptor file(stage.kernel.open_file(size, fill_with_nothing));
    auto connecting = stage.loop.create_connection<SinkActor>("127.0.0.1", 9000, ConnectOptions(),
                                                              std::ref(stage), 1'000'000U);
    const Connection<SinkActor> connection = co_await connecting;
    const int fd = connection.transport->get_extra_info(extra::socket).fd();
    // What a callback queues leaves when it ends; this is outside of any that is still running.
    Task<std::uint64_t> sending = stage.loop.sendfile(connection.transport, file.get());
    connection.transport->flush();
    sent_at_call = stage.kernel.bytes_sent(fd);
    const std::uint64_t sent = co_await sending;
    stage.goal = sent == size && stage.kernel.bytes_sent(fd) == size;
    connection.transport->abort();
    const Future<void> lost = connection.protocol->lost();
    co_await lost;
}

TEST(SendfileInTime, a_kernel_that_takes_everything_gets_a_turns_worth_at_a_time) {
    SimKernel kernel(1);
    kernel.set_capacity(100'000'000, 100'000'000);
    kernel.listen_peer(peer_place, swallow);
    Stage stage(kernel);
    std::uint64_t sent_at_call = 0;
    stage.play(send_into_large_buffer(stage, sent_at_call));
    EXPECT_TRUE(stage.goal);
    EXPECT_EQ(sent_at_call, limits::file_turn_bytes);
}

}  // namespace
}  // namespace sluice::test
