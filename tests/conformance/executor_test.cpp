// run_in_executor and the executor's shutdown.
#include "support/latch.hpp"
#include "support/loop_fixture.hpp"

#include <atomic>
#include <thread>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Executors : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Executors, testing::ValuesIn(backends()), backend_case_name);

template <class T>
Task<T> await(Future<T> future) {
    T value = co_await future;
    co_return value;
}

TEST_P(Executors, T402_a_job_runs_on_another_thread_and_its_result_comes_back) {
    const std::thread::id here = std::this_thread::get_id();
    Future<bool> elsewhere =
        loop().run_in_executor([here] { return std::this_thread::get_id() != here; });
    EXPECT_TRUE(run(await(elsewhere)));
}

TEST_P(Executors, T402_a_result_may_be_void_or_move_only) {
    std::atomic<bool> ran{false};
    Future<void> nothing = loop().run_in_executor([&] { ran = true; });
    ASSERT_TRUE(run_until([&] { return nothing.done(); }));
    EXPECT_TRUE(ran);
    nothing.result();
    Future<std::unique_ptr<int>> owned =
        loop().run_in_executor([] { return std::make_unique<int>(9); });
    ASSERT_TRUE(run_until([&] { return owned.done(); }));
    EXPECT_EQ(*owned.result(), 9);
}

TEST_P(Executors, T402_an_exception_of_the_job_is_thrown_where_it_is_awaited) {
    Future<int> failing =
        loop().run_in_executor([]() -> int { throw std::runtime_error("in the job"); });
    EXPECT_EQ(message_of<std::runtime_error>([&] { run(await(failing)); }), "in the job");
}

TEST_P(Executors, T402_cancelling_the_wait_does_not_stop_the_job) {
    Latch release(1);
    std::atomic<bool> finished{false};
    Future<int> job = loop().run_in_executor([&] {
        release.wait();
        finished = true;
        return 1;
    });
    TaskHandle<int> waiting = loop().create_task(await(job));
    run_idle();
    waiting.cancel();
    ASSERT_TRUE(run_until([&] { return waiting.done(); }));
    EXPECT_TRUE(waiting.cancelled());
    EXPECT_TRUE(job.cancelled());
    EXPECT_FALSE(finished);
    release.count_down();
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
    EXPECT_TRUE(finished);
}

TEST_P(Executors, many_jobs_all_come_back) {
    std::vector<Future<int>> jobs;
    for (int i = 0; i < 500; ++i) {
        jobs.push_back(loop().run_in_executor([i] { return i * 2; }));
    }
    ASSERT_TRUE(run_until([&] {
        return std::all_of(jobs.begin(), jobs.end(), [](const auto& job) { return job.done(); });
    }));
    for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(jobs[static_cast<std::size_t>(i)].result(), i * 2);
    }
}

TEST_P(Executors, several_jobs_run_at_the_same_time) {
    // Each waits for the others: they would never end one after the other.
    constexpr int together = 4;
    Latch all_here(together);
    std::vector<Future<void>> jobs;
    for (int i = 0; i < together; ++i) {
        jobs.push_back(loop().run_in_executor([&] { all_here.arrive_and_wait(); }));
    }
    ASSERT_TRUE(run_until([&] {
        return std::all_of(jobs.begin(), jobs.end(), [](const auto& job) { return job.done(); });
    }));
}

TEST_P(Executors, what_a_job_captures_is_gone_when_its_result_is_there) {
    auto owned = std::make_shared<int>(0);
    Future<void> job = loop().run_in_executor([owned] {});
    ASSERT_TRUE(run_until([&] { return job.done(); }));
    EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(Executors, T402_shutdown_waits_for_running_and_waiting_jobs_and_refuses_new_ones) {
    std::atomic<int> ran{0};
    std::vector<Future<void>> jobs;
    for (int i = 0; i < 100; ++i) {
        jobs.push_back(loop().run_in_executor([&] { ++ran; }));
    }
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
    EXPECT_EQ(ran, 100);
    EXPECT_THAT(message_of<std::logic_error>([&] { loop().run_in_executor([] {}); }),
                testing::HasSubstr("shutdown"));
    EXPECT_TRUE(run(loop().shutdown_default_executor())) << "a second time";
}

TEST_P(Executors, T402_shutdown_without_any_job_ends_at_once) {
    EXPECT_TRUE(run(loop().shutdown_default_executor(0ns)));
}

TEST_P(Executors, T402_shutdown_gives_up_after_the_timeout) {
    Latch release(1);
    loop().run_in_executor([&] { release.wait(); });
    EXPECT_FALSE(run(loop().shutdown_default_executor(1ms)));
    release.count_down();
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
}

TEST_P(Executors, T402_two_tasks_may_wait_for_the_shutdown) {
    Latch release(1);
    loop().run_in_executor([&] { release.wait(); });
    TaskHandle<bool> first = loop().create_task(loop().shutdown_default_executor());
    TaskHandle<bool> second = loop().create_task(loop().shutdown_default_executor());
    run_idle();
    EXPECT_FALSE(first.done());
    EXPECT_FALSE(second.done());
    release.count_down();
    EXPECT_TRUE(run_until([&] { return first.done() && second.done(); }));
}

TEST_P(Executors, T402_a_cancelled_shutdown_releases_the_waiter) {
    Latch release(1);
    loop().run_in_executor([&] { release.wait(); });
    TaskHandle<bool> waiting = loop().create_task(loop().shutdown_default_executor());
    run_idle();
    waiting.cancel();
    ASSERT_TRUE(run_until([&] { return waiting.done(); }));
    EXPECT_TRUE(waiting.cancelled());
    release.count_down();
    EXPECT_TRUE(run(loop().shutdown_default_executor()));
}

TEST_P(Executors, H5_destroying_the_loop_while_a_job_works_waits_for_nothing_and_is_safe) {
    Latch started(1);
    auto release = std::make_shared<Latch>(1);
    auto ended = std::make_shared<Latch>(1);
    Future<void> job = loop().run_in_executor([&started, release, ended] {
        started.count_down();
        release->wait();
        ended->count_down();
    });
    bool called = false;
    job.add_done_callback([&] { called = true; });
    started.wait();
    destroy_loop();
    release->count_down();
    ended->wait();
    EXPECT_FALSE(job.done());
    EXPECT_FALSE(called);
}

}  // namespace
}  // namespace sluice::test
