// No test that needs these runs on Windows: a process there has no limit on handles, no fork(2) and no pipe
// that could be waited for. See support/loop_fixture.hpp and support/pipe_end.hpp.
#include "support/loop_fixture.hpp"
#include "support/pipe_end.hpp"

#include <system_error>

namespace sluice::test {

namespace {

[[noreturn]] void refuse() {
    throw std::system_error(std::make_error_code(std::errc::operation_not_supported));
}

}  // namespace

DescriptorLimit::DescriptorLimit(std::size_t spare) : before_(spare) {
    refuse();
}

DescriptorLimit::~DescriptorLimit() = default;

TakenDescriptors::TakenDescriptors(std::size_t) {
    refuse();
}

bool in_forked_child(const std::function<bool()>&) {
    refuse();
}

PipeEnd::PipeEnd(int) {
    refuse();
}

std::size_t PipeEnd::write_some(std::string_view) {
    refuse();
}

void PipeEnd::write(std::string_view) {
    refuse();
}

void PipeEnd::read_available() {
    refuse();
}

void PipeEnd::read_at_most(std::size_t) {
    refuse();
}

void PipeEnd::close() noexcept {}

}  // namespace sluice::test
