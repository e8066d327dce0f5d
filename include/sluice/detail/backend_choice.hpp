// Which poller a loop gets.
#pragma once

#include <sluice/detail/poller.hpp>

#include <cstdint>
#include <memory>

namespace sluice::inline v0_1 {
enum class Backend : std::uint8_t;
}

namespace sluice::inline v0_1::detail {

/// The poller of `backend`; for Backend::automatic the one that SLUICE_BACKEND names, else the best one
/// here. Throws what EventLoop's constructor throws.
std::unique_ptr<Poller> make_poller(Backend backend);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/backend_choice.ipp>
#endif
