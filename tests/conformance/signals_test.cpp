// Signal handlers of the loop and fork(2).
#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <csignal>
#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

bool has_default_action(int signal_number) {
    struct sigaction action{};
    return ::sigaction(signal_number, nullptr, &action) == 0 && action.sa_handler == SIG_DFL;
}

class Signals : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Signals, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Signals, T403_the_handler_runs_in_the_loop_and_not_in_the_signal) {
    int calls = 0;
    bool inside_loop = false;
    loop().add_signal_handler(SIGUSR1, [&] {
        ++calls;
        inside_loop = EventLoop::running() == &loop();
    });
    ASSERT_EQ(::raise(SIGUSR1), 0);
    EXPECT_EQ(calls, 0);
    ASSERT_TRUE(run_until([&] { return calls == 1; }));
    EXPECT_TRUE(inside_loop);
    run_idle();
    EXPECT_EQ(calls, 1);
}

TEST_P(Signals, T403_a_signal_wakes_a_loop_that_sleeps) {
    bool called = false;
    loop().add_signal_handler(SIGUSR1, [&] { called = true; });
    const pthread_t main_thread = ::pthread_self();
    std::thread sender([main_thread] { ::pthread_kill(main_thread, SIGUSR1); });
    const TimerHandle limit = loop().call_later(patience(), [] {});
    while (!called && limit.when() > loop().time()) {
        loop().run_once(std::nullopt);
    }
    sender.join();
    EXPECT_TRUE(called);
}

TEST_P(Signals, T403_a_signal_wakes_the_loop_whichever_thread_takes_it) {
    bool called = false;
    loop().add_signal_handler(SIGUSR1, [&] { called = true; });
    std::thread([] { ::pthread_kill(::pthread_self(), SIGUSR1); }).join();
    ASSERT_TRUE(run_until([&] { return called; }));
}

TEST_P(Signals, T403_adding_again_replaces_and_removing_restores_the_default_action) {
    std::string ran;
    auto owned = std::make_shared<int>(0);
    loop().add_signal_handler(SIGUSR2, [&, owned] { ran += '1'; });
    loop().add_signal_handler(SIGUSR2, [&] { ran += '2'; });
    EXPECT_EQ(owned.use_count(), 1);
    ::raise(SIGUSR2);
    ASSERT_TRUE(run_until([&] { return !ran.empty(); }));
    EXPECT_EQ(ran, "2");
    EXPECT_FALSE(has_default_action(SIGUSR2));
    EXPECT_TRUE(loop().remove_signal_handler(SIGUSR2));
    EXPECT_FALSE(loop().remove_signal_handler(SIGUSR2));
    EXPECT_TRUE(has_default_action(SIGUSR2));
}

TEST_P(Signals, T403_one_that_comes_while_its_handler_is_removed_is_not_the_next_ones) {
    loop().add_signal_handler(SIGUSR1, [] {});
    struct sigaction action{};
    ASSERT_EQ(::sigaction(SIGUSR1, nullptr, &action), 0);
    loop().remove_signal_handler(SIGUSR1);
    // As on a thread that had been interrupted before it was removed.
    action.sa_handler(SIGUSR1);
    std::string ran;
    loop().add_signal_handler(SIGUSR1, [&] { ran += '1'; });
    loop().add_signal_handler(SIGUSR2, [&] { ran += '2'; });
    ASSERT_EQ(::raise(SIGUSR2), 0);
    ASSERT_TRUE(run_until([&] { return !ran.empty(); }));
    EXPECT_EQ(ran, "2");
}

TEST_P(Signals, T403_different_signals_have_their_own_handlers) {
    std::string ran;
    loop().add_signal_handler(SIGUSR1, [&] { ran += '1'; });
    loop().add_signal_handler(SIGUSR2, [&] { ran += '2'; });
    loop().add_signal_handler(SIGTERM, [&] { ran += 'T'; });
    loop().add_signal_handler(SIGINT, [&] { ran += 'I'; });
    ::raise(SIGUSR2);
    ::raise(SIGTERM);
    ASSERT_TRUE(run_until([&] { return ran.size() == 2; }));
    EXPECT_THAT(ran, testing::AllOf(testing::HasSubstr("2"), testing::HasSubstr("T")));
    ::raise(SIGINT);
    ::raise(SIGUSR1);
    ASSERT_TRUE(run_until([&] { return ran.size() == 4; }));
}

TEST_P(Signals, T403_a_handler_may_remove_itself_and_others_that_are_due) {
    std::string ran;
    const auto remove_both = [&](char name) {
        ran += name;
        loop().remove_signal_handler(SIGUSR1);
        loop().remove_signal_handler(SIGUSR2);
    };
    loop().add_signal_handler(SIGUSR1, [&] { remove_both('1'); });
    loop().add_signal_handler(SIGUSR2, [&] { remove_both('2'); });
    ::raise(SIGUSR1);
    ::raise(SIGUSR2);
    run_idle();
    EXPECT_EQ(ran.size(), 1U);
    EXPECT_TRUE(has_default_action(SIGUSR1));
}

TEST_P(Signals, an_exception_of_a_handler_reaches_the_exception_handler) {
    loop().add_signal_handler(SIGUSR1, [] { throw std::runtime_error("in a signal handler"); });
    ::raise(SIGUSR1);
    run_idle();
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "in a signal handler");
}

