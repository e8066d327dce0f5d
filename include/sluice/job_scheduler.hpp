// JobScheduler: jobs in the background, so many at a time, so many waiting, none for ever, and an
// orderly end.
//
// For what callbacks and tasks start and do not wait for. A TaskGroup is for what is waited for.
#pragma once

#include <sluice/detail/child_tasks.hpp>
#include <sluice/detail/timer_heap.hpp>
#include <sluice/sync.hpp>
#include <sluice/task.hpp>

#include <deque>
#include <optional>
#include <source_location>

namespace sluice::inline v0_1 {

/// What a JobScheduler allows.
struct JobLimits {
    std::size_t running = 100;               ///< Jobs at a time, at least 1.
    std::size_t pending = 10'000;            ///< Jobs that wait for their turn.
    Duration job_timeout = Duration::max();  ///< For one job, from its start.
};

/// Runs jobs that nobody waits for. What a job throws goes to the exception handler, with the place
/// where it was spawned. Not movable; to be used on its loop's thread; must outlive those who wait in
/// spawn() and close(). Destroying it destroys the jobs that have not ended, where they stand: close()
/// it first.
class SLUICE_API JobScheduler final : private detail::ChildTasks {
public:
    /// Throws std::invalid_argument if no job could ever run.
    explicit JobScheduler(JobLimits limits = JobLimits());
    ~JobScheduler();

    /// Starts `job`, or lets it wait for its turn; awaited, it waits while as many jobs are pending as
    /// may be, which slows down whoever makes them. Throws std::logic_error once the scheduler is
    /// closed, also while waiting, or Cancelled; then the job is destroyed without having run.
    Task<> spawn(Task<> job, std::source_location where = std::source_location::current());
    /// The same from a callback, which cannot wait: false if there are too many jobs, or if the
    /// scheduler is closed; then the job is destroyed. Throws std::logic_error if no loop runs.
    bool try_spawn(Task<> job, std::source_location where = std::source_location::current());

    /// Accepts no more jobs and waits until those there are have ended, for at most `grace`. Then drops
    /// those that have not begun, cancels the others and waits for them. True if all ended by
    /// themselves. If the awaiting task is cancelled, that is done at once, and Cancelled thrown.
    Task<bool> close(Duration grace = Duration::max());

    /// How many jobs run.
    [[nodiscard]] std::size_t running() const noexcept { return size(); }
    /// How many wait for their turn.
    [[nodiscard]] std::size_t pending() const noexcept { return pending_.size(); }
    /// True once close() has begun.
    [[nodiscard]] bool closed() const noexcept { return closed_; }

private:
    struct Pending {
        Task<> job;
        std::source_location where;
    };

    void accept(Task<> job, std::source_location where);
    void begin(Task<> job, std::source_location where);
    void begin_pending() noexcept;
    void drop_pending() noexcept;
    void on_ended(detail::TaskRoot& child) noexcept override;

    JobLimits limits_;
    // One for every job that runs or waits.
    Semaphore places_;
    std::deque<Pending> pending_;
    EventLoop* loop_ = nullptr;
    bool closed_ = false;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/job_scheduler.ipp>
#endif
