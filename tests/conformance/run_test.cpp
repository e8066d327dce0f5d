// run(): signals, the order of the end, what is left. In debug mode, too: what was forgotten is told.
#include <sluice/run.hpp>
#include <sluice/task_group.hpp>
#include <sluice/timeout.hpp>

#include "support/coroutines.hpp"
#include "support/loop_fixture.hpp"

#include <csignal>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

std::string note(const ExceptionContext& context) {
    return to_string(context) + "\n";
}

Task<int> answer(int value) {
    co_await sleep(1ms);
    co_return value;
}

TEST(Run, gives_the_result_or_throws_the_exception_of_main) {
    EXPECT_EQ(sluice::run(answer(4)), 4);
    auto failing = []() -> Task<> {
        co_await sleep(0ns);
        throw std::runtime_error("main");
    };
    EXPECT_EQ(message_of<std::runtime_error>([&] { sluice::run(failing()); }), "main");
    EXPECT_EQ(EventLoop::running(), nullptr);
}

TEST(Run, hands_the_loop_to_a_function_with_captures) {
    const std::string text = "captured by value, and long enough to be allocated on the heap";
    const std::string result = sluice::run([text](EventLoop& loop) -> Task<std::string> {
        co_await sleep(1ms);
        co_return EventLoop::running() == &loop ? text : "another loop";
    });
    EXPECT_EQ(result, text);
}

TEST(Run, refuses_to_run_inside_a_loop) {
    auto nested = []() -> Task<> {
        sluice::run(answer(1));
        co_return;
    };
    EXPECT_THAT(message_of<std::logic_error>([&] { sluice::run(nested()); }),
                testing::HasSubstr("running event loop"));
}

TEST(Run, cancels_what_is_left_waits_for_it_and_reports_what_it_throws) {
    std::string log;
    auto background = [&log](bool throwing) -> Task<> {
        Task<> waiting = until_cancelled();
        co_await waiting;
        co_await sleep(1ms);
        log += "cleaned ";
        if (throwing) {
            throw std::runtime_error("in the end");
        }
    };
    auto main = [&](EventLoop& loop) -> Task<> {
        loop.create_task(background(false));
        loop.create_task(background(true));
        co_await sleep(1ms);
        log += "main ";
    };
    RunOptions options;
    options.exception_handler = [&](const ExceptionContext& context) { log += note(context); };
    sluice::run(main, options);
    EXPECT_THAT(log, testing::StartsWith("main cleaned cleaned unhandled exception while run() was "
                                         "ending: in the end"));
}

TEST(Run, waits_for_the_executor) {
    std::atomic<bool> finished = false;
    auto main = [&](EventLoop& loop) -> Task<> {
        loop.run_in_executor([&] {
            std::this_thread::yield();
            finished = true;
        });
        co_return;
    };
    sluice::run(main);
    EXPECT_TRUE(finished);
}

TEST(Run, a_signal_cancels_main_and_is_thrown_as_interrupted) {
    for (const int number : {SIGINT, SIGTERM}) {
        bool cancelled = false;
        auto main = [&]() -> Task<> {
            std::raise(number);
            try {
                co_await sleep(1h);
            } catch (const Cancelled&) {
                cancelled = true;
                throw;
            }
        };
        const auto error = caught<Interrupted>([&] { sluice::run(main()); });
        ASSERT_TRUE(error);
        EXPECT_TRUE(cancelled);
        EXPECT_EQ(error->signal_number(), number);
        EXPECT_EQ(error->exit_status(), 128 + number);
        EXPECT_EQ(error->what(), "interrupted by signal " + std::to_string(number));
    }
}

TEST(Run, a_main_that_ends_well_after_a_signal_ends_run_well) {
    auto main = []() -> Task<std::string> {
        std::raise(SIGTERM);
        bool cancelled = false;
        try {
            co_await sleep(1h);
        } catch (const Cancelled&) {
            cancelled = true;
        }
        co_await sleep(1ms);
        co_return cancelled ? "shut down" : "?";
    };
    EXPECT_EQ(sluice::run(main()), "shut down");
}

TEST(Run, a_cancellation_without_a_signal_stays_cancelled) {
    auto main = []() -> Task<> {
        co_await sleep(0ns);
        throw Cancelled();
    };
    EXPECT_THROW(sluice::run(main()), Cancelled);
}

TEST(Run, a_second_signal_ends_the_process_even_if_nothing_reacts) {
    EXPECT_EXIT(sluice::run([](EventLoop&) -> Task<> {
                    for (;;) {
                        std::raise(SIGINT);
                        try {
                            co_await sleep(1h);
                        } catch (const Cancelled&) {
                            // As stubborn as can be.
                        }
                    }
                }),
                testing::KilledBySignal(SIGINT), "");
}

