// The part of the system seam that starts programs and hears of their end. The same rules as in sys.hpp.
#pragma once

#include <sluice/detail/sys.hpp>

#include <array>
#include <string>
#include <vector>

namespace sluice::inline v0_1::detail::sys {

struct PipeEnds {
    int reading = -1;
    int writing = -1;
};
/// A pipe whose ends are close-on-exec and blocking, as a program expects its own to be.
Result<PipeEnds> open_pipe() noexcept;
/// /dev/null, close-on-exec.
Result<int> open_null() noexcept;
/// Another number, above those of the standard streams, close-on-exec.
Result<int> duplicate_above_standard(int fd) noexcept;

struct ProgramStart {
    std::vector<std::string> command;
    const std::vector<std::string>* environment = nullptr;  // null: ours
    std::string folder;                                     // empty: ours
    // What becomes 0, 1 and 2; -1: ours. Above 2.
    std::array<int, 3> streams{-1, -1, -1};
};
/// Starts a program; its number, or why it could not be executed.
Result<int> start_program(const ProgramStart& start);
/// A descriptor that becomes readable when the child ends, which may be just before there is its exit
/// status. ENOSYS before Linux 5.3.
Result<int> watch_process(int pid) noexcept;
/// Would-block while the child runs; else its exit status, or minus the signal that ended it. Once. With
/// `may_block` it waits.
Result<int> take_exit_status(int pid, bool may_block) noexcept;
/// Ends a child that could not be watched, and waits for that.
void abandon_program(int pid) noexcept;
/// SIGKILL, which not every system has a name for.
inline constexpr int kill_signal = 9;
/// To a child whose exit status has not been taken, by the descriptor of watch_process() where the system
/// can: that reaches no other process whatever has happened.
std::error_code signal_process(int process_fd, int pid, int signal_number) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_absent.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_process.ipp>
#endif
