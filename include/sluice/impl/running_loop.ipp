// Finding the running loop, or saying who missed it.
#pragma once

#include <sluice/detail/running_loop.hpp>

#include <stdexcept>
#include <string>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE EventLoop& running_loop_for(const char* function) {
    EventLoop* const loop = EventLoop::running();
    if (loop == nullptr) {
        throw std::logic_error(std::string(function) + "(): no running event loop");
    }
    return *loop;
}

}  // namespace sluice::inline v0_1::detail
