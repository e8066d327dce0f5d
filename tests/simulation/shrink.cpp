// Delta debugging (Zeller, Hildebrandt 2002) over connections, actions, faults and sizes.
//
// Passes are repeated until one changes nothing: a smaller size may make an action superfluous that
// was needed before. What runs a candidate, and why it fails, is none of its business.
#include "simulation/shrink.hpp"

#include "simulation/world.hpp"

#include <algorithm>
#include <csignal>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace sluice::test {

namespace {

constexpr unsigned seconds_per_run = 20;
constexpr int runs_at_most = 3000;

std::string class_of(const std::string& failure) {
    return failure.substr(0, failure.find(':'));
}

std::string read_all(int fd) {
    std::string text;
    char part[512];
    for (ssize_t count = 0; (count = ::read(fd, part, sizeof part)) > 0;) {
        text.append(part, static_cast<std::size_t>(count));
    }
    return text;
}

[[noreturn]] void run_as_child(const Program& program, int result_fd) {
    // A crash is what the parent reads from the status; its report would only be in the way.
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        std::signal(number, SIG_DFL);
    }
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    ::alarm(seconds_per_run);
    const Verdict verdict = run_program(program);
    const ssize_t written = ::write(result_fd, verdict.failure.data(), verdict.failure.size());
    std::_Exit(written < 0 ? 1 : 0);
}

class Shrinker {
public:
    Shrinker(const Program& failing, const std::string& failure, Judge judge)
        : best_(failing), failure_class_(class_of(failure)), judge_(std::move(judge)) {}

    Program run() {
        bool changed = true;
        while (changed && runs_ < runs_at_most) {
            changed = drop_connections();
            changed = drop_actions() || changed;
            changed = drop_faults() || changed;
            changed = simplify_ends() || changed;
            changed = simplify_actions() || changed;
        }
        return best_;
    }

private:
    bool attempt(const Program& candidate) {
        if (++runs_ > runs_at_most || class_of(judge_(candidate)) != failure_class_) {
            return false;
        }
        best_ = candidate;
        return true;
    }

    template <class Change>
    bool attempt_with(Change&& change) {
        Program candidate = best_;
        change(candidate);
        return attempt(candidate);
    }

    bool drop_connections() {
        bool changed = false;
        for (std::size_t index = best_.connections.size(); index-- > 0;) {
            if (best_.connections[index].left_out) {
                continue;
            }
            changed = attempt_with([&](Program& program) {
                          program.connections[index].left_out = true;
                          program.connections[index].ends = {};
                      }) ||
                      changed;
        }
        return changed;
    }

    bool drop_actions() {
        bool changed = false;
        for (std::size_t connection = 0; connection < best_.connections.size(); ++connection) {
            for (std::size_t end = 0; end < 2; ++end) {
                changed = drop_actions_of(connection, end) || changed;
            }
        }
        return changed;
    }

    bool drop_actions_of(std::size_t connection, std::size_t end) {
        const auto actions_of = [&](Program& program) -> std::vector<Action>& {
            return program.connections[connection].ends[end].actions;
        };
        bool changed = false;
        for (std::size_t step = actions_of(best_).size(); step > 0; step /= 2) {
            for (std::size_t from = 0; from < actions_of(best_).size();) {
                const bool dropped = attempt_with([&](Program& program) {
                    std::vector<Action>& actions = actions_of(program);
                    const auto begin = actions.begin() + static_cast<std::ptrdiff_t>(from);
                    const std::size_t count = std::min(step, actions.size() - from);
                    actions.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
                });
                changed = changed || dropped;
                from += dropped ? 0 : step;
            }
        }
        return changed;
    }

    template <class T>
    bool reset(T SimFaults::* member, T usual) {
        return best_.faults.*member != usual &&
               attempt_with([&](Program& program) { program.faults.*member = usual; });
    }

    bool drop_faults() {
        bool changed = false;
        for (unsigned SimFaults::* rate :
             {&SimFaults::short_read,     &SimFaults::short_write,   &SimFaults::spurious_block,
              &SimFaults::interrupt,      &SimFaults::stream_error,  &SimFaults::accept_shortage,
              &SimFaults::accept_aborted, &SimFaults::open_shortage, &SimFaults::epoll_shortage,
              &SimFaults::reorder,        &SimFaults::partial_batch, &SimFaults::late_wake,
              &SimFaults::delay,          &SimFaults::slow_connect,  &SimFaults::resolver_failure,
              &SimFaults::ring_shortage,  &SimFaults::ring_full,     &SimFaults::ring_partial,
              &SimFaults::ring_moved,     &SimFaults::ring_end,      &SimFaults::ring_portion,
              &SimFaults::ring_race,      &SimFaults::ring_no_buffer}) {
            changed = reset(rate, 0U) || changed;
        }
        for (std::uint64_t most = best_.faults.most / 2;; most /= 2) {
            if (!attempt_with([&](Program& program) { program.faults.most = most; })) {
                break;
            }
            changed = true;
            if (most == 0) {
                break;
            }
        }
        return changed;
    }

