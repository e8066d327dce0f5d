// What only the io_uring backend has: refusals, threads that change, files it must let go of, its queues.
// The suites of the loop and of the transports run on it as on every backend.
#include "support/checked.hpp"
#include "support/loop_fixture.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <future>
#include <thread>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class IoUring : public LoopTest {
protected:
    IoUring() : LoopTest(Backend::io_uring) {}
};

// From here on io_uring_setup(2) fails with `error` in this process.
void forbid_io_uring(int error) {
    std::array<sock_filter, 4> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog filter{program.size(), program.data()};
    checked(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS");
    checked(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0), "PR_SET_SECCOMP");
}

// While it lives the process may have as many descriptors as it can allow itself.
class AllDescriptors {
public:
    AllDescriptors() {
        checked(::getrlimit(RLIMIT_NOFILE, &before_), "getrlimit");
        const rlimit raised{before_.rlim_max, before_.rlim_max};
        checked(::setrlimit(RLIMIT_NOFILE, &raised), "setrlimit");
    }
    AllDescriptors(const AllDescriptors&) = delete;
    AllDescriptors& operator=(const AllDescriptors&) = delete;
    ~AllDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    [[nodiscard]] std::size_t count() const { return before_.rlim_max; }

private:
    rlimit before_{};
};

TEST_F(IoUring, tells_its_name_and_what_it_uses_and_what_not) {
    EXPECT_STREQ(loop().backend_name(), "io_uring");
    EXPECT_THAT(loop().backend_report(), testing::StartsWith("io_uring: "));
    EXPECT_THAT(loop().backend_report(), HasSubstr("DEFER_TASKRUN"));
    for (const char* used :
         {"multishot receive", "buffer ring of", "; multishot accept, file reads"}) {
        EXPECT_THAT(loop().backend_report(), HasSubstr(used));
    }
    for (const char* reason : {"no zero-copy send: ", "no bundles: "}) {
        EXPECT_THAT(loop().backend_report(), HasSubstr(reason));
    }
}

TEST_F(IoUring, refused_by_the_system_falls_back_to_epoll_and_says_why) {
    for (const int error : {EPERM, ENOSYS, EACCES}) {
        EXPECT_TRUE(in_forked_child([error] {
            forbid_io_uring(error);
            EventLoop other(Backend::io_uring);
            bool ran = false;
            other.call_soon([&ran] { ran = true; });
            other.run_once();
            const std::string report = other.backend_report();
            return ran && std::string_view(other.backend_name()) == "epoll" &&
                   report.starts_with("epoll: instead of io_uring: ") &&
                   report.ends_with(std::system_category().message(error));
        })) << error;
    }
}

TEST_F(IoUring, is_not_given_up_for_a_lack_of_descriptors) {
    if (!descriptors_can_run_out()) {
        GTEST_SKIP() << "this sanitizer needs descriptors of its own";
    }
    for (const std::size_t spare : {0U, 1U}) {
        const DescriptorLimit limit(spare);
        try {
            const EventLoop other(Backend::io_uring);
            ADD_FAILURE() << "made with " << spare << " descriptors: " << other.backend_report();
        } catch (const std::system_error& error) {
            EXPECT_EQ(error.code(), std::errc::too_many_files_open);
        }
    }
}

// ---- threads ----

TEST_F(IoUring, a_loop_may_run_on_one_thread_after_the_other) {
    auto [near_end, far_end] = connected_peers();
    int calls = 0;
    loop().add_reader(near_end.fd(), [&calls] { ++calls; });
    far_end.send("x");
    const auto run = [this, &calls](int wanted) {
        return run_until([&] { return calls >= wanted; });
    };
    EXPECT_TRUE(std::async(std::launch::async, run, 1).get()) << "made here, run there";
    EXPECT_TRUE(run(calls + 1)) << "that thread has ended";
    std::promise<void> over;
    std::promise<bool> ran;
    std::thread other([&] {
        ran.set_value(run(calls + 1));
        over.get_future().wait();
    });
    EXPECT_TRUE(ran.get_future().get());
    EXPECT_TRUE(run(calls + 1)) << "that thread still lives";
    over.set_value();
    other.join();
    loop().remove_reader(near_end.fd());
}

TEST_F(IoUring, a_loop_that_ran_on_a_thread_can_be_emptied_on_another) {
    auto [near_end, far_end] = connected_peers();
    loop().add_reader(near_end.fd(), [] {});
    std::thread([this] { run_idle(); }).join();
    EXPECT_TRUE(loop().remove_reader(near_end.fd()));
    near_end.close();
    EXPECT_TRUE(wait_readable(far_end.fd())) << "the file is still held";
    far_end.receive_available();
    EXPECT_TRUE(far_end.saw_end());
}

// ---- what the kernel holds ----

