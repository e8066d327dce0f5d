// The kqueue backend alone, in what a loop's other tests do not show: how two filters become one
// readiness, and that a change which fails leaves everything as it was.
#include <sluice/descriptor.hpp>
#include <sluice/detail/kqueue.hpp>
#include <sluice/detail/loop_core.hpp>

#include "support/checked.hpp"
#include "support/pipe_end.hpp"
#include "support/recording_watcher.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <string_view>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using detail::Readiness;

bool is_readable(int fd) {
    pollfd entry{fd, POLLIN, 0};
    return checked(::poll(&entry, 1, 0), "poll") == 1;
}

class KqueuePoller : public testing::Test {
protected:
    void SetUp() override {
        std::array<int, 2> ends{};
        checked(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
                "socketpair");
        ours_ = Descriptor(ends[0]);
        theirs_ = Descriptor(ends[1]);
    }
    void TearDown() override { core_.unwatch(watcher_, ours_.get()); }

    std::error_code watch(Readiness interest) {
        return core_.watch(watcher_, ours_.get(), interest);
    }
    /// What the watcher is told now.
    Readiness told() {
        core_.run_once(0ns);
        return watcher_.take();
    }
    void they_send(std::string_view bytes) {
        ASSERT_EQ(::write(theirs_.get(), bytes.data(), bytes.size()),
                  static_cast<ssize_t>(bytes.size()));
    }

    detail::LoopCore core_{detail::make_kqueue_poller()};
    RecordingWatcher watcher_;
    Descriptor ours_;
    Descriptor theirs_;
};

TEST_F(KqueuePoller, tells_of_what_is_watched_and_of_nothing_else) {
    they_send("x");
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::both);
    ASSERT_FALSE(watch(Readiness::readable));
    EXPECT_EQ(told(), Readiness::readable);
    ASSERT_FALSE(watch(Readiness::writable));
    EXPECT_EQ(told(), Readiness::writable) << "one filter takes the place of the other";
    ASSERT_FALSE(watch(Readiness::both));
    EXPECT_EQ(told(), Readiness::both);
    core_.unwatch(watcher_, ours_.get());
    EXPECT_EQ(told(), Readiness::none);
}

TEST_F(KqueuePoller, the_end_of_the_stream_is_readable_and_does_not_stop_writing) {
    ASSERT_FALSE(watch(Readiness::readable));
    ASSERT_EQ(::shutdown(theirs_.get(), SHUT_WR), 0);
    EXPECT_EQ(told(), Readiness::readable);
}

TEST_F(KqueuePoller, a_hang_up_is_both_for_who_only_waits_to_write) {
    ASSERT_FALSE(watch(Readiness::writable));
    EXPECT_EQ(told(), Readiness::writable);
    theirs_.reset();
    EXPECT_EQ(told(), Readiness::both);
}

TEST_F(KqueuePoller, a_pipe_that_lost_its_reader_is_readable_at_its_writing_end) {
    auto [reading, writing] = make_pipe();
    Descriptor read_end(reading);
    const Descriptor write_end(writing);
    RecordingWatcher pipe;
    ASSERT_FALSE(core_.watch(pipe, write_end.get(), Readiness::readable));
    core_.run_once(0ns);
    EXPECT_EQ(pipe.take(), Readiness::none);
    read_end.reset();
    core_.run_once(0ns);
    EXPECT_EQ(pipe.take(), Readiness::readable);
    core_.unwatch(pipe, write_end.get());
}

TEST_F(KqueuePoller, a_pipe_that_lost_its_reader_fails_to_be_watched_for_writing) {
    auto [reading, writing] = make_pipe();
    Descriptor read_end(reading);
    const Descriptor write_end(writing);
    RecordingWatcher pipe;
    ASSERT_FALSE(core_.watch(pipe, write_end.get(), Readiness::readable));
    read_end.reset();
    EXPECT_EQ(core_.watch(pipe, write_end.get(), Readiness::both), std::errc::broken_pipe);
    EXPECT_EQ(core_.watch(pipe, write_end.get(), Readiness::writable), std::errc::broken_pipe);
    EXPECT_EQ(pipe.interest(), Readiness::readable);
    core_.run_once(0ns);
    EXPECT_EQ(pipe.take(), Readiness::readable) << "what was watched still is";
    core_.unwatch(pipe, write_end.get());
    EXPECT_EQ(core_.watch(pipe, write_end.get(), Readiness::both), std::errc::broken_pipe);
    core_.run_once(0ns);
    EXPECT_EQ(pipe.take(), Readiness::none) << "nothing is left of the half that was taken";
}

