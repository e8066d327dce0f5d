// The IOCP backend alone, in what a loop's other tests do not show: polls that are under way when
// something changes, and sockets that are gone. And the error numbers of Windows.
#include <sluice/descriptor.hpp>
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/result.hpp>

#include "support/patience.hpp"
#include "support/peer.hpp"
#include "support/recording_watcher.hpp"
#include "support/temp_file.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <unistd.h>

namespace {

/// How often the system has no memory for a wake.
int refused_wakes = 0;

}  // namespace

extern "C" {
// What the linker calls in place of sys::post_wake(), and that.
bool __real__ZN6sluice4v0_16detail3sys9post_wakeEi(int port);
bool __wrap__ZN6sluice4v0_16detail3sys9post_wakeEi(int port);

bool __wrap__ZN6sluice4v0_16detail3sys9post_wakeEi(int port) {
    if (refused_wakes != 0) {
        --refused_wakes;
        return false;
    }
    return __real__ZN6sluice4v0_16detail3sys9post_wakeEi(port);
}
}

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using detail::Readiness;

class IocpPoller : public testing::Test {
protected:
    IocpPoller() { std::tie(ours_, theirs_) = connected_peers(); }
    void TearDown() override { core_.unwatch(watcher_, ours_.fd()); }

    std::error_code watch(Readiness interest) {
        return core_.watch(watcher_, ours_.fd(), interest);
    }
    /// What the watcher is told now.
    Readiness told() {
        core_.run_once(0ns);
        return watcher_.take();
    }
    /// What it is told in the next iteration, which waits for it.
    Readiness told_later() {
        core_.run_once(std::nullopt);
        return watcher_.take();
    }

    /// Until there is no room to write.
    void fill() {
        const std::string chunk(64'000, 'f');
        while (ours_.send_some(chunk) != 0) {
        }
    }

    detail::LoopCore core_{detail::make_iocp_poller()};
    RecordingWatcher watcher_;
    Peer ours_;
    Peer theirs_;
};

TEST_F(IocpPoller, tells_of_what_is_watched_and_of_nothing_else) {
    theirs_.send("x");
    ASSERT_TRUE(wait_readable(ours_.fd()));
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::both);
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told(), Readiness::readable);
    ASSERT_FALSE(watch(Readiness::writable));
    EXPECT_EQ(told(), Readiness::writable);
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::both);
    core_.unwatch(watcher_, ours_.fd());
    EXPECT_EQ(told(), Readiness::none);
}

TEST_F(IocpPoller, what_is_left_unread_is_told_again) {
    theirs_.send("xy");
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told_later(), Readiness::readable);
    ours_.receive_at_most(1);
    EXPECT_EQ(told(), Readiness::readable);
    ours_.receive_available();
    EXPECT_EQ(told(), Readiness::none);
}

TEST_F(IocpPoller, an_interest_that_grows_while_a_poll_is_under_way_is_told_of_at_once) {
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told(), Readiness::none);
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::writable);
}

TEST_F(IocpPoller, an_interest_that_shrinks_while_a_poll_is_under_way_is_not_told_of_the_rest) {
    fill();
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::none);
    ASSERT_FALSE(watch(Readiness::writable));
    theirs_.send("x");
    ASSERT_TRUE(wait_readable(ours_.fd()));
    EXPECT_EQ(told(), Readiness::none);
    theirs_.receive_available();
    EXPECT_EQ(told_later(), Readiness::writable);
}

TEST_F(IocpPoller, the_end_of_the_stream_is_readable_and_does_not_stop_writing) {
    fill();
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::none);
    theirs_.shutdown_write();
    EXPECT_EQ(told_later(), Readiness::readable);
    theirs_.receive_available();
    EXPECT_EQ(told_later(), Readiness::both);
}

TEST_F(IocpPoller, a_reset_is_both_for_who_only_waits_to_read) {
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told(), Readiness::none);
    theirs_.reset();
    EXPECT_EQ(told_later(), Readiness::both);
}

TEST_F(IocpPoller, a_watcher_that_is_removed_while_its_poll_is_under_way_is_not_told) {
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told(), Readiness::none);
    theirs_.send("x");
    ASSERT_TRUE(wait_readable(ours_.fd()));
    core_.unwatch(watcher_, ours_.fd());
    EXPECT_EQ(told(), Readiness::none);
    RecordingWatcher second;
    ASSERT_FALSE(core_.watch(second, ours_.fd(), Readiness::readable));
    core_.run_once(0ns);
    EXPECT_EQ(second.take(), Readiness::readable);
    EXPECT_EQ(watcher_.take(), Readiness::none);
    core_.unwatch(second, ours_.fd());
}

