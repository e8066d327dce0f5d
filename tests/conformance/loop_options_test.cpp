// Around the loop: debug mode, the choice of the backend, embedding in a foreign loop.
#include "support/loop_fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class LoopOptions : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, LoopOptions, testing::ValuesIn(backends()), backend_case_name);

// ---- debug mode ----

TEST_P(LoopOptions, T395_debug_mode_reports_slow_callbacks_and_where_they_were_scheduled) {
    const Duration usual = loop().slow_callback_duration();
    EXPECT_EQ(usual, 100ms);
    loop().set_slow_callback_duration(1ns);
    loop().call_soon([] {});
    loop().run_once();
    EXPECT_TRUE(take_reports().empty()) << "not in debug mode";
    loop().set_debug(true);
    EXPECT_TRUE(loop().get_debug());
    testing::internal::CaptureStderr();
    std::string place;
    loop().set_exception_handler(
        [&](const ExceptionContext& context) { place += to_string(context); });
    loop().call_soon([] {});
    loop().run_once();
    place += testing::internal::GetCapturedStderr();
    EXPECT_THAT(place, testing::HasSubstr("loop_options_test.cpp"));
    EXPECT_THAT(place, testing::HasSubstr("took"));
}

TEST_P(LoopOptions, T395_a_fast_callback_is_not_reported_in_debug_mode) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(1h);
    loop().call_soon([] {});
    loop().run_once();
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(LoopOptions, SLUICE_DEBUG_turns_debug_mode_on) {
    ASSERT_EQ(::setenv("SLUICE_DEBUG", "1", 1), 0);
    {
        const EventLoop other(GetParam());
        EXPECT_TRUE(other.get_debug());
    }
    ASSERT_EQ(::setenv("SLUICE_DEBUG", "", 1), 0);
    {
        const EventLoop other(GetParam());
        EXPECT_FALSE(other.get_debug());
    }
    ASSERT_EQ(::unsetenv("SLUICE_DEBUG"), 0);
}

// ---- backends ----

TEST_P(LoopOptions, SLUICE_BACKEND_chooses_the_backend_and_a_wrong_one_is_named) {
    ASSERT_EQ(::setenv("SLUICE_BACKEND", loop().backend_name(), 1), 0);
    {
        const EventLoop other;
        EXPECT_STREQ(other.backend_name(), loop().backend_name());
    }
    ASSERT_EQ(::setenv("SLUICE_BACKEND", "abacus", 1), 0);
    EXPECT_THAT(message_of<std::invalid_argument>([] { const EventLoop other; }),
                testing::AllOf(testing::HasSubstr("SLUICE_BACKEND"), testing::HasSubstr("abacus")));
    {
        // An explicit choice does not look at the variable.
        const EventLoop other(GetParam());
        EXPECT_STREQ(other.backend_name(), loop().backend_name());
    }
    ASSERT_EQ(::unsetenv("SLUICE_BACKEND"), 0);
}

TEST_P(LoopOptions, a_backend_that_this_build_has_not_is_refused_with_the_names_of_those_it_has) {
    std::vector<Backend> absent = {Backend::epoll, Backend::kqueue};
    std::erase_if(absent, [](Backend each) {
        const std::vector<Backend> built = backends();
        return std::find(built.begin(), built.end(), each) != built.end();
    });
    ASSERT_FALSE(absent.empty()) << "no system has both";
    for (const Backend each : absent) {
        EXPECT_THAT(message_of<std::invalid_argument>([&] { const EventLoop other(each); }),
                    testing::AllOf(testing::HasSubstr(backend_case_name({each, 0})),
                                   testing::HasSubstr(loop().backend_name())));
    }
}

TEST_P(LoopOptions, the_backend_report_begins_with_the_name) {
    EXPECT_THAT(loop().backend_report(), testing::StartsWith(loop().backend_name()));
    const EventLoop plain(backends().front());
    EXPECT_EQ(plain.backend_report(), plain.backend_name());
}

#if !SLUICE_TEST_IO_URING
TEST_P(LoopOptions, io_uring_where_the_build_has_none_is_epoll_and_says_so) {
    const EventLoop other(Backend::io_uring);
    EXPECT_STREQ(other.backend_name(), loop().backend_name());
    EXPECT_THAT(other.backend_report(), testing::HasSubstr("SLUICE_IO_URING"));
}
#endif

// ---- embedding ----

TEST_P(LoopOptions, an_embedded_loop_tells_when_it_has_something_to_do) {
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
    const TimerHandle timer = loop().call_later(1h, [] {});
    ASSERT_TRUE(loop().next_timeout());
    EXPECT_LE(*loop().next_timeout(), 1h);
    EXPECT_GT(*loop().next_timeout(), 59min);
    loop().call_soon([] {});
    EXPECT_EQ(loop().next_timeout(), 0ns);
    loop().run_once();
    EXPECT_GT(*loop().next_timeout(), 59min);
    ASSERT_GE(loop().pollable_fd(), 0);
    bool woken = false;
    loop().call_soon_threadsafe([&] { woken = true; });
    EXPECT_TRUE(wait_readable(loop().pollable_fd()));
    loop().run_once();
    EXPECT_TRUE(woken);
}

TEST_P(LoopOptions, an_embedded_loop_may_run_inside_a_callback_of_another_one) {
    EventLoop outer(GetParam());
    bool inner_ran = false;
    EventLoop* inside = nullptr;
    loop().call_soon([&] {
        inner_ran = true;
        inside = EventLoop::running();
    });
    EventLoop* back = nullptr;
    outer.call_soon([&] {
        loop().run_once();
        back = EventLoop::running();
    });
    outer.run_once();
    EXPECT_TRUE(inner_ran);
    EXPECT_EQ(inside, &loop());
    EXPECT_EQ(back, &outer);
}

TEST_P(LoopOptions, run_once_with_a_negative_timeout_does_not_wait) {
    // A helper ends the wait if there is one, so that the case fails instead of hanging.
    bool helper_had_to_wake_it = false;
    const TimerHandle helper = loop().call_later(2s, [&] { helper_had_to_wake_it = true; });
    loop().run_once(-5ms);
    loop().run_once(-1h);
    EXPECT_FALSE(helper_had_to_wake_it);
    EXPECT_GT(helper.when(), loop().time());
}

TEST_P(LoopOptions, run_once_without_a_timeout_waits_for_work) {
    bool ran = false;
    loop().call_later(2ms, [&] { ran = true; });
    while (!ran) {
        loop().run_once(std::nullopt);
    }
    EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace sluice::test
