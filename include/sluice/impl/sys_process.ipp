// Programs: posix_spawn(3), which does not copy this process, tells what execve(2) said, and
// can undo in the child what belongs to the parent.
#pragma once

#include <sluice/impl/sys_posix.ipp>

#include <sluice/detail/sys_process.hpp>

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::inline v0_1::detail::sys {

SLUICE_INLINE Result<PipeEnds> open_pipe() noexcept {
    std::array<int, 2> ends{};
    if (os::open_pipe(ends) != 0) {
        return Result<PipeEnds>::failure(errno);
    }
    return PipeEnds{.reading = ends[0], .writing = ends[1]};
}

SLUICE_INLINE Result<int> open_null() noexcept {
    const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    return fd >= 0 ? Result<int>(fd) : Result<int>::failure(errno);
}

SLUICE_INLINE Result<int> duplicate_above_standard(int fd) noexcept {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy >= 0 ? Result<int>(copy) : Result<int>::failure(errno);
}

/// posix_spawn's two descriptions, destroyed together.
struct SpawnPlan {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    SpawnPlan() noexcept {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;
    ~SpawnPlan() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }

    /// An errno.
    int describe(const ProgramStart& start) noexcept {
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        // The two whose action cannot be changed must not be asked for.
        sigdelset(&all, SIGKILL);
        sigdelset(&all, SIGSTOP);
        int error = ::posix_spawnattr_setsigmask(&attributes, &none);
        if (error == 0) {
            error = ::posix_spawnattr_setsigdefault(&attributes, &all);
        }
        if (error == 0) {
            constexpr int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | os::spawn_flags;
            error = ::posix_spawnattr_setflags(&attributes, static_cast<short>(flags));
        }
        for (int stream = 0; error == 0 && stream < 3; ++stream) {
            const int from = start.streams[static_cast<std::size_t>(stream)];
            if (from >= 0) {
                error = ::posix_spawn_file_actions_adddup2(&actions, from, stream);
            }
        }
        if (error == 0) {
            error = os::keep_standard_streams(actions, start.streams);
        }
        if (error == 0 && !start.folder.empty()) {
            error = ::posix_spawn_file_actions_addchdir_np(&actions, start.folder.c_str());
        }
        return error;
    }
};

SLUICE_INLINE std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (const std::string& text : texts) {
        // execve does not write through the pointers; their type is older than const.
        pointers.push_back(const_cast<char*>(text.c_str()));
    }
    pointers.push_back(nullptr);
    return pointers;
}

SLUICE_INLINE Result<int> start_program(const ProgramStart& start) {
    SpawnPlan plan;
    if (const int error = plan.describe(start)) {
        return Result<int>::failure(error);
    }
    const std::vector<char*> arguments = pointers_to(start.command);
    std::vector<char*> variables;
    if (start.environment != nullptr) {
        variables = pointers_to(*start.environment);
    }
    pid_t pid = -1;
    const int error = ::posix_spawnp(
        &pid, start.command.front().c_str(), &plan.actions, &plan.attributes, arguments.data(),
        start.environment != nullptr ? variables.data() : os::environment());
    return error == 0 ? Result<int>(pid) : Result<int>::failure(error);
}

SLUICE_INLINE Result<int> watch_process(int pid) noexcept {
    const int fd = os::watch_process(pid);
    return fd >= 0 ? Result<int>(fd) : Result<int>::failure(errno);
}

SLUICE_INLINE Result<int> take_exit_status(int pid, bool may_block) noexcept {
    int status = 0;
    const pid_t ended =
        retry_interrupted([&] { return ::waitpid(pid, &status, may_block ? 0 : WNOHANG); });
    if (ended == 0) {
        return Result<int>::would_block();
    }
    if (ended < 0) {
        return Result<int>::failure(errno);
    }
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static_assert(kill_signal == SIGKILL);

SLUICE_INLINE void abandon_program(int pid) noexcept {
    ::kill(pid, SIGKILL);
    static_cast<void>(take_exit_status(pid, true));
}

SLUICE_INLINE std::error_code signal_process(int process_fd, int pid, int signal_number) noexcept {
    return outcome(os::signal_process(process_fd, pid, signal_number));
}

}  // namespace sluice::inline v0_1::detail::sys
