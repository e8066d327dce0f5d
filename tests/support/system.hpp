// What tests ask of the system where systems have forms of their own: one file for each, system_linux.cpp and so on.
#pragma once

#include <cstddef>

namespace sluice::test {

/// The smallest buffer that a pipe can have; its size.
std::size_t shrink_pipe(int fd);
/// What poll(2) is asked for to tell of a peer's end, besides POLLHUP, which it always tells of.
short peer_end_event() noexcept;
/// What the allocator has given for the block, which may be null.
std::size_t block_bytes(void* block) noexcept;
/// A flag of open(2) for a descriptor that names a file and cannot read it.
int open_without_access() noexcept;
/// False where the check of virtual calls (-fsanitize=vptr) is linked in: it opens a pipe for
/// looking at memory, and takes the failure of that for a wrong pointer.
[[nodiscard]] bool descriptors_can_run_out() noexcept;

}  // namespace sluice::test
