// Streams on the simulated system, by seed: an echo whose reads are cancelled and timed out while short
// reads, delays and the like happen. Whatever races with whatever, no byte is lost, doubled or moved.
//
// SLUICE_STREAM_SEEDS says how many seeds; the failing one is named.
#include <sluice/streams.hpp>
#include <sluice/timeout.hpp>

#include "support/loop_fixture.hpp"
#include "support/sys_sim.hpp"

#include <cstdlib>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t usual_seeds = 200;
constexpr std::size_t line_most_bytes = 60;

std::uint64_t wanted_seeds() {
    const char* const wanted = std::getenv("SLUICE_STREAM_SEEDS");
    return wanted == nullptr ? usual_seeds : std::strtoull(wanted, nullptr, 10);
}

class Dice {
public:
    explicit Dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::size_t operator()(std::size_t below) {
        state_ = state_ * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
        return static_cast<std::size_t>((state_ >> 33U) % below);
    }

private:
    std::uint64_t state_;
};

/// What one seed does, and what came of it.
struct Scene {
    explicit Scene(std::uint64_t seed) : dice(seed) {
        while (sent.size() < 3000) {
            std::string line(dice(line_most_bytes), 'a');
            for (char& letter : line) {
                letter = static_cast<char>('a' + dice(26));
            }
            sent += line + "\n";
        }
    }

    Dice dice;
    std::string sent;
    std::string seen;
    std::size_t late = 0;
    std::size_t cancelled = 0;
    bool ended = false;
};

Task<> echo(StreamReader reader, StreamWriter writer) {
    for (std::string some = co_await reader.read_some(); !some.empty();
         some = co_await reader.read_some()) {
        writer.write(some);
        co_await writer.drain();
    }
}

Task<> send_all(Scene& scene, StreamWriter writer) {
    std::size_t at = 0;
    while (at < scene.sent.size()) {
        const std::size_t count = std::min(scene.sent.size() - at, 1 + scene.dice(200));
        writer.write(std::string_view(scene.sent).substr(at, count));
        at += count;
        co_await writer.drain();
        co_await sleep(std::chrono::microseconds(scene.dice(300)));
    }
    writer.write_eof();
}

Task<std::string> one_read(Scene& scene, StreamReader& reader) {
    static const Separators separators("z\n", "q", "\n", "zz");
    switch (scene.dice(5)) {
        case 0:
            return as_task(reader.readline());
        case 1:
            return as_task(reader.readexactly(static_cast<std::ptrdiff_t>(1 + scene.dice(300))));
        case 2:
            return as_task(reader.readuntil(separators));
        case 3:
            return as_task(reader.read_some(1 + scene.dice(100)));
        default:
            return as_task(reader.readuntil("\n"));
    }
}

/// A read that is given up by the task itself when it takes too long.
Task<std::string> impatient(Scene& scene, StreamReader& reader) {
    Task<std::string> limited =
        timeout(std::chrono::microseconds(scene.dice(500)), one_read(scene, reader));
    std::string text;
    try {
        text = co_await limited;
    } catch (const TimeoutError&) {
        ++scene.late;
    }
    co_return text;
}

/// A read in a task of its own, which is cancelled at some point before or after its answer.
Task<std::string> abandoned(Scene& scene, StreamReader& reader) {
    TaskHandle<std::string> reading = EventLoop::running()->create_task(one_read(scene, reader));
    if (scene.dice(2) == 0) {
        co_await sleep(std::chrono::microseconds(scene.dice(500)));
    }
    for (std::size_t iterations = scene.dice(4); iterations != 0; --iterations) {
        co_await sleep(Duration::zero());
    }
    reading.cancel();
    std::string text;
    try {
        text = co_await reading;
    } catch (const Cancelled&) {
        ++scene.cancelled;
    }
    co_return text;
}

Task<> read_all(Scene& scene, StreamReader reader) {
    while (!scene.ended) {
        try {
            const bool alone = scene.dice(2) == 0;
            Task<std::string> reading = alone ? impatient(scene, reader) : abandoned(scene, reader);
            const std::string text = co_await reading;
            scene.seen += text;
        } catch (const IncompleteReadError& error) {
            scene.seen += error.partial();
        }
        scene.ended = reader.at_eof();
    }
}

Task<> play(Scene& scene) {
    auto serving = start_server(&echo, "127.0.0.1", 9000, ServerOptions(), 1 + scene.dice(500));
    const Ref<Server> server = co_await serving;
    auto connecting =
        open_connection("127.0.0.1", 9000, ConnectOptions(), line_most_bytes + scene.dice(300));
    auto [reader, writer] = co_await connecting;
    TaskHandle<> sending = EventLoop::running()->create_task(send_all(scene, writer));
    Task<> reading = read_all(scene, reader);
    co_await reading;
    co_await sending;
    writer.close();
    co_await writer.wait_closed();
    server->close();
    Task<> closed = server->wait_closed();
    co_await closed;
}

TEST(StreamsSim, cancelled_and_late_reads_lose_no_byte_whatever_the_kernel_does) {
    std::size_t late = 0;
    std::size_t cancelled = 0;
    for (std::uint64_t seed = 0; seed < wanted_seeds(); ++seed) {
        SCOPED_TRACE(seed);
        SimKernel kernel(seed);
        kernel.faults.short_read = 300;
        kernel.faults.short_write = 300;
        kernel.faults.spurious_block = 100;
        kernel.faults.interrupt = 50;
        kernel.faults.reorder = 100;
        kernel.faults.partial_batch = 100;
        kernel.faults.late_wake = 100;
        kernel.faults.delay = 300;
        kernel.faults.delay_most = 1ms;
        Scene scene(seed);
        {
            EventLoop loop;
            auto playing = loop.create_task(play(scene));
            ASSERT_TRUE(run_until(loop, [&] { return playing.done(); }));
            ASSERT_NO_THROW(playing.result());
        }
        ASSERT_EQ(scene.seen, scene.sent);
        EXPECT_TRUE(kernel.violations().empty());
        late += scene.late;
        cancelled += scene.cancelled;
    }
    EXPECT_GT(late, 0u) << "no timeout was ever hit";
    EXPECT_GT(cancelled, 0u) << "no cancellation ever came before the answer";
}

}  // namespace
}  // namespace sluice::test
