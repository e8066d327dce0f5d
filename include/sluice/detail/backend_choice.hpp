// Which poller a loop gets.
#pragma once

#include <sluice/backend.hpp>
#include <sluice/detail/poller.hpp>

#include <memory>
#include <string>

namespace sluice::inline v0_1::detail {

struct PollerChoice {
    std::unique_ptr<Poller> poller;
    std::string instead_of;  // what was asked for and why it is not this; empty if it is
};

/// The poller of `backend`; for Backend::automatic the one that SLUICE_BACKEND names, else the first of the build. Throws
/// what EventLoop's constructor throws.
PollerChoice choose_poller(Backend backend);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/backend_choice.ipp>
#endif
