// What takes the place of the io_uring backend in a build without liburing.
#pragma once

#include <sluice/detail/io_uring.hpp>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE std::unique_ptr<Poller> make_io_uring_poller(std::string& refusal) {
    refusal = "this build is without it (CMake option SLUICE_IO_URING)";
    return nullptr;
}

}  // namespace sluice::inline v0_1::detail
