// Driving a scenario, and judging how it ended.
//
// An error on the control path is an end like any other; a hang, a wrong call or something left open
// is not. Which failure was injected it must not know.
#include "torture/stage.hpp"

#include <sluice/error.hpp>

#include "torture/scenarios.hpp"

#include <new>

namespace sluice::test {

void Stage::check_time() const {
    if (kernel.elapsed() > std::chrono::hours(1)) {
        throw HungError("not done after an hour");
    }
}

void Stage::play(Task<void> task) {
    const TaskHandle<void> handle = loop.create_task(std::move(task));
    static_cast<void>(kernel.take_idle());
    while (!handle.done()) {
        loop.run_once(std::nullopt);
        if (kernel.take_idle() && !handle.done()) {
            throw HungError("nothing is left to wait for");
        }
        check_time();
    }
    handle.result();
}

namespace {

void play_through(const Scenario& scenario, SimKernel& kernel, Performance& performance) {
    try {
        Stage stage(kernel);
        // Failures that nobody can be told of are no news here.
        stage.loop.set_exception_handler([](const ExceptionContext&) {});
        scenario.run(stage);
        performance.reached_goal = stage.goal;
        if (stage.made != stage.lost) {
            performance.problem = std::to_string(stage.made) + " connections made, " +
                                  std::to_string(stage.lost) + " lost";
        }
    } catch (const HungError& error) {
        performance.problem = std::string("hung: ") + error.what();
    } catch (const std::system_error& error) {
        performance.error = error.what();
    } catch (const std::bad_alloc&) {
        performance.error = "std::bad_alloc";
    } catch (const std::exception& error) {
        performance.problem = std::string("not an error to expect: ") + error.what();
    } catch (const Cancelled&) {
        performance.problem = "cancelled by nobody";
    }
}

}  // namespace

Performance perform(const Scenario& scenario, SimKernel& kernel) {
    Performance performance;
    kernel.set_call_limit(2'000'000);
    play_through(scenario, kernel, performance);
    if (performance.problem.empty() && kernel.open_descriptors() != 0) {
        performance.problem = "left open: " + kernel.describe_descriptors();
    }
    if (performance.problem.empty() && !kernel.violations().empty()) {
        performance.problem = kernel.violations().front();
    }
    return performance;
}

}  // namespace sluice::test
