// Choosing a backend: the argument first, then the environment.
#pragma once

#include <sluice/detail/backend_choice.hpp>
#include <sluice/detail/epoll.hpp>
#include <sluice/detail/io_uring.hpp>
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/kqueue.hpp>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1::detail {

struct BuiltBackend {
    std::string_view name;
    std::unique_ptr<Poller> (*make)();
};

/// Those that every system of this build has, the best one first.
inline constexpr BuiltBackend built_backends[] = {
#if SLUICE_HAS_EPOLL
    {"epoll", make_epoll_poller},
#endif
#if SLUICE_HAS_KQUEUE
    {"kqueue", make_kqueue_poller},
#endif
#if SLUICE_HAS_IOCP
    {"iocp", make_iocp_poller},
#endif
};

constexpr std::string_view name_of(Backend backend) noexcept {
    switch (backend) {
        case Backend::automatic:
            return "automatic";
        case Backend::epoll:
            return "epoll";
        case Backend::io_uring:
            return "io_uring";
        case Backend::kqueue:
            return "kqueue";
        case Backend::iocp:
            return "iocp";
    }
    return "unknown";
}

SLUICE_INLINE PollerChoice choose_io_uring() {
    std::string refusal;
    if (auto poller = make_io_uring_poller(refusal)) {
        return {std::move(poller), {}};
    }
    return {built_backends[0].make(), "instead of io_uring: " + refusal};
}

/// `asked_by` comes before the name where the name is refused.
SLUICE_INLINE PollerChoice choose_named_poller(std::string_view name, std::string_view asked_by) {
    if (name == "io_uring") {
        return choose_io_uring();
    }
    std::string names = "io_uring";
    for (const BuiltBackend& built : built_backends) {
        if (built.name == name) {
            return {built.make(), {}};
        }
        names.append(", ").append(built.name);
    }
    throw std::invalid_argument(std::string(asked_by).append(name) +
                                " is no backend of this build (" + names + ")");
}

SLUICE_INLINE PollerChoice choose_poller(Backend backend) {
    if (backend != Backend::automatic) {
        return choose_named_poller(name_of(backend), "Backend::");
    }
    const char* variable = std::getenv("SLUICE_BACKEND");
    const std::string_view name = variable == nullptr ? "" : variable;
    if (name.empty() || name == "automatic") {
        return {built_backends[0].make(), {}};
    }
    return choose_named_poller(name, "SLUICE_BACKEND=");
}

}  // namespace sluice::inline v0_1::detail
