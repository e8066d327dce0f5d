// What tests ask of Linux: see system.hpp.
#include "support/checked.hpp"
#include "support/system.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>

// Of the sanitizer's run-time library; null unless that is linked.
extern "C" __attribute__((weak)) void __ubsan_handle_dynamic_type_cache_miss(void*, void*, void*);

namespace sluice::test {

std::size_t shrink_pipe(int fd) {
    return static_cast<std::size_t>(checked(::fcntl(fd, F_SETPIPE_SZ, 1), "F_SETPIPE_SZ"));
}

short peer_end_event() noexcept {
    return POLLRDHUP;
}

std::size_t block_bytes(void* block) noexcept {
    return ::malloc_usable_size(block);
}

int open_without_access() noexcept {
    return O_PATH;
}

bool descriptors_can_run_out() noexcept {
    return &__ubsan_handle_dynamic_type_cache_miss == nullptr;
}

}  // namespace sluice::test
