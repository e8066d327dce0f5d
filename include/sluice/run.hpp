// run: a program's whole life around one coroutine. Makes a loop, runs the coroutine, cancels what is
// left, closes. The counterpart of asyncio.run().
#pragma once

#include <sluice/event_loop.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <concepts>
#include <exception>
#include <functional>
#include <optional>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

/// Thrown by run() after SIGINT or SIGTERM has cancelled the main task. The counterpart of
/// KeyboardInterrupt; it never appears inside a coroutine, where the signal is Cancelled.
class SLUICE_API Interrupted : public std::exception {
public:
    /// `signal_number` is what ended it.
    explicit Interrupted(int signal_number);
    ~Interrupted() override;
    /// "interrupted by signal 15".
    [[nodiscard]] const char* what() const noexcept override;
    /// SIGINT or SIGTERM.
    [[nodiscard]] int signal_number() const noexcept { return signal_number_; }
    /// 128 and the signal's number, for main() to return: what a shell says of a program that a
    /// signal has ended.
    [[nodiscard]] int exit_status() const noexcept { return 128 + signal_number_; }

private:
    int signal_number_;
    std::string text_;
};

/// How run() runs.
struct RunOptions {
    Backend backend = Backend::automatic;  ///< How the loop waits.
    std::optional<bool> debug;             ///< Nothing: as $SLUICE_DEBUG says.
    bool signals = true;                   ///< SIGINT and SIGTERM cancel the main task.
    /// How long jobs of the executor may take to end when all else has.
    Duration executor_timeout = std::chrono::minutes(5);
    /// As EventLoop::set_exception_handler().
    std::function<void(const ExceptionContext&)> exception_handler;
};

namespace detail {

/// The loop of run(), with what comes before and after the main task.
class SLUICE_API Runner {
public:
    explicit Runner(RunOptions options);
    Runner(const Runner&) = delete;
    Runner& operator=(const Runner&) = delete;
    /// Ends everything that is left, in order.
    ~Runner();

    [[nodiscard]] EventLoop& loop() noexcept { return loop_; }

    template <class T>
    T run(Task<T> main, std::source_location where) {
        TaskHandle<T> handle = loop_.create_task(std::move(main), where);
        watch_signals(*handle.promise());
        try {
            return loop_.run_until_complete(handle);
        } catch (const Cancelled&) {
            if (signal_number_ != 0 && handle.uncancel() == 0) {
                throw Interrupted(signal_number_);
            }
            throw;
        }
    }

private:
    void watch_signals(TaskRoot& main);
    void on_signal(int signal_number);
    void ignore_signals() noexcept;
    void end_tasks() noexcept;
    void end_executor() noexcept;

    RunOptions options_;
    EventLoop loop_;
    TaskReference main_;
    int signal_number_ = 0;
};

template <class R>
struct MainResult {
    static constexpr bool is_task = false;
};
template <class T>
struct MainResult<Task<T>> {
    static constexpr bool is_task = true;
    using Value = T;
};

}  // namespace detail

/// Runs `main` on a loop of its own and gives its result or throws its exception. Afterwards, in
/// every case: what is left of tasks is cancelled and waited for, what those throw goes to the
/// exception handler, the executor's jobs are waited for, the loop is closed.
///
/// SIGINT and SIGTERM cancel `main`, on the main thread and unless the options say no; if it ends by
/// that, Interrupted is thrown, and if it catches Cancelled and returns, that is its result. A second
/// signal, and one while the rest is being cancelled, has its default action: it ends the process.
///
/// Throws std::logic_error if a loop runs on this thread, std::system_error as EventLoop does.
template <class T>
T run(Task<T> main, RunOptions options = RunOptions(),
      std::source_location where = std::source_location::current()) {
    detail::Runner runner(std::move(options));
    return runner.run(std::move(main), where);
}

/// The same with a function that is called with the loop, before it runs, and returns the task. It is
/// kept until the end, so it may be a lambda with captures.
template <class F>
    requires(detail::MainResult<std::invoke_result_t<F&, EventLoop&>>::is_task)
auto run(F main, RunOptions options = RunOptions(),
         std::source_location where = std::source_location::current()) ->
    typename detail::MainResult<std::invoke_result_t<F&, EventLoop&>>::Value {
    detail::Runner runner(std::move(options));
    return runner.run(main(runner.loop()), where);
}

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/run.ipp>
#endif
