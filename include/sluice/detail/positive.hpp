// The check that every time limit has in common.
#pragma once

#include <sluice/config.hpp>

#include <chrono>

namespace sluice::inline v0_1::detail {

/// `time` if it is positive; otherwise throws std::invalid_argument, naming `what`.
SLUICE_API std::chrono::nanoseconds positive(std::chrono::nanoseconds time, const char* what);

}  // namespace sluice::inline v0_1::detail