TEST(Run, leaves_signals_alone_if_asked_to_and_their_default_action_behind) {
    RunOptions options;
    options.signals = false;
    EXPECT_EXIT(sluice::run(
                    [](EventLoop&) -> Task<> {
                        std::raise(SIGTERM);
                        co_await sleep(1h);
                    },
                    options),
                testing::KilledBySignal(SIGTERM), "");
    sluice::run(answer(1));
    struct sigaction action = {};
    ASSERT_EQ(sigaction(SIGINT, nullptr, &action), 0);
    EXPECT_EQ(action.sa_handler, SIG_DFL);
}

TEST(Run, works_on_another_thread_without_signals) {
    int result = 0;
    std::thread thread([&] { result = sluice::run(answer(6)); });
    thread.join();
    EXPECT_EQ(result, 6);
}

TEST(Run, stop_loop_ends_it_and_what_is_left_is_cancelled) {
    std::string log;
    auto background = [&]() -> Task<> {
        try {
            co_await sleep(1h);
        } catch (const Cancelled&) {
            log += "cancelled";
            throw;
        }
    };
    auto main = [&](EventLoop& loop) -> Task<> {
        loop.create_task(background());
        co_await sleep(0ns);
        throw StopLoop();
    };
    EXPECT_THROW(sluice::run(main), StopLoop);
    EXPECT_EQ(log, "cancelled");
}

// ---- what debug mode tells ----

std::string reports_of(std::function<Task<>()> body) {
    std::string log;
    RunOptions options;
    options.debug = true;
    options.exception_handler = [&](const ExceptionContext& context) { log += note(context); };
    auto main = [&](EventLoop&) { return body(); };
    try {
        sluice::run(main, options);
    } catch (const Cancelled&) {
        log += "cancelled";
    }
    return log;
}

Task<> forgotten_coroutine() {
    co_await sleep(0ns);
}

TEST(Debug, a_task_that_was_never_awaited_is_reported_with_its_place) {
    const std::string log = reports_of([]() -> Task<> {
        static_cast<void>(forgotten_coroutine());
        co_return;
    });
    EXPECT_THAT(log, testing::AllOf(testing::HasSubstr("a Task was never awaited"),
                                    testing::HasSubstr("forgotten_coroutine"),
                                    testing::HasSubstr("run_test.cpp")));
}

TEST(Debug, what_a_forgotten_task_holds_is_not_reported_again) {
    const std::string log = reports_of([]() -> Task<> {
        static_cast<void>(timeout(1h, forgotten_coroutine()));
        co_return;
    });
    EXPECT_THAT(log, testing::HasSubstr("never awaited"));
    EXPECT_THAT(log, testing::Not(testing::HasSubstr("forgotten_coroutine()\n")));
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
}

TEST(Debug, awaited_started_cancelled_and_refused_tasks_are_not_reported) {
    EXPECT_EQ(reports_of([]() -> Task<> {
                  co_await forgotten_coroutine();
                  EventLoop& loop = *EventLoop::running();
                  TaskHandle<> early = loop.create_task(timeout(1h, forgotten_coroutine()));
                  early.cancel();
                  TaskGroup group;
                  group.create_task(forgotten_coroutine());
                  co_await group.wait();
                  try {
                      group.create_task(forgotten_coroutine());
                  } catch (const std::logic_error&) {
                  }
                  co_await sleep(1ms);
              }),
              "");
}

class Silent : public Protocol {
public:
    void data_received(Bytes) override {}
};

TEST(Debug, connections_and_servers_that_nobody_closes_are_reported_with_their_places) {
    int server_line = 0;
    int connection_line = 0;
    const std::string log = reports_of([&]() -> Task<> {
        EventLoop& loop = *EventLoop::running();
        server_line = __LINE__ + 1;
        const Ref<Server> server = co_await loop.create_server<Silent>("127.0.0.1", 0);
        const std::uint16_t port = server->local_address().port();
        connection_line = __LINE__ + 1;
        const auto connection = co_await loop.create_connection<Silent>("127.0.0.1", port);
        while (server->connection_count() == 0) {
            co_await sleep(0ns);
        }
    });
    const auto place = [](int line) { return "run_test.cpp:" + std::to_string(line) + ")"; };
    EXPECT_THAT(log, testing::AllOf(testing::HasSubstr("a server was never closed"),
                                    testing::HasSubstr("a transport was never closed")));
    std::size_t served = 0;
    std::size_t connected = 0;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
        served += line.ends_with(place(server_line)) ? 1 : 0;
        connected += line.ends_with(place(connection_line)) ? 1 : 0;
    }
    EXPECT_EQ(served, 2U) << "the server, and the connection it has accepted: " << log;
    EXPECT_EQ(connected, 1U) << log;
}

TEST(Debug, without_debug_mode_nothing_is_reported) {
    std::string log;
    RunOptions options;
    options.debug = false;
    options.exception_handler = [&](const ExceptionContext& context) { log += note(context); };
    auto main = [](EventLoop&) -> Task<> {
        static_cast<void>(forgotten_coroutine());
        co_return;
    };
    sluice::run(main, options);
    EXPECT_EQ(log, "");
}

}  // namespace
}  // namespace sluice::test
