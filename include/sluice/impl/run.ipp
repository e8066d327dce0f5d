// Before and after the main task: signals, what is left of tasks, the executor.
#pragma once

#include <sluice/impl/event_loop_state.hpp>

#include <sluice/detail/sys.hpp>
#include <sluice/run.hpp>

#include <csignal>
#include <new>
#include <stdexcept>
#include <vector>

namespace sluice::inline v0_1 {

SLUICE_INLINE Interrupted::Interrupted(int signal_number)
    : signal_number_(signal_number),
      text_("interrupted by signal " + std::to_string(signal_number)) {}

SLUICE_INLINE Interrupted::~Interrupted() = default;

SLUICE_INLINE const char* Interrupted::what() const noexcept {
    return text_.c_str();
}

namespace detail {

SLUICE_INLINE Backend backend_outside_of_loops(Backend backend) {
    if (EventLoop::running() != nullptr) {
        throw std::logic_error("run() cannot be called from a running event loop");
    }
    return backend;
}

SLUICE_INLINE Runner::Runner(RunOptions options)
    : options_(std::move(options)), loop_(backend_outside_of_loops(options_.backend)) {
    if (options_.debug) {
        loop_.set_debug(*options_.debug);
    }
    loop_.set_exception_handler(options_.exception_handler);
}

SLUICE_INLINE Runner::~Runner() {
    ignore_signals();
    main_ = TaskReference();
    end_tasks();
    end_executor();
}

// ---- signals ----

SLUICE_INLINE void Runner::watch_signals(TaskRoot& main) {
    if (!options_.signals || !sys::is_main_thread()) {
        return;
    }
    main_ = TaskReference(main);
    for (const int number : {SIGINT, SIGTERM}) {
        try {
            loop_.add_signal_handler(number, [this, number] { on_signal(number); });
        } catch (const std::logic_error&) {
            // Another loop of the process handles it: that one's business, then.
        }
    }
}

SLUICE_INLINE void Runner::on_signal(int signal_number) {
    // The default action is back: a second signal ends the process, whatever the tasks do.
    loop_.remove_signal_handler(signal_number);
    if (std::exchange(signal_number_, signal_number) != 0) {
        std::raise(signal_number);
    }
    if (TaskRoot* const main = main_.task()) {
        main->cancel();
    }
}

SLUICE_INLINE void Runner::ignore_signals() noexcept {
    if (main_.task() != nullptr || main_.orphaned()) {
        loop_.remove_signal_handler(SIGINT);
        loop_.remove_signal_handler(SIGTERM);
    }
}

// ---- what is left ----

SLUICE_INLINE void Runner::end_tasks() noexcept {
    std::vector<TaskReference> left;
    try {
        loop_.state_->tasks.for_each([&left](TaskRoot& task) {
            if (!task.completion().done()) {
                left.emplace_back(task);
            }
        });
    } catch (const std::bad_alloc&) {
        // Those that are not in the list are destroyed with the loop.
    }
    for (const TaskReference& task : left) {
        task.task()->cancel();
    }
    while (!left.empty()) {
        TaskRoot* const task = left.back().task();
        if (task != nullptr && !task->completion().done()) {
            try {
                loop_.run_once(std::nullopt);
            } catch (...) {
                // StopLoop: the loop is about to end anyway.
            }
            continue;
        }
        if (task != nullptr && task->root_exception()) {
            task->mark_retrieved();
            report_unretrieved(loop_.core(), "unhandled exception while run() was ending",
                               task->root_exception(), task->where());
        }
        left.pop_back();
    }
}

SLUICE_INLINE void Runner::end_executor() noexcept {
    try {
        if (!loop_.run_until_complete(loop_.shutdown_default_executor(options_.executor_timeout))) {
            loop_.call_exception_handler({.message = "jobs of the executor did not end in time",
                                          .exception = {},
                                          .error = {}});
        }
    } catch (...) {
        loop_.call_exception_handler({.message = "the executor could not be shut down",
                                      .exception = std::current_exception(),
                                      .error = {}});
    }
}

}  // namespace detail
}  // namespace sluice::inline v0_1
