// Scenarios of the loop alone: timers, names, descriptors, signals.
//
// No connection is made here. Awaited values have
// names: GCC 12 miscompiles some temporaries in co_await.
#include <sluice/detail/sys.hpp>

#include "torture/scenarios.hpp"
#include "torture/scene.hpp"
#include "torture/stage.hpp"

#include <csignal>

namespace sluice::test {

namespace {

using std::chrono::milliseconds;

Task<void> wait_in_every_way(Stage& stage) {
    int run = 0;
    EventLoop& loop = stage.loop;
    loop.call_soon([&run] { ++run; });
    const TimerHandle never = loop.call_later(std::chrono::hours(2), [] {});
    std::vector<TimerHandle> timers;
    for (int index = 0; index < 20; ++index) {
        timers.push_back(loop.call_later(milliseconds(20 - index), [&run] { ++run; }));
    }
    timers[3].cancel();
    const Future<int> future = loop.create_future<int>();
    loop.call_soon_threadsafe([future] { future.set_result(3); });
    const int result = co_await future;
    const auto job = loop.run_in_executor([] { return std::string(100, 'x'); });
    const std::string made = co_await job;
    TaskHandle<void> child =
        loop.create_task([]() -> Task<void> { co_await sleep(std::chrono::hours(3)); }());
    co_await sleep(milliseconds(50));
    child.cancel();
    try {
        co_await child;
    } catch (const Cancelled&) {
        ++run;
    }
    TimerHandle last = never;
    last.cancel();
    stage.goal = run == 21 && result == 3 && made.size() == 100;
}

void timers_scenario(Stage& stage) {
    stage.play(wait_in_every_way(stage));
}

Task<void> ask_names(Stage& stage) {
    auto asking = stage.loop.getaddrinfo("several.example", "http");
    const std::vector<SocketAddress> addresses = co_await asking;
    auto naming = stage.loop.getnameinfo(*SocketAddress::parse("127.0.0.1", 80));
    const HostAndService names = co_await naming;
    stage.goal = addresses.size() == 2 && names.host == "localhost" && names.service == "http";
}

void names_scenario(Stage& stage) {
    stage.kernel.add_host("several.example", {peer_place, other_place});
    stage.play(ask_names(stage));
}

Task<void> watch_descriptor(Stage& stage, int fd) {
    const Future<void> readable = stage.loop.create_future<void>();
    stage.loop.add_reader(fd, [readable, fd] {
        detail::sys::drain_wake(fd);
        if (!readable.done()) {
            readable.set_result();
        }
    });
    stage.loop.add_writer(fd, [] {});
    stage.loop.remove_writer(fd);
    detail::sys::signal_wake(fd);
    co_await readable;
    stage.goal = stage.loop.remove_reader(fd);
}

void descriptors_scenario(Stage& stage) {
    const auto opened = detail::sys::open_wake();
    if (!opened.ok()) {
        throw std::system_error(opened.error());
    }
    const Descriptor wake(opened.value());
    try {
        stage.play(watch_descriptor(stage, wake.get()));
    } catch (...) {
        // Before the descriptor goes, as add_reader() demands.
        stage.loop.remove_reader(wake.get());
        stage.loop.remove_writer(wake.get());
        throw;
    }
}

void signals_scenario(Stage& stage) {
    try {
        stage.loop.add_signal_handler(SIGUSR1, [] {});
        stage.loop.add_signal_handler(SIGUSR2, [] {});
    } catch (const std::invalid_argument& error) {
        throw std::system_error(std::make_error_code(std::errc::invalid_argument), error.what());
    }
    stage.goal = stage.loop.remove_signal_handler(SIGUSR1);
}

constexpr Scenario all[] = {
    {"timers", timers_scenario},
    {"names", names_scenario},
    {"descriptors", descriptors_scenario},
    {"signals", signals_scenario},
};

}  // namespace

std::span<const Scenario> loop_scenarios() {
    return all;
}

}  // namespace sluice::test