TEST_P(Signals, T403_closing_the_loop_removes_every_handler) {
    auto owned = std::make_shared<int>(0);
    loop().add_signal_handler(SIGUSR1, [owned] {});
    loop().add_signal_handler(SIGTERM, [owned] {});
    loop().close();
    EXPECT_TRUE(has_default_action(SIGUSR1));
    EXPECT_TRUE(has_default_action(SIGTERM));
    EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(Signals, T403_signals_that_cannot_be_caught_or_do_not_exist_are_refused_by_number) {
    for (const int number : {SIGKILL, SIGSTOP, 0, -1, 65, 1'000'000}) {
        EXPECT_THAT(
            message_of<std::invalid_argument>([&] { loop().add_signal_handler(number, [] {}); }),
            testing::HasSubstr(std::to_string(number)));
        EXPECT_FALSE(loop().remove_signal_handler(number));
    }
}

TEST_P(Signals, T403_handlers_can_be_added_on_the_main_thread_only) {
    std::string error;
    EventLoop* const own = &loop();
    std::thread([&] {
        error = message_of<std::logic_error>([&] { own->add_signal_handler(SIGUSR1, [] {}); });
    }).join();
    EXPECT_THAT(error, testing::HasSubstr("main thread"));
    EXPECT_TRUE(has_default_action(SIGUSR1));
}

TEST_P(Signals, a_second_loop_cannot_take_a_signal_until_the_first_gives_it_back) {
    EventLoop other(GetParam());
    bool called = false;
    loop().add_signal_handler(SIGUSR1, [] {});
    EXPECT_THAT(message_of<std::logic_error>([&] { other.add_signal_handler(SIGUSR1, [] {}); }),
                testing::HasSubstr("another event loop"));
    EXPECT_FALSE(other.remove_signal_handler(SIGUSR1));
    loop().remove_signal_handler(SIGUSR1);
    other.add_signal_handler(SIGUSR1, [&] { called = true; });
    ::raise(SIGUSR1);
    ASSERT_TRUE(run_until([&] {
        other.run_once();
        return called;
    }));
}

TEST_P(Signals, a_thousand_signals_are_reported_at_least_once_and_do_not_block) {
    int calls = 0;
    loop().add_signal_handler(SIGUSR1, [&] { ++calls; });
    for (int i = 0; i < 1000; ++i) {
        ::raise(SIGUSR1);
    }
    run_idle();
    EXPECT_GE(calls, 1);
    EXPECT_LE(calls, 1000);
}

TEST_P(Signals, J2_a_signal_can_drain_a_server_and_end_the_run) {
    Ref<Server> server = serve();
    Peer peer = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    auto drain = [](Ref<Server> held) -> Task<bool> {
        auto draining = held->drain(1ms);
        const bool complete = co_await draining;
        co_return complete;
    };
    TaskHandle<bool> draining;
    loop().add_signal_handler(SIGTERM, [&] { draining = loop().create_task(drain(server)); });
    ::raise(SIGTERM);
    ASSERT_TRUE(run_until([&] { return draining && draining.done(); }));
    EXPECT_FALSE(draining.result()) << "the peer never closed: it had to be aborted";
    EXPECT_TRUE(connections()[0]->lost());
}

// ---- fork; the child ends with _exit and destroys nothing of its parent's ----

TEST_P(Signals, T404_a_child_can_make_and_run_a_loop_of_its_own_also_from_inside_a_callback) {
    const Backend backend = GetParam();
    const auto body = [backend] {
        EventLoop own(backend);
        bool timer = false;
        own.call_later(1ms, [&] {
            timer = true;
            own.stop();
        });
        own.run_forever();
        return timer;
    };
    EXPECT_TRUE(in_forked_child(body)) << "outside of the running loop";
    bool inside = false;
    loop().call_soon([&] { inside = in_forked_child(body); });
    loop().run_once();
    EXPECT_TRUE(inside) << "inside of a callback: the parent's loop does not run in the child";
}

TEST_P(Signals, T404_a_child_handles_its_signals_apart_from_the_parent) {
    int parent_calls = 0;
    loop().add_signal_handler(SIGUSR1, [&] { ++parent_calls; });
    const Backend backend = GetParam();
    EXPECT_TRUE(in_forked_child([backend] {
        EventLoop own(backend);
        int calls = 0;
        own.add_signal_handler(SIGUSR1, [&] { ++calls; });
        ::raise(SIGUSR1);
        for (int i = 0; i < 10; ++i) {
            own.run_once();
        }
        return calls == 1;
    }));
    run_idle();
    EXPECT_EQ(parent_calls, 0);
    ::raise(SIGUSR1);
    ASSERT_TRUE(run_until([&] { return parent_calls == 1; })) << "the parent's handler is intact";
}

TEST_P(Signals, T404_a_signal_to_a_child_that_has_no_loop_does_not_reach_the_parents_callback) {
    int parent_calls = 0;
    loop().add_signal_handler(SIGUSR1, [&] { ++parent_calls; });
    EXPECT_TRUE(in_forked_child([] { return ::raise(SIGUSR1) == 0; }));
    run_idle();
    EXPECT_EQ(parent_calls, 0);
}

}  // namespace
}  // namespace sluice::test
