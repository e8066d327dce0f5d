// Backend: how a loop waits for the system.
#pragma once

#include <sluice/config.hpp>

#include <cstdint>

namespace sluice::inline v0_1 {

/// How a loop waits for the system. docs/backends.md says which to choose when.
enum class Backend : std::uint8_t {
    automatic,  ///< $SLUICE_BACKEND if set, else the one every system of the build has.
    epoll,      ///< epoll(7): any Linux.
    /// io_uring(7): Linux 5.17 or newer, in a build with SLUICE_IO_URING. Where it is not to be had the
    /// loop uses epoll: EventLoop::backend_report() says why.
    io_uring,
    kqueue,  ///< kqueue(2): macOS, the BSDs.
    iocp,    ///< An I/O completion port: Windows.
};

}  // namespace sluice::inline v0_1