TEST_F(IocpPoller, a_socket_that_is_closed_while_it_is_watched_is_forgotten) {
    for (const bool poll_is_under_way : {true, false}) {
        auto [ours, theirs] = connected_peers();
        const std::unique_ptr<detail::Poller> poller = detail::make_iocp_poller();
        std::array<detail::ReadyEvent, 4> batch{};
        ASSERT_FALSE(poller->add(watcher_, ours.fd(), Readiness::readable));
        if (poll_is_under_way) {
            EXPECT_EQ(poller->wait(0ns, batch), 0U);
        }
        const int number = ours.release();
        ASSERT_EQ(::close(number), 0);
        EXPECT_EQ(poller->wait(0ns, batch), 0U);
        EXPECT_EQ(poller->modify(watcher_, number, Readiness::both),
                  std::errc::bad_file_descriptor);
    }
}

TEST_F(IocpPoller, a_file_that_cannot_be_waited_for_is_not_permitted) {
    const TempFile file;
    EXPECT_EQ(core_.watch(watcher_, file.fd(), Readiness::both),
              std::errc::operation_not_permitted);
    EXPECT_EQ(watcher_.interest(), Readiness::none);
    EXPECT_EQ(core_.watch(watcher_, 1 << 20, Readiness::both), std::errc::bad_file_descriptor);
}

TEST_F(IocpPoller, wakes_collapse_into_one_and_reach_no_watcher) {
    const std::unique_ptr<detail::Poller> poller = detail::make_iocp_poller();
    std::array<detail::ReadyEvent, 4> batch{};
    poller->wake();
    poller->wake();
    // Without a limit: a wake that was lost would hang here.
    EXPECT_EQ(poller->wait(std::nullopt, std::span(batch).first(1)), 0U);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(poller->wait(20ms, batch), 0U);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms) << "there was a second wake";
    std::thread other([&poller] { poller->wake(); });
    EXPECT_EQ(poller->wait(std::nullopt, batch), 0U);
    other.join();
    ASSERT_FALSE(poller->add(watcher_, ours_.fd(), Readiness::writable));
    EXPECT_EQ(poller->wait(0ns, batch), 1U);
    EXPECT_EQ(batch[0].watcher, &watcher_);
    poller->remove(ours_.fd());
    EXPECT_EQ(poller->wait(0ns, batch), 0U);
}

TEST_F(IocpPoller, a_wake_that_the_system_refuses_is_posted_again) {
    const std::unique_ptr<detail::Poller> poller = detail::make_iocp_poller();
    std::array<detail::ReadyEvent, 1> batch{};
    refused_wakes = 2;
    poller->wake();
    EXPECT_EQ(std::exchange(refused_wakes, 0), 0);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(poller->wait(patience(), batch), 0U);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, patience()) << "it was lost";
}

TEST(WindowsErrors, compare_with_what_POSIX_calls_them) {
    struct Case {
        int number;
        std::errc meaning;
    };
    // By their numbers, as the documentation of Winsock has them.
    for (const Case& each :
         {Case{10054, std::errc::connection_reset}, Case{10061, std::errc::connection_refused},
          Case{10048, std::errc::address_in_use}, Case{10049, std::errc::address_not_available},
          Case{10038, std::errc::not_a_socket}, Case{10055, std::errc::no_buffer_space},
          Case{10040, std::errc::message_size}, Case{64, std::errc::connection_reset},
          Case{6, std::errc::bad_file_descriptor}, Case{2, std::errc::no_such_file_or_directory}}) {
        EXPECT_EQ(detail::system_error(each.number), each.meaning) << each.number;
    }
}

TEST(WindowsErrors, keep_the_number_and_the_text_of_Windows) {
    constexpr int access_denied = 5;
    const std::error_code error = detail::system_error(access_denied);
    EXPECT_EQ(error.value(), access_denied);
    EXPECT_EQ(error.message(), "Access denied");
    constexpr int not_a_number_of_Windows = 0x2fffffff;
    EXPECT_EQ(detail::system_error(not_a_number_of_Windows).message(), "Windows error 805306367");
}

}  // namespace
}  // namespace sluice::test
