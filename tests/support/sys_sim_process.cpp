// The functions of detail/sys_process.hpp: the simulated system has no programs to start.
#include <sluice/detail/sys_process.hpp>

#include <cerrno>

namespace sluice::inline v0_1::detail::sys {

Result<PipeEnds> open_pipe() noexcept {
    return Result<PipeEnds>::failure(ENOSYS);
}
Result<int> open_null() noexcept {
    return Result<int>::failure(ENOSYS);
}
Result<int> duplicate_above_standard(int) noexcept {
    return Result<int>::failure(ENOSYS);
}
Result<int> start_program(const ProgramStart&) {
    return Result<int>::failure(ENOSYS);
}
Result<int> watch_process(int) noexcept {
    return Result<int>::failure(ENOSYS);
}
Result<int> take_exit_status(int, bool) noexcept {
    return Result<int>::failure(ENOSYS);
}
void abandon_program(int) noexcept {}
std::error_code signal_process(int, int, int) noexcept {
    return {ENOSYS, std::system_category()};
}

}  // namespace sluice::inline v0_1::detail::sys
