// Socket calls and write pipes on the simulated system: every fault it knows at every call, and
// cancellation at every point in time, decided by a seed.
#include <sluice/detail/sys.hpp>

#include "support/loop_fixture.hpp"
#include "support/sys_sim.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t seeds = 400;
const SocketAddress server_address = SocketAddress::parse("10.0.0.1", 80).value();

SimFaults some_faults(bool breaking) {
    SimFaults faults;
    faults.short_read = 200;
    faults.short_write = 200;
    faults.spurious_block = 200;
    faults.interrupt = 50;
    faults.reorder = 200;
    faults.partial_batch = 200;
    faults.delay = 200;
    faults.slow_connect = 300;
    faults.delay_most = 5ms;
    faults.cold_file = 300;
    faults.stream_error = breaking ? 60 : 0;
    return faults;
}

/// Sends what the connection takes, and the rest a little later.
void send_in_turn(SimKernel& kernel, SimPeer peer, const std::shared_ptr<std::string>& rest) {
    rest->erase(0, peer.send(as_bytes(*rest)));
    if (!rest->empty() && peer.open() && !peer.broken()) {
        kernel.after(1ms, [&kernel, peer, rest] { send_in_turn(kernel, peer, rest); });
    }
}

/// Sends back what it gets.
void echo(SimKernel& kernel, SimPeer peer) {
    const auto rest = std::make_shared<std::string>();
    peer.on_readable([&kernel, rest](SimPeer from) {
        const bool under_way = !rest->empty();
        *rest += as_text(from.receive(4096));
        if (!under_way) {
            send_in_turn(kernel, from, rest);
        }
    });
}

int open_stream() {
    const detail::Result<int> opened =
        detail::sys::open_socket(Family::ipv4, detail::sys::SocketType::stream);
    return opened.value();
}

