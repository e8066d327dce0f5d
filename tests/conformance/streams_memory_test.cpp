// What streams allocate: a read whose bytes are there, or that waits, nothing; the buffer as much as
// the limit and the traffic ask for, and little while a stream is idle.
#include <sluice/detail/stream_buffer.hpp>
#include <sluice/streams.hpp>

#include "support/conformance.hpp"
#include "support/counted_new.hpp"
#include "support/loop_fixture.hpp"

#include <string>

namespace sluice::test {
namespace {

class Memory : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Memory, testing::ValuesIn(backends()), backend_case_name);

Task<std::size_t> read_buffered(StreamReader reader) {
    std::size_t bytes = 0;
    const std::size_t before = allocations;
    for (int i = 0; i < 100; ++i) {
        const std::string_view line = co_await reader.readline_view();
        const std::string_view exact = co_await reader.readexactly_view(3);
        const std::string_view until = co_await reader.readuntil_view("\r\n");
        bytes += line.size() + exact.size() + until.size();
    }
    EXPECT_EQ(allocations, before);
    co_return bytes;
}

TEST_P(Memory, reading_what_has_arrived_allocates_nothing_and_does_not_suspend) {
    const StreamReader reader;
    for (int i = 0; i < 100; ++i) {
        reader.feed_data("line\n123until\r\n");
    }
    auto reading = loop().create_task(read_buffered(reader));
    loop().run_once();
    ASSERT_TRUE(reading.done()) << "in its first step";
    EXPECT_EQ(reading.result(), 1500u);
}

Task<> echo(StreamReader reader, StreamWriter writer) {
    for (auto line = co_await reader.next_line_view(); line;
         line = co_await reader.next_line_view()) {
        writer.writelines({*line, "\n"});
        co_await writer.drain();
    }
}

TEST_P(Memory, waiting_reads_and_drains_of_an_echo_allocate_nothing) {
    const Ref<Server> server = run(start_server(&echo, "127.0.0.1", 0));
    Peer peer = Peer::connect(port_of(server));
    const std::string line = std::string(1000, 'x') + "\n";
    const auto exchange = [&] {
        peer.send(line);
        while (peer.received().size() < line.size()) {
            loop().run_once();
            peer.receive_available();
        }
        EXPECT_EQ(peer.take_received(), line);
    };
    for (int i = 0; i < 10; ++i) {
        exchange();
    }
    std::size_t in_loop = 0;
    for (int i = 0; i < 100; ++i) {
        peer.send(line);
        const std::size_t before = allocations;
        loop().run_once();
        loop().run_once(Duration::zero());
        loop().run_once(Duration::zero());
        in_loop += allocations - before;
        peer.receive_available();
        ASSERT_EQ(peer.take_received(), line);
    }
    EXPECT_EQ(in_loop, 0u);
    peer.close();
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 0; }));
    server->close();
}

// ---- the buffer ----

void fill(detail::StreamBuffer& buffer, std::size_t count) {
    const MutableBytes room = buffer.room(std::size_t{1} << 40);
    ASSERT_GE(room.size(), count);
    buffer.filled(count);
}

void drain(detail::StreamBuffer& buffer) {
    static_cast<void>(buffer.take(buffer.size()));
    buffer.end_loan();
    buffer.rest();
}

TEST(StreamBuffer, an_idle_one_keeps_a_small_block_and_gives_a_large_one_back) {
    detail::StreamBuffer buffer;
    EXPECT_EQ(buffer.capacity(), 0u);
    fill(buffer, 100);
    drain(buffer);
    EXPECT_EQ(buffer.capacity(), limits::stream_block_min_bytes);
    for (int i = 0; i < 100; ++i) {
        fill(buffer, buffer.room(1 << 20).size());  // reads that fill it
        static_cast<void>(buffer.take(buffer.size()));
        buffer.end_loan();
    }
    EXPECT_EQ(buffer.capacity(), limits::stream_block_max_bytes);
    drain(buffer);
    EXPECT_EQ(buffer.capacity(), 0u);
}

TEST(StreamBuffer, it_shrinks_again_when_little_comes) {
    detail::StreamBuffer buffer;
    for (int i = 0; i < 10; ++i) {
        fill(buffer, buffer.room(1 << 20).size());
        static_cast<void>(buffer.take(buffer.size()));
        buffer.end_loan();
    }
    for (int i = 0; i < 10; ++i) {
        drain(buffer);
        fill(buffer, 10);
    }
    EXPECT_EQ(buffer.capacity(), limits::stream_block_min_bytes);
}

TEST(StreamBuffer, taking_never_moves_bytes_and_a_loan_survives_a_new_block) {
    detail::StreamBuffer buffer;
    buffer.append(std::string(3000, 'a'));
    const std::string_view lent = buffer.take(2000);
    buffer.append(std::string(100'000, 'b'));
    EXPECT_EQ(lent, std::string(2000, 'a'));
    EXPECT_EQ(buffer.text(), std::string(1000, 'a') + std::string(100'000, 'b'));
    buffer.end_loan();
    EXPECT_EQ(buffer.size(), 101'000u);
}

TEST(StreamBuffer, room_is_bounded_and_never_empty) {
    detail::StreamBuffer buffer;
    EXPECT_EQ(buffer.room(1).size(), 1u);
    EXPECT_EQ(buffer.room(100).size(), 100u);
    buffer.append(std::string(4096, 'x'));
    EXPECT_GE(buffer.room(5000).size(), 1u);
}

}  // namespace
}  // namespace sluice::test
