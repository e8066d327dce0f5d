// Counts the system calls of a process by tracing it, thread by thread. Tracing costs two stops a call, so a traced
// server is never timed. Needs no tool and no rights beyond those over a child of ours. Knows nothing of messages.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace bench {

using SyscallCounts = std::map<std::string, std::uint64_t>;  // by name

class SyscallCounter {
public:
    /// Begins to count. The process should sleep; it must be a child of ours. The tracing runs on `cores`. Throws
    /// std::runtime_error when tracing is refused.
    SyscallCounter(pid_t pid, const std::vector<int>& cores);
    /// Kills the traced process: only its end lets the tracing thread go without racing it.
    ~SyscallCounter();
    SyscallCounter(const SyscallCounter&) = delete;
    SyscallCounter& operator=(const SyscallCounter&) = delete;

    void reset();
    SyscallCounts counts() const;

private:
    static constexpr std::size_t numbers = 1024;

    void trace(const std::vector<int>& cores);
    std::size_t seize_threads() const;
    void resume(pid_t thread, int status, std::size_t& stopping);

    enum class State { starting, counting, refused };

    pid_t pid_;
    std::array<std::atomic<std::uint64_t>, numbers> entered_{};
    std::atomic<State> state_{State::starting};
    std::jthread tracer_;
};

}  // namespace bench
