// Signals on Windows: there the C library has them, on threads of its own, and takes a handler away
// before it calls it. raise() does the same on the thread that calls it.
#include <sluice/detail/sys.hpp>

#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <csignal>
#include <thread>

namespace sluice::test {
namespace {

using SignalAction = void (*)(int);

/// What the C library calls; the default action from now on.
SignalAction take_action(int signal_number) {
    return std::signal(signal_number, SIG_DFL);
}

void do_nothing(int /*signal_number*/) {}

class WindowsSignals : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, WindowsSignals, testing::ValuesIn(backends()), backend_case_name);

TEST_P(WindowsSignals, T403_one_on_another_thread_wakes_a_loop_that_sleeps_each_time) {
    int calls = 0;
    loop().add_signal_handler(SIGTERM, [&] { ++calls; });
    const TimerHandle limit = loop().call_later(patience(), [] {});
    for (int round = 1; round <= 3; ++round) {
        std::thread other([] { std::raise(SIGTERM); });
        while (calls < round && limit.when() > loop().time()) {
            loop().run_once(std::nullopt);
        }
        other.join();
        ASSERT_EQ(calls, round);
    }
}

TEST_P(WindowsSignals, T403_removing_and_closing_restore_the_default_action) {
    loop().add_signal_handler(SIGTERM, [] {});
    loop().add_signal_handler(SIGINT, [] {});
    EXPECT_TRUE(loop().remove_signal_handler(SIGTERM));
    EXPECT_EQ(take_action(SIGTERM), SIG_DFL);
    loop().close();
    EXPECT_EQ(take_action(SIGINT), SIG_DFL);
}

TEST_P(WindowsSignals, T403_one_that_comes_while_its_handler_is_removed_does_not_bring_it_back) {
    ASSERT_FALSE(detail::sys::set_signal_handler(SIGTERM, do_nothing));
    // Like the C library, which has taken the action of the signal when it calls it.
    const SignalAction action = take_action(SIGTERM);
    ASSERT_NE(action, SIG_DFL);
    ASSERT_FALSE(detail::sys::set_signal_handler(SIGTERM, nullptr));
    action(SIGTERM);
    EXPECT_EQ(take_action(SIGTERM), SIG_DFL);
}

TEST_P(WindowsSignals, T403_those_that_do_not_exist_are_refused_by_number) {
    for (const int number : {0, -1, 64, 65, 1'000'000}) {
        EXPECT_THAT(
            message_of<std::invalid_argument>([&] { loop().add_signal_handler(number, [] {}); }),
            testing::HasSubstr(std::to_string(number)));
    }
}

}  // namespace
}  // namespace sluice::test
