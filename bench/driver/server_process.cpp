// Starts and observes one server: see server_process.hpp.
#include "server_process.hpp"

#include "machine.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto start_limit = 10s;
constexpr auto stop_limit = 2s;
constexpr auto sleep_limit = 1s;

// In the child between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* arguments, int output, pid_t parent,
                         const std::vector<int>& cores) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(126);
    }
    pin_to(cores);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0 && dup2(nothing, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0) {
        execv(arguments[0], arguments);
    }
    _exit(127);
}

// The state letter follows the command in parentheses, which may itself contain any character.
bool is_sleeping(const std::filesystem::path& task) {
    std::ifstream file(task / "stat");
    std::string line;
    std::getline(file, line);
    const auto end = line.rfind(')');
    return end == std::string::npos || end + 2 >= line.size() || line[end + 2] == 'S';
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& command,
                             const std::vector<int>& cores) {
    spawn(command, cores);
    try {
        read_listening_line();
    } catch (...) {
        stop();
        throw;
    }
}

ServerProcess::~ServerProcess() {
    stop();
}

void ServerProcess::spawn(const std::vector<std::string>& command, const std::vector<int>& cores) {
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& word : command) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        throw std::system_error(errno, std::generic_category(), "pipe");
    }
    output_ = Descriptor(ends[0]);
    const Descriptor input(ends[1]);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) {
        become(arguments.data(), input.get(), parent, cores);
    }
    if (pid_ < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
}

void ServerProcess::read_listening_line() {
    std::string output;
    const auto deadline = Clock::now() + start_limit;
    while (output.find('\n') == std::string::npos) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd readable{output_.get(), POLLIN, 0};
        if (left <= 0ms || poll(&readable, 1, static_cast<int>(left.count())) == 0) {
            throw std::runtime_error("does not listen after 10 s");
        }
        char chunk[256];
        const ssize_t count = read(output_.get(), chunk, sizeof chunk);
        if (count == 0) {
            report_early_end();
        }
        if (count > 0) {
            output.append(chunk, static_cast<std::size_t>(count));
        }
    }
    const std::string line = output.substr(0, output.find('\n'));
    const auto colon = line.rfind(':');
    const char* const end = line.data() + line.size();
    if (!line.starts_with("listening on ") || colon == std::string::npos ||
        std::from_chars(line.data() + colon + 1, end, port_).ptr != end || port_ == 0) {
        throw std::runtime_error("printed '" + line + "' in place of 'listening on HOST:PORT'");
    }
}

void ServerProcess::report_early_end() {
    constexpr int usage_status = 2;
    reap(true);
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == usage_status) {
        throw NotOffered("does not offer this");
    }
    throw std::runtime_error("ended instead of listening");
}

bool ServerProcess::reap(bool block) {
    if (pid_ > 0) {
        const pid_t ended = waitpid(pid_, &status_, block ? 0 : WNOHANG);
        // ECHILD: whoever traced the process has collected it.
        if (ended == pid_ || (ended < 0 && errno == ECHILD)) {
            pid_ = -1;
        }
    }
    return pid_ < 0;
}

bool ServerProcess::is_alive() {
    return !reap(false);
}

void ServerProcess::wait_until_asleep() const {
    const auto deadline = Clock::now() + sleep_limit;
    const auto all_sleep = [this] {
        std::error_code gone;
        const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
        for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
            if (!is_sleeping(task.path())) {
                return false;
            }
        }
        return true;
    };
    while (!all_sleep()) {
        if (Clock::now() > deadline) {
            throw std::runtime_error("the server is busy without work");
        }
    }
}

std::chrono::nanoseconds ServerProcess::cpu_time() const {
    clockid_t clock = 0;
    timespec time{};
    if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
        throw std::runtime_error("the server has ended");
    }
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::size_t ServerProcess::resident_kib() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/smaps_rollup");
    std::string word;
    while (file >> word) {
        if (word == "Rss:") {
            std::size_t kib = 0;
            file >> kib;
            return kib;
        }
    }
    throw std::runtime_error("its memory cannot be read");
}

void ServerProcess::stop() {
    if (!reap(false)) {
        kill(pid_, SIGTERM);
        const auto deadline = Clock::now() + stop_limit;
        while (!reap(false)) {
            if (Clock::now() > deadline) {
                kill(pid_, SIGKILL);
                reap(true);
                break;
            }
            // Its output closes when it ends, which wakes us at once.
            pollfd output{output_.get(), POLLIN, 0};
            poll(&output, 1, 10);
        }
    }
    output_.reset();
}

}  // namespace bench
