// The functions of detail/sys_inherited.hpp: nobody has started the simulated process with anything.
#include <sluice/detail/sys_inherited.hpp>
#include <sluice/listen_fds.hpp>

#include <cerrno>

namespace sluice::inline v0_1::detail::sys {

int process_id() noexcept {
    return 1;
}
std::optional<std::string> environment_variable(const char*) {
    return std::nullopt;
}
void remove_environment_variable(const char*) noexcept {}
std::error_code set_close_on_exec(int) noexcept {
    return {EBADF, std::system_category()};
}
DescriptorKind descriptor_kind(int) noexcept {
    return DescriptorKind::other;
}

}  // namespace sluice::inline v0_1::detail::sys
