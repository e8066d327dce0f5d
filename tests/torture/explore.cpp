// A child process works through the attempts and reports each one through a pipe; when it dies, the
// next child goes on behind the attempt that killed it.
#include "torture/explore.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <sys/wait.h>
#include <unistd.h>

// Written at exit otherwise, which these processes skip.
extern "C" __attribute__((weak)) void __gcov_dump();

namespace sluice::test {

namespace {

constexpr unsigned seconds_per_attempt = 30;
constexpr std::uint64_t attempts_at_most = 20'000;

void put(int fd, const std::string& text) {
    if (::write(fd, text.data(), text.size()) < 0) {
        std::_Exit(3);
    }
}

[[noreturn]] void work(const std::function<Attempt(std::uint64_t)>& attempt, std::uint64_t from,
                       int report_fd) {
    // What dies, dies silently: the parent knows which attempt it was.
    static_cast<void>(std::freopen("/dev/null", "w", stderr));
    for (std::uint64_t number = from; number <= attempts_at_most; ++number) {
        ::alarm(seconds_per_attempt);
        const Attempt done = attempt(number);
        put(report_fd, (done.hit ? "hit " : "end ") + done.problem + "\n");
        if (!done.hit) {
            break;
        }
    }
    if (__gcov_dump != nullptr) {
        __gcov_dump();
    }
    std::_Exit(0);
}

std::string read_all(int fd) {
    std::string text;
    char part[4096];
    for (ssize_t count = 0; (count = ::read(fd, part, sizeof part)) > 0;) {
        text.append(part, static_cast<std::size_t>(count));
    }
    return text;
}

std::string fate_of(int status) {
    if (WIFSIGNALED(status)) {
        return WTERMSIG(status) == SIGALRM ? "does not end"
                                           : "dies of signal " + std::to_string(WTERMSIG(status));
    }
    return "dies with exit code " + std::to_string(WEXITSTATUS(status));
}

/// Adds the finished attempts of one child to `result`; true if it came to the end.
bool add_reports(const std::string& reports, std::uint64_t& next, Exploration& result) {
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = reports.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
        const bool hit = reports.compare(begin, 4, "hit ") == 0;
        const std::string problem = reports.substr(begin + 4, end - begin - 4);
        if (!problem.empty()) {
            result.problems.push_back("failure " + std::to_string(next) + ": " + problem);
        }
        ++next;
        if (!hit) {
            return true;
        }
        ++result.failures_met;
    }
    return false;
}

}  // namespace

Exploration explore(const std::function<Attempt(std::uint64_t)>& attempt) {
    Exploration result;
    if (const char* only = std::getenv("SLUICE_TORTURE_FAILURE")) {
        const Attempt done = attempt(std::strtoull(only, nullptr, 10));
        result.failures_met = done.hit ? 1 : 0;
        if (!done.problem.empty()) {
            result.problems.push_back(std::string("failure ") + only + ": " + done.problem);
        }
        return result;
    }
    std::uint64_t next = 1;
    while (next <= attempts_at_most) {
        int ends[2];
        std::fflush(nullptr);
        const pid_t child = ::pipe(ends) == 0 ? ::fork() : -1;
        if (child < 0) {
            result.problems.emplace_back("no process to run in");
            return result;
        }
        if (child == 0) {
            ::close(ends[0]);
            work(attempt, next, ends[1]);
        }
        ::close(ends[1]);
        const std::string reports = read_all(ends[0]);
        ::close(ends[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        if (add_reports(reports, next, result)) {
            return result;
        }
        result.problems.push_back("failure " + std::to_string(next) + ": " + fate_of(status));
        ++result.failures_met;
        ++next;
    }
    result.problems.emplace_back("too many attempts");
    return result;
}

}  // namespace sluice::test
