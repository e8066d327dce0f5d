// The io_uring backend (Linux 5.17 and later) as a poller: the kernel watches by multishot polls, and
// what changed since the last wait goes to it in the system call that waits.
#pragma once

#include <sluice/detail/poller.hpp>

#include <memory>
#include <string>

namespace sluice::inline v0_1::detail {

/// Null, and `refusal` says why, if this system or this build has no io_uring for us. Throws
/// std::system_error when it has, but neither descriptor nor memory to give.
std::unique_ptr<Poller> make_io_uring_poller(std::string& refusal);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#ifdef SLUICE_IO_URING
#include <sluice/detail/io_uring_poller.hpp>
#else
#include <sluice/impl/no_io_uring.ipp>
#endif
#endif
