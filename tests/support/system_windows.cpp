// What tests ask of Windows: see system.hpp.
#include "support/system.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>

namespace sluice::test {

std::size_t shrink_pipe(int /*fd*/) {
    // No test that fills a pipe runs there.
    return 0;
}

short peer_end_event() noexcept {
    return POLLRDHUP;
}

std::size_t block_bytes(void* block) noexcept {
    return ::_msize(block);
}

int open_without_access() noexcept {
    return O_PATH;
}

bool descriptors_can_run_out() noexcept {
    return false;
}

}  // namespace sluice::test
