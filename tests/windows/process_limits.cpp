// No test that needs these runs on Windows: a process there has no limit on handles and no fork(2). See
// support/loop_fixture.hpp.
#include "support/loop_fixture.hpp"

#include <system_error>

namespace sluice::test {

namespace {

[[noreturn]] void refuse() {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported));
}

}  // namespace

bool descriptors_can_run_out() noexcept {
    return false;
}

DescriptorLimit::DescriptorLimit(std::size_t spare) : before_(spare) {
    refuse();
}

DescriptorLimit::~DescriptorLimit() = default;

bool in_forked_child(const std::function<bool()>&) {
    refuse();
}

}  // namespace sluice::test
