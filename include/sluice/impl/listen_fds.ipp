// Reading the three variables of sd_listen_fds(3) and taking over what they speak of.
#pragma once

#include <sluice/detail/sys_inherited.hpp>
#include <sluice/listen_fds.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <system_error>

namespace sluice::inline v0_1 {

namespace detail {

// SD_LISTEN_FDS_START: behind the standard streams.
inline constexpr int first_passed_descriptor = 3;

/// The value of an environment variable that counts something.
SLUICE_INLINE int number_in_variable(const char* variable, const std::string& value) {
    int number = 0;
    const char* const end = value.data() + value.size();
    const std::from_chars_result read = std::from_chars(value.data(), end, number);
    if (read.ec != std::errc() || read.ptr != end || number < 0) {
        throw std::invalid_argument("listen_fds(): " + std::string(variable) + " is '" + value +
                                    "', which is no number of its kind");
    }
    return number;
}

SLUICE_INLINE std::vector<std::string> passed_names(const std::optional<std::string>& listed,
                                                    std::size_t count) {
    if (!listed) {
        return std::vector<std::string>(count, "unknown");
    }
    std::vector<std::string> names;
    for (std::size_t begin = 0; begin <= listed->size();) {
        const std::size_t end = std::min(listed->find(':', begin), listed->size());
        names.push_back(listed->substr(begin, end - begin));
        begin = end + 1;
    }
    if (names.size() != count) {
        throw std::invalid_argument("listen_fds(): LISTEN_FDNAMES is '" + *listed + "', " +
                                    std::to_string(names.size()) + " names for " +
                                    std::to_string(count) + " descriptors");
    }
    return names;
}

/// Stops at the first that is not open, however large the count is.
SLUICE_INLINE void check_passed(int count) {
    for (int number = 0; number < count; ++number) {
        const int fd = first_passed_descriptor + number;
        if (const std::error_code error = sys::set_close_on_exec(fd)) {
            throw std::system_error(error, "listen_fds(): descriptor " + std::to_string(fd) +
                                               " of LISTEN_FDS=" + std::to_string(count));
        }
    }
}

}  // namespace detail

SLUICE_INLINE std::vector<PassedDescriptor> listen_fds() {
    constexpr std::array variables{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    std::array<std::optional<std::string>, variables.size()> values;
    for (std::size_t index = 0; index < variables.size(); ++index) {
        values[index] = detail::sys::environment_variable(variables[index]);
    }
    for (const char* const variable : variables) {
        detail::sys::remove_environment_variable(variable);
    }
    const auto& [pid, fds, listed] = values;
    std::vector<PassedDescriptor> passed;
    if (!pid || !fds ||
        detail::number_in_variable(variables[0], *pid) != detail::sys::process_id()) {
        return passed;
    }
    const int count = detail::number_in_variable(variables[1], *fds);
    if (count > std::numeric_limits<int>::max() - detail::first_passed_descriptor) {
        throw std::invalid_argument("listen_fds(): LISTEN_FDS is " + *fds +
                                    ", more than there can be descriptors");
    }
    detail::check_passed(count);
    std::vector<std::string> names = detail::passed_names(listed, static_cast<std::size_t>(count));
    // From here on nothing fails: either all descriptors have an owner or none.
    passed.resize(names.size());
    for (std::size_t index = 0; index < passed.size(); ++index) {
        const int fd = detail::first_passed_descriptor + static_cast<int>(index);
        passed[index].name = std::move(names[index]);
        passed[index].kind = detail::sys::descriptor_kind(fd);
        passed[index].address = detail::sys::local_address(fd);
        passed[index].descriptor = Descriptor(fd);
    }
    return passed;
}

}  // namespace sluice::inline v0_1