/// Connects, sends all of `sent` and gets it back; what it has got so far is in `got`.
Task<void> exchange(EventLoop& loop, int fd, std::string sent, std::string& got) {
    Task<void> connecting = loop.sock_connect(fd, server_address);
    co_await connecting;
    TaskHandle<void> sending = loop.create_task(loop.sock_sendall(fd, as_bytes(sent)));
    std::vector<std::byte> space(1000);
    std::exception_ptr failure;
    try {
        while (got.size() < sent.size()) {
            Task<std::size_t> receiving = loop.sock_recv_into(fd, space);
            const std::size_t count = co_await receiving;
            if (count == 0) {
                break;
            }
            got += as_text(Bytes(space).first(count));
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        sending.cancel();
    }
    try {
        co_await sending;
    } catch (const std::system_error&) {
        // It was told of the same end.
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

/// Runs until `done`, or the world has nothing more to say.
void drive(EventLoop& loop, SimKernel& kernel, const std::function<bool()>& done) {
    for (int turn = 0; turn < 100'000 && !done(); ++turn) {
        loop.run_once(std::nullopt);
        if (kernel.take_idle()) {
            return;
        }
    }
}

std::string describe(const SimKernel& kernel) {
    return kernel.violations().empty() ? "" : kernel.violations().front();
}

TEST(SocketCallsInTheSim, R352_exchanges_survive_every_fault_and_cancellation_at_any_time) {
    std::size_t cancelled = 0;
    std::size_t broken = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        SimKernel kernel(seed);
        kernel.faults = some_faults(seed % 3 == 0);
        kernel.set_capacity(500, 3000);
        kernel.listen_peer(server_address, [&kernel](SimPeer peer) { echo(kernel, peer); });
        std::string got;
        const std::string sent = pattern(2000, static_cast<unsigned>(seed));
        {
            EventLoop loop;
            const Descriptor socket(open_stream());
            auto task = loop.create_task(exchange(loop, socket.get(), sent, got));
            if (seed % 2 == 0) {
                const std::chrono::microseconds when(seed * 37 % 12'000);
                loop.call_later(when, [&task] { task.cancel(); });
            }
            drive(loop, kernel, [&] { return task.done(); });
            ASSERT_TRUE(task.done()) << "seed " << seed << " hangs";
            EXPECT_EQ(got, sent.substr(0, got.size())) << "seed " << seed;
            cancelled += task.cancelled() ? 1U : 0U;
            if (!task.exception()) {
                // Of a reset that sending was told, receiving sees the end.
                EXPECT_TRUE(got.size() == sent.size() || seed % 3 == 0) << "seed " << seed;
                broken += got.size() < sent.size() ? 1U : 0U;
            } else if (!task.cancelled()) {
                EXPECT_TRUE(seed % 3 == 0) << "seed " << seed << ": an error nobody made";
                ++broken;
            }
            // Nothing is left registered: closing what is watched is a violation.
        }
        EXPECT_EQ(describe(kernel), "") << "seed " << seed;
        EXPECT_EQ(kernel.open_descriptors(), 0U) << kernel.describe_descriptors();
    }
    EXPECT_GT(cancelled, seeds / 20);
    EXPECT_GT(broken, seeds / 40);
}

TEST(SocketCallsInTheSim,
     L217_a_file_the_kernel_cannot_send_goes_in_pieces_and_a_later_error_is_one) {
    const auto fill = [](std::uint64_t offset, MutableBytes into) {
        for (std::byte& byte : into) {
            byte = static_cast<std::byte>(offset++ % 251);
        }
    };
    for (std::uint64_t seed = 1; seed <= seeds / 4; ++seed) {
        SimKernel kernel(seed);
        kernel.faults = some_faults(false);
        std::string arrived;
        kernel.listen_peer(server_address, [&](SimPeer peer) {
            peer.on_readable([&](SimPeer from) { arrived += as_text(from.receive(100'000)); });
        });
        {
            EventLoop loop;
            const Descriptor socket(open_stream());
            const Descriptor file(kernel.open_file(300'000, fill));
            auto connecting = loop.create_task(loop.sock_connect(socket.get(), server_address));
            drive(loop, kernel, [&] { return connecting.done(); });
            if (seed % 2 == 0) {
                kernel.fail_call(SimCall::sendfile, 1, EINVAL);
            }
            auto sending = loop.create_task(loop.sock_sendfile(
                socket.get(), file.get(), 7, {}, {.fallback = true, .fallback_chunk_size = 5000}));
            drive(loop, kernel, [&] { return sending.done() && arrived.size() >= 299'993; });
            ASSERT_TRUE(sending.done()) << "seed " << seed;
            EXPECT_EQ(sending.result(), 299'993U);
            EXPECT_EQ(arrived.size(), 299'993U) << "seed " << seed;
            std::vector<std::byte> expected(299'993);
            fill(7, expected);
            EXPECT_TRUE(arrived == as_text(expected)) << "seed " << seed;
        }
        EXPECT_EQ(describe(kernel), "") << "seed " << seed;
        EXPECT_EQ(kernel.open_descriptors(), 0U) << kernel.describe_descriptors();
    }
}

TEST(SocketCallsInTheSim, L_without_the_fallback_a_file_the_kernel_cannot_send_is_an_error) {
    SimKernel kernel(1);
    kernel.listen_peer(server_address, [](SimPeer) {});
    EventLoop loop;
    const Descriptor socket(open_stream());
    const Descriptor file(kernel.open_file(1000, [](std::uint64_t, MutableBytes) {}));
    loop.run_until_complete(loop.sock_connect(socket.get(), server_address));
    kernel.fail_call(SimCall::sendfile, 1, EINVAL);
    SendfileOptions strict;
    strict.fallback = false;
    const auto error = caught<SendfileError>([&] {
        loop.run_until_complete(loop.sock_sendfile(socket.get(), file.get(), 0, {}, strict));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::operation_not_supported);
    EXPECT_EQ(error->sent(), 0U);
}

TEST(SocketCallsInTheSim, a_poller_without_memory_is_an_error_of_the_call_and_leaves_nothing) {
    SimKernel kernel(1);
    kernel.listen_peer(server_address, [](SimPeer) {});
    EventLoop loop;
    const Descriptor socket(open_stream());
    loop.run_until_complete(loop.sock_connect(socket.get(), server_address));
    kernel.fail_call(SimCall::epoll_add, 1, ENOMEM);
    const auto error = caught<std::system_error>(
        [&] { loop.run_until_complete(loop.sock_recv(socket.get(), 10)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::not_enough_memory);
    loop.add_reader(socket.get(), [] {});
    EXPECT_TRUE(loop.remove_reader(socket.get()));
}

TEST(WritePipeInTheSim, every_byte_arrives_in_order_unless_the_reader_goes) {
    std::size_t broken = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        SimKernel kernel(seed);
        kernel.faults = some_faults(false);
        kernel.set_capacity(500, 3000);
        std::string arrived;
        bool ended = false;
        kernel.listen_peer(server_address, [&](SimPeer peer) {
            peer.on_readable([&](SimPeer from) {
                arrived += as_text(from.receive(4096));
                ended = ended || from.at_end();
                if (seed % 4 == 0 && arrived.size() > seed % 5000) {
                    from.reset();
                }
            });
        });
        Recorder told;
        std::string written;
        {
            EventLoop loop;
            Descriptor socket(open_stream());
            auto connecting = loop.create_task(loop.sock_connect(socket.get(), server_address));
            drive(loop, kernel, [&] { return connecting.done(); });
            auto piping = loop.create_task(
                loop.connect_write_pipe<RecordingProtocol>(std::move(socket), &told));
            drive(loop, kernel, [&] { return piping.done(); });
            ASSERT_FALSE(piping.exception()) << "seed " << seed;
            kernel.faults.stream_error = seed % 3 == 0 ? 20 : 0;
            for (int piece = 0; piece < 20 && !told.lost(); ++piece) {
                const std::string text = pattern(50 + seed * 7 % 900, static_cast<unsigned>(piece));
                written += text;
                told.transport().write(text);
                loop.run_once();
            }
            told.transport().write_eof();
            drive(loop, kernel, [&] { return told.lost() && (ended || told.reason()); });
            ASSERT_TRUE(told.lost()) << "seed " << seed << ": " << told.trace();
            if (told.reason()) {
                ++broken;
            } else if (seed % 4 != 0 && seed % 3 != 0) {
                // A reader that goes when nothing is unsent is no error, whatever it has not read.
                EXPECT_EQ(arrived.size(), written.size()) << "seed " << seed;
            }
            EXPECT_EQ(arrived, written.substr(0, arrived.size())) << "seed " << seed;
            EXPECT_TRUE(told.violations().empty()) << told.violations().front();
            told.forget_transport();
        }
        EXPECT_EQ(describe(kernel), "") << "seed " << seed;
        EXPECT_EQ(kernel.open_descriptors(), 0U) << kernel.describe_descriptors();
    }
    EXPECT_GT(broken, seeds / 10);
}

}  // namespace
}  // namespace sluice::test