    template <class T>
    bool reset(T Program::* member, T usual) {
        return best_.*member != usual &&
               attempt_with([&](Program& program) { program.*member = usual; });
    }

    template <class T, class Place>
    bool reset(Place&& place, T usual) {
        if (place(best_) == usual) {
            return false;
        }
        return attempt_with([&](Program& program) { place(program) = usual; });
    }

    bool simplify_ends() {
        bool changed = reset(&Program::destroy_early, false);
        changed = reset(&Program::over_io_uring, false) || changed;
        for (std::size_t SimKernel::RingSizes::* size :
             {&SimKernel::RingSizes::buffers, &SimKernel::RingSizes::completions,
              &SimKernel::RingSizes::entries}) {
            const auto of = [size](Program& program) -> std::size_t& {
                return program.ring_sizes.*size;
            };
            changed = reset(of, ~std::size_t{0}) || changed;
        }
        changed = reset(&Program::handles_outlive_loop, false) || changed;
        changed = reset(&Program::factory_throws_nth, 0U) || changed;
        changed = reset(&Program::backlog, 100) || changed;
        changed = reset(&Program::descriptor_limit, std::size_t{1024}) || changed;
        changed = reset(&Program::server_buffered, false) || changed;
        for (std::size_t index = 0; index < best_.connections.size(); ++index) {
            const auto of = [&](Program& program) -> ConnectionPlan& {
                return program.connections[index];
            };
            changed = reset([&](Program& p) -> unsigned& { return of(p).start_ms; }, 0U) || changed;
            changed =
                reset([&](Program& p) -> unsigned& { return of(p).cancel_ms; }, 0U) || changed;
            changed =
                reset([&](Program& p) -> unsigned& { return of(p).timeout_ms; }, 0U) || changed;
            changed = reset([&](Program& p) -> HostName& { return of(p).name; }, HostName::none) ||
                      changed;
            for (std::size_t end = 0; end < 2; ++end) {
                const auto plan = [&](Program& p) -> EndPlan& { return of(p).ends[end]; };
                changed =
                    reset([&](Program& p) -> bool& { return plan(p).buffered; }, false) || changed;
                changed = reset([&](Program& p) -> bool& { return plan(p).keep_open_after_eof; },
                                false) ||
                          changed;
                changed =
                    reset([&](Program& p) -> bool& { return plan(p).hold_reference; }, true) ||
                    changed;
                changed = reset([&](Program& p) -> bool& { return plan(p).reads_at_once; }, true) ||
                          changed;
            }
        }
        return changed;
    }

    bool simplify_actions() {
        bool changed = false;
        for (std::size_t index = 0; index < best_.connections.size(); ++index) {
            for (std::size_t end = 0; end < 2; ++end) {
                const std::size_t count = best_.connections[index].ends[end].actions.size();
                for (std::size_t action = 0; action < count; ++action) {
                    const auto of = [&](Program& p) -> Action& {
                        return p.connections[index].ends[end].actions[action];
                    };
                    changed =
                        reset([&](Program& p) -> How& { return of(p).how; }, How::now) || changed;
                    changed =
                        reset([&](Program& p) -> int& { return of(p).target; }, -1) || changed;
                    while (of(best_).size > 1 &&
                           attempt_with([&](Program& p) { of(p).size /= 2; })) {
                        changed = true;
                    }
                }
            }
        }
        return changed;
    }

    Program best_;
    std::string failure_class_;
    Judge judge_;
    int runs_ = 0;
};

}  // namespace

std::string run_apart(const Program& program) {
    int ends[2];
    if (::pipe(ends) != 0) {
        return "apart: no pipe";
    }
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        run_as_child(program, ends[1]);
    }
    ::close(ends[1]);
    const std::string failure = child < 0 ? "apart: no process" : read_all(ends[0]);
    ::close(ends[0]);
    int status = 0;
    if (child > 0) {
        ::waitpid(child, &status, 0);
    }
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM
                   ? "hang: no end within " + std::to_string(seconds_per_run) + " seconds"
                   : "crash: signal " + std::to_string(WTERMSIG(status));
    }
    // A sanitizer's report ends the process with a code of its own.
    return WEXITSTATUS(status) == 0 ? failure : "crash: exit code of a sanitizer";
}

Program shrink(const Program& failing, const std::string& failure, Judge judge) {
    return Shrinker(failing, failure, std::move(judge)).run();
}

}  // namespace sluice::test
