// Executor: a few threads for work that blocks, such as getaddrinfo. Threads start on demand, up to
// a limit.
//
// It outlives nobody by force: destroying it lets running jobs finish on their own; their state is
// shared.
#pragma once

#include <sluice/callback.hpp>
#include <sluice/detail/loop_core.hpp>

#include <chrono>
#include <memory>
#include <optional>

namespace sluice::inline v0_1::detail {

class Executor final : public Workers {
public:
    Executor();
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    /// Runs `job` on some thread; jobs must not throw. Throws std::system_error if no thread can be
    /// had at all, and std::logic_error after shutdown().
    void submit(Callback job) override;
    /// Refuses new jobs. Jobs that wait are still run.
    void shutdown() noexcept;
    /// True if no job runs or waits. Else `on_idle` is called on some thread once shut down and the
    /// last job has ended.
    [[nodiscard]] bool when_idle(Callback on_idle);

private:
    struct State;
    static void work(const std::shared_ptr<State>& state);

    std::shared_ptr<State> state_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/executor.ipp>
#endif
