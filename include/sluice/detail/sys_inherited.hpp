// The part of the system seam that a process inherits: its environment, its number and descriptors that
// somebody else opened. The same rules as in sys.hpp.
#pragma once

#include <sluice/detail/sys.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace sluice::inline v0_1 {

enum class DescriptorKind : std::uint8_t;

}  // namespace sluice::inline v0_1

namespace sluice::inline v0_1::detail::sys {

int process_id() noexcept;
/// A copy, since the next change of the environment may move what is there.
std::optional<std::string> environment_variable(const char* name);
void remove_environment_variable(const char* name) noexcept;
/// FD_CLOEXEC. An error if `fd` is not open.
std::error_code set_close_on_exec(int fd) noexcept;
/// `fd` is open.
DescriptorKind descriptor_kind(int fd) noexcept;

}  // namespace sluice::inline v0_1::detail::sys

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_calls.ipp>
#elif defined(SLUICE_HEADER_ONLY)
#include <sluice/impl/sys_inherited.ipp>
#endif