TEST_F(KqueuePoller, a_file_that_cannot_be_waited_for_is_not_permitted) {
    for (const char* path : {"/proc/self/exe", "/", "/dev/null"}) {
        const Descriptor file(checked(::open(path, O_RDONLY | O_CLOEXEC), path));
        EXPECT_EQ(core_.watch(watcher_, file.get(), Readiness::both),
                  std::errc::operation_not_permitted)
            << path;
        EXPECT_EQ(watcher_.interest(), Readiness::none);
    }
}

TEST_F(KqueuePoller, an_event_that_was_collected_reaches_nobody_once_its_descriptor_is_another) {
    // Both directions are ready, so the batch holds two events of the watcher. The first one ends
    // with the number closed, given away again and watched by somebody else.
    class Replacing final : public detail::Watcher {
    public:
        Replacing(detail::LoopCore& core, Descriptor& socket, RecordingWatcher& next)
            : core_(core), socket_(socket), next_(next) {}
        void on_ready(Readiness) noexcept override {
            ++calls;
            const int number = socket_.get();
            core_.unwatch(*this, number);
            socket_.reset();
            const auto [reading, writing] = make_pipe();
            socket_ = Descriptor(reading);
            write_end_ = Descriptor(writing);
            EXPECT_EQ(socket_.get(), number);
            EXPECT_FALSE(core_.watch(next_, number, Readiness::readable));
        }
        int calls = 0;

    private:
        detail::LoopCore& core_;
        Descriptor& socket_;
        RecordingWatcher& next_;
        Descriptor write_end_;
    };
    Replacing replacing(core_, ours_, watcher_);
    they_send("x");
    ASSERT_FALSE(core_.watch(replacing, ours_.get(), Readiness::both));
    core_.run_once(0ns);
    EXPECT_EQ(replacing.calls, 1);
    EXPECT_EQ(watcher_.take(), Readiness::none) << "what was ready was another's";
}

TEST_F(KqueuePoller, a_change_that_fails_leaves_what_was_watched) {
    ASSERT_FALSE(watch(Readiness::readable));
    const int number = ours_.release();
    ASSERT_EQ(::close(number), 0);
    EXPECT_EQ(core_.watch(watcher_, number, Readiness::both), std::errc::bad_file_descriptor);
    EXPECT_EQ(watcher_.interest(), Readiness::readable);
    core_.unwatch(watcher_, number);
    EXPECT_EQ(watcher_.interest(), Readiness::none);
}

TEST_F(KqueuePoller, wakes_collapse_into_one_and_reach_no_watcher) {
    const std::unique_ptr<detail::Poller> poller = detail::make_kqueue_poller();
    std::array<detail::ReadyEvent, 4> batch{};
    poller->wake();
    poller->wake();
    // Without a limit: a wake that was lost would hang here.
    EXPECT_EQ(poller->wait(std::nullopt, batch), 0U);
    EXPECT_FALSE(is_readable(poller->pollable_fd()));
    poller->wake();
    EXPECT_TRUE(is_readable(poller->pollable_fd())) << "for a loop inside another one";
    ASSERT_FALSE(poller->add(watcher_, ours_.get(), Readiness::writable));
    EXPECT_EQ(poller->wait(0ns, batch), 1U);
    EXPECT_EQ(batch[0].watcher, &watcher_);
    poller->remove(ours_.get());
    EXPECT_EQ(poller->wait(0ns, batch), 0U);
}

}  // namespace
}  // namespace sluice::test
