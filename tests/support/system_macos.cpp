// What tests ask of macOS: see system.hpp. Compiled and linked, never run.
#include "support/system.hpp"

#include <fcntl.h>
#include <malloc/malloc.h>

namespace sluice::test {

std::size_t shrink_pipe(int /*fd*/) {
    // As large as pipes become (XNU: BIG_PIPE_SIZE); no call changes it.
    return std::size_t{64} * 1024;
}

short peer_end_event() noexcept {
    return 0;
}

std::size_t block_bytes(void* block) noexcept {
    return ::malloc_size(block);
}

int open_without_access() noexcept {
    return O_EVTONLY;
}

bool descriptors_can_run_out() noexcept {
    return true;
}

}  // namespace sluice::test
