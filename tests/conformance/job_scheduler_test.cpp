// JobScheduler: limits, time limits, reports, the end.
#include <sluice/job_scheduler.hpp>
#include <sluice/shield.hpp>
#include <sluice/timeout.hpp>

#include "support/loop_fixture.hpp"

#include <limits>
#include <memory>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Jobs : public BackendTest {
protected:
    // A job that ends when `gate` is completed.
    Task<> job(std::string name, Future<> gate) {
        log_ += "<" + name;
        try {
            Shield until = shield(gate);
            co_await until;
        } catch (const Cancelled&) {
            log_ += "!" + name;
            throw;
        }
        log_ += name + ">";
    }
    std::string log_;
};
INSTANTIATE_TEST_SUITE_P(Every, Jobs, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Jobs, run_so_many_at_a_time_and_the_rest_in_order) {
    JobScheduler jobs({.running = 2, .pending = 10});
    auto gate = loop().create_future();
    auto start = [&]() -> Task<> {
        for (const char* name : {"a", "b", "c", "d"}) {
            co_await jobs.spawn(job(name, gate));
        }
    };
    run(start());
    run_idle();
    EXPECT_EQ(log_, "<a<b");
    EXPECT_EQ(jobs.running(), 2U);
    EXPECT_EQ(jobs.pending(), 2U);
    gate.set_result();
    run_idle();
    EXPECT_EQ(log_, "<a<ba>b><cc><dd>");
    EXPECT_EQ(jobs.running(), 0U);
}

TEST_P(Jobs, spawn_waits_while_too_many_are_pending_and_try_spawn_refuses) {
    JobScheduler jobs({.running = 1, .pending = 1});
    auto gate = loop().create_future();
    auto start = [&]() -> Task<> {
        for (const char* name : {"a", "b", "c"}) {
            co_await jobs.spawn(job(name, gate));
        }
    };
    TaskHandle<> starting = loop().create_task(start());
    run_idle();
    EXPECT_FALSE(starting.done());
    auto refused = [&]() -> Task<bool> { co_return jobs.try_spawn(job("x", gate)); };
    EXPECT_FALSE(run(refused()));
    gate.set_result();
    ASSERT_TRUE(run_until([&] { return starting.done(); }));
    run_idle();
    EXPECT_EQ(log_, "<aa><bb><cc>");
    EXPECT_TRUE(run(refused()));
    run_idle();
}

TEST_P(Jobs, a_failure_is_reported_with_the_place_and_the_others_go_on) {
    std::string report;
    loop().set_exception_handler(
        [&](const ExceptionContext& context) { report = to_string(context); });
    JobScheduler jobs;
    auto failing = []() -> Task<> {
        co_await sleep(0ns);
        throw std::runtime_error("broken job");
    };
    auto start = [&]() -> Task<> {
        co_await jobs.spawn(failing());
        co_await jobs.spawn(job("good", loop().create_future()));
    };
    run(start());
    run_idle();
    EXPECT_THAT(report,
                testing::AllOf(testing::HasSubstr("a job failed"), testing::HasSubstr("broken job"),
                               testing::HasSubstr("job_scheduler_test.cpp")));
    EXPECT_EQ(jobs.running(), 1U);
}

TEST_P(Jobs, a_job_that_takes_too_long_is_ended_and_reported) {
    JobScheduler jobs({.job_timeout = 1ms});
    auto start = [&]() -> Task<> { co_await jobs.spawn(job("slow", loop().create_future())); };
    run(start());
    ASSERT_TRUE(run_until([&] { return jobs.running() == 0; }));
    EXPECT_EQ(log_, "<slow!slow");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_THAT(reports[0].what, testing::HasSubstr("not done within"));
}

TEST_P(Jobs, close_waits_for_running_and_pending_jobs) {
    JobScheduler jobs({.running = 1, .pending = 5});
    auto gate = loop().create_future();
    auto start = [&]() -> Task<> {
        co_await jobs.spawn(job("a", gate));
        co_await jobs.spawn(job("b", gate));
    };
    run(start());
    TaskHandle<bool> closing = loop().create_task(jobs.close());
    run_idle();
    EXPECT_TRUE(jobs.closed());
    EXPECT_FALSE(closing.done());
    EXPECT_THROW(run(start()), std::logic_error);
    gate.set_result();
    EXPECT_TRUE(finish(closing));
    EXPECT_EQ(log_, "<aa><bb>");
    EXPECT_TRUE(run(jobs.close(0s)));
}