TEST_F(IoUring, a_descriptor_that_is_no_longer_watched_is_closed_by_closing_it) {
    auto [near_end, far_end] = connected_peers();
    loop().add_reader(near_end.fd(), [] {});
    run_idle();
    loop().remove_reader(near_end.fd());
    near_end.close();
    // The loop does not run: nobody but close(2) can have told the peer.
    pollfd entry{far_end.fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&entry, 1, 0), 1);
    far_end.receive_available();
    EXPECT_TRUE(far_end.saw_end());
}

TEST_F(IoUring, what_was_on_its_way_for_a_descriptor_is_not_told_to_its_successor) {
    auto [near_end, far_end] = connected_peers();
    auto [silent, other_end] = connected_peers();
    const int fd = near_end.fd();
    loop().add_reader(fd, [] { ADD_FAILURE() << "it was removed"; });
    run_idle();
    far_end.send("x");
    loop().remove_reader(fd);
    near_end.close();
    const Descriptor successor(::fcntl(silent.fd(), F_DUPFD_CLOEXEC, fd));
    ASSERT_EQ(successor.get(), fd);
    loop().add_reader(fd, [] { ADD_FAILURE() << "nothing was sent to it"; });
    run_idle();
    loop().remove_reader(fd);
}

TEST_F(IoUring, more_events_at_a_time_than_its_queues_hold_are_all_told) {
    // More than limits::ring_completion_entries, and as many operations under way.
    constexpr std::size_t count = 10'000;
    const AllDescriptors allowed;
    if (allowed.count() < count + 100) {
        GTEST_SKIP() << "at most " << allowed.count() << " descriptors";
    }
    std::vector<Descriptor> events;
    std::vector<int> calls(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        events.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        loop().add_reader(events.back().get(), [&calls, i] { ++calls[i]; });
    }
    std::uint64_t value = 1;
    run_idle();
    for (const int round : {1, 2}) {
        for (const Descriptor& event : events) {
            ASSERT_EQ(::write(event.get(), &value, sizeof value), ssize_t{sizeof value});
        }
        ASSERT_TRUE(run_until([&] {
            return std::all_of(calls.begin(), calls.end(), [&](int each) { return each >= round; });
        })) << std::count(calls.begin(), calls.end(), 0);
        for (const Descriptor& event : events) {
            ASSERT_EQ(::read(event.get(), &value, sizeof value), ssize_t{sizeof value});
        }
        value = 1;
        // What has been told to the backend already it tells; after that there is silence.
        std::vector<int> told;
        EXPECT_TRUE(run_until([&] { return std::exchange(told, calls) == calls; }));
        run_idle();
        const std::vector<int> before = calls;
        run_idle();
        EXPECT_EQ(calls, before) << "called although nothing is there to read";
    }
    for (const Descriptor& event : events) {
        loop().remove_reader(event.get());
    }
}

TEST_F(IoUring, whoever_a_batch_had_no_room_for_is_told_before_the_others_are_told_again) {
    constexpr std::size_t count = 2 * limits::poll_batch_events + 50;
    std::vector<Descriptor> events;
    std::vector<int> calls(count, 0);
    for (std::size_t i = 0; i < count; ++i) {
        events.emplace_back(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
        loop().add_reader(events.back().get(), [&calls, i] { ++calls[i]; });
    }
    // Three batches, and one more for those who are told last.
    for (int turn = 0; turn < 4; ++turn) {
        loop().run_once(0ns);
    }
    EXPECT_EQ(std::count(calls.begin(), calls.end(), 0), 0) << "never told";
    EXPECT_LE(*std::max_element(calls.begin(), calls.end()), 2);
    for (const Descriptor& event : events) {
        loop().remove_reader(event.get());
    }
}

// ---- in a foreign loop ----

TEST_F(IoUring, an_embedded_loop_shows_that_something_is_still_unread) {
    auto [near_end, far_end] = connected_peers();
    int calls = 0;
    const int pollable = loop().pollable_fd();
    loop().add_reader(near_end.fd(), [&calls] { ++calls; });
    // As a foreign loop does it: nothing but the descriptor says when to run.
    const auto run_when_shown = [&](int wanted) {
        while (calls < wanted && wait_readable(pollable)) {
            loop().run_once();
        }
        return calls;
    };
    std::thread sender([&far_end] { far_end.send("x"); });
    EXPECT_EQ(run_when_shown(3), 3) << "level-triggered";
    sender.join();
    near_end.receive_available();
    run_idle();
    pollfd entry{pollable, POLLIN, 0};
    EXPECT_EQ(::poll(&entry, 1, 0), 0) << "the foreign loop would spin";
    const int before = calls;
    far_end.send("y");
    EXPECT_EQ(run_when_shown(before + 1), before + 1);
    loop().remove_reader(near_end.fd());
}

}  // namespace
}  // namespace sluice::test
