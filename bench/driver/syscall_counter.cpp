// Counting by ptrace: see syscall_counter.hpp and ptrace(2), from where the odd details come.
#include "syscall_counter.hpp"

#include "machine.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <system_error>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace bench {

namespace {

// What an echo server is likely to call; anything else is shown by number.
std::string syscall_name(std::size_t number) {
    static const std::map<std::size_t, const char*> names = {
        {SYS_read, "read"},
        {SYS_write, "write"},
        {SYS_readv, "readv"},
        {SYS_writev, "writev"},
        {SYS_recvfrom, "recvfrom"},
        {SYS_sendto, "sendto"},
        {SYS_recvmsg, "recvmsg"},
        {SYS_sendmsg, "sendmsg"},
        {SYS_epoll_ctl, "epoll_ctl"},
        {SYS_epoll_pwait, "epoll_pwait"},
        {SYS_epoll_pwait2, "epoll_pwait2"},
#ifdef SYS_epoll_wait
        {SYS_epoll_wait, "epoll_wait"},
#endif
        {SYS_io_uring_enter, "io_uring_enter"},
        {SYS_accept4, "accept4"},
        {SYS_ioctl, "ioctl"},
        {SYS_futex, "futex"},
        {SYS_timerfd_settime, "timerfd_settime"},
        {SYS_clock_gettime, "clock_gettime"},
        {SYS_mmap, "mmap"},
        {SYS_mremap, "mremap"},
        {SYS_munmap, "munmap"},
        {SYS_madvise, "madvise"},
        {SYS_brk, "brk"},
    };
    const auto found = names.find(number);
    return found != names.end() ? found->second : "syscall " + std::to_string(number);
}

}  // namespace

SyscallCounter::SyscallCounter(pid_t pid, const std::vector<int>& cores)
    : pid_(pid), tracer_([this, cores] { trace(cores); }) {
    state_.wait(State::starting);
    if (state_ == State::refused) {
        throw std::runtime_error("tracing is not permitted here");
    }
}

SyscallCounter::~SyscallCounter() {
    if (state_ != State::refused) {
        kill(pid_, SIGKILL);
    }
}

void SyscallCounter::reset() {
    for (auto& count : entered_) {
        count = 0;
    }
}

SyscallCounts SyscallCounter::counts() const {
    SyscallCounts result;
    for (std::size_t number = 0; number < entered_.size(); ++number) {
        if (const std::uint64_t count = entered_[number]; count != 0) {
            result[syscall_name(number)] = count;
        }
    }
    return result;
}

std::size_t SyscallCounter::seize_threads() const {
    std::size_t seized = 0;
    constexpr long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
    std::error_code gone;
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, gone)) {
        const pid_t thread = std::stoi(task.path().filename().string());
        if (ptrace(PTRACE_SEIZE, thread, nullptr, options) == 0 &&
            ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) == 0) {
            ++seized;
        }
    }
    return seized;
}

void SyscallCounter::trace(const std::vector<int>& cores) {
    pin_to(cores);
    std::size_t stopping = seize_threads();
    if (stopping == 0) {
        state_ = State::refused;
        state_.notify_all();
        return;
    }
    for (;;) {
        int status = 0;
        // Ours only: other threads may wait for children of their own.
        const pid_t thread = waitpid(-1, &status, __WALL | __WNOTHREAD);
        if (thread < 0 && errno != EINTR) {
            return;
        }
        if (thread > 0 && WIFSTOPPED(status)) {
            resume(thread, status, stopping);
        }
    }
}

void SyscallCounter::resume(pid_t thread, int status, std::size_t& stopping) {
    const int signal = WSTOPSIG(status);
    int delivered = 0;
    if (signal == (SIGTRAP | 0x80)) {
        // A call stops twice, on the way in and on the way out.
        __ptrace_syscall_info info{};
        if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr < entered_.size()) {
            ++entered_[info.entry.nr];
        }
    } else if (status >> 16 == 0) {
        delivered = signal;
    }
    ptrace(PTRACE_SYSCALL, thread, nullptr, static_cast<long>(delivered));
    if (stopping > 0 && status >> 16 == PTRACE_EVENT_STOP) {
        --stopping;
        if (stopping == 0) {
            state_ = State::counting;
            state_.notify_all();
        }
    }
}

}  // namespace bench