TEST_P(Jobs, close_cancels_what_is_left_after_its_time_and_drops_what_has_not_begun) {
    loop().set_debug(true);
    JobScheduler jobs({.running = 1, .pending = 5});
    auto start = [&]() -> Task<> {
        co_await jobs.spawn(job("a", loop().create_future()));
        co_await jobs.spawn(job("b", loop().create_future()));
    };
    run(start());
    EXPECT_FALSE(run(jobs.close(1ms)));
    EXPECT_EQ(log_, "<a!a");
    EXPECT_EQ(jobs.pending(), 0U);
    EXPECT_TRUE(take_reports().empty()) << "a dropped job is no forgotten one";
}

TEST_P(Jobs, a_close_that_is_cancelled_cancels_the_jobs_at_once) {
    JobScheduler jobs;
    auto start = [&]() -> Task<> { co_await jobs.spawn(job("a", loop().create_future())); };
    run(start());
    TaskHandle<bool> closing = loop().create_task(jobs.close());
    run_idle();
    closing.cancel();
    ASSERT_TRUE(run_until([&] { return closing.done(); }));
    EXPECT_TRUE(closing.cancelled());
    EXPECT_EQ(log_, "<a!a");
}

TEST_P(Jobs, who_waits_in_spawn_when_it_is_closed_is_told) {
    JobScheduler jobs({.running = 1, .pending = 0});
    auto gate = loop().create_future();
    auto start = [&]() -> Task<> {
        co_await jobs.spawn(job("a", gate));
        co_await jobs.spawn(job("b", gate));
    };
    TaskHandle<> starting = loop().create_task(start());
    run_idle();
    TaskHandle<bool> closing = loop().create_task(jobs.close());
    run_idle();
    gate.set_result();
    EXPECT_TRUE(finish(closing));
    EXPECT_THROW(finish(starting), std::logic_error);
    EXPECT_EQ(log_, "<aa>");
}

TEST_P(Jobs, any_number_may_be_pending) {
    JobScheduler jobs({.running = 2, .pending = std::numeric_limits<std::size_t>::max()});
    auto gate = loop().create_future();
    auto start = [&]() -> Task<int> {
        int accepted = 0;
        for (int i = 0; i < 100; ++i) {
            accepted += jobs.try_spawn(job("", gate)) ? 1 : 0;
        }
        co_return accepted;
    };
    EXPECT_EQ(run(start()), 100);
    gate.set_result();
    EXPECT_TRUE(run(jobs.close()));
}

TEST_P(Jobs, stop_loop_of_a_job_leaves_the_loop_and_is_no_failure) {
    JobScheduler jobs;
    auto stopping = []() -> Task<> {
        co_await sleep(0ns);
        throw StopLoop();
    };
    auto start = [&]() -> Task<> {
        co_await jobs.spawn(stopping());
        co_await sleep(1h);
    };
    EXPECT_THROW(loop().run_until_complete(start()), StopLoop);
    EXPECT_EQ(jobs.running(), 0U);
    EXPECT_TRUE(take_reports().empty());
}

// Wants another job when it is destroyed.
struct Restarting {
    JobScheduler& jobs;
    int& refused;
    ~Restarting() { refused += jobs.try_spawn(idle()) ? 0 : 1; }
    static Task<> idle() { co_return; }
};

TEST_P(Jobs, what_starts_jobs_while_it_is_destroyed_is_refused) {
    loop().set_debug(true);
    int refused = 0;
    auto jobs = std::make_unique<JobScheduler>(JobLimits{.running = 1});
    auto holding = [&]() -> Task<> {
        const Restarting restarting{*jobs, refused};
        co_await sleep(1h);
    };
    auto start = [&]() -> Task<> { co_await jobs->spawn(holding()); };
    run(start());
    run_idle();
    loop().call_soon([&] { jobs.reset(); });
    run_idle();
    EXPECT_EQ(refused, 1);
}

TEST_P(Jobs, destroying_it_destroys_the_jobs) {
    auto jobs = std::make_unique<JobScheduler>(JobLimits{.running = 1});
    auto start = [&]() -> Task<> {
        co_await jobs->spawn(job("a", loop().create_future()));
        co_await jobs->spawn(job("b", loop().create_future()));
    };
    run(start());
    run_idle();
    jobs.reset();
    run_idle();
    EXPECT_EQ(log_, "<a");
    EXPECT_THROW(JobScheduler({.running = 0}), std::invalid_argument);
}

}  // namespace
}  // namespace sluice::test
