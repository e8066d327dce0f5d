// Choosing a backend: the argument first, then the environment.
#pragma once

#include <sluice/detail/backend_choice.hpp>
#include <sluice/detail/epoll.hpp>
#include <sluice/event_loop.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sluice::inline v0_1::detail {

SLUICE_INLINE std::unique_ptr<Poller> make_poller(Backend backend) {
    if (backend == Backend::automatic) {
        const char* variable = std::getenv("SLUICE_BACKEND");
        const std::string_view name = variable == nullptr ? "" : variable;
        if (!name.empty() && name != "automatic" && name != "epoll") {
            throw std::invalid_argument("SLUICE_BACKEND=" + std::string(name) +
                                        " is no backend of this build (epoll)");
        }
    }
    return make_epoll_poller();
}

}  // namespace sluice::inline v0_1::detail
