// --backend of our own servers. A benchmark must measure what it names: a backend that the system or the build has not is
// an error here, where the library would take another one.
#pragma once

#include <sluice/event_loop.hpp>

#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

inline sluice::Backend backend_argument(std::string_view value) {
    if (value == "automatic") {
        return sluice::Backend::automatic;
    }
    if (value == "epoll") {
        return sluice::Backend::epoll;
    }
    if (value == "io_uring") {
        return sluice::Backend::io_uring;
    }
    throw std::invalid_argument("--backend cannot be " + std::string(value));
}

inline void require_backend(const sluice::EventLoop& loop, sluice::Backend backend) {
    if (backend == sluice::Backend::io_uring &&
        std::string_view(loop.backend_name()) != "io_uring") {
        throw std::runtime_error(loop.backend_report());
    }
}

}  // namespace bench
