// The texts of the streams' exceptions, and the destructors that anchor their vtables.
#pragma once

#include <sluice/stream_error.hpp>

#include <utility>

namespace sluice::inline v0_1 {

SLUICE_INLINE IncompleteReadError::IncompleteReadError(std::string partial,
                                                       std::optional<std::size_t> expected)
    : std::runtime_error(std::to_string(partial.size()) + " bytes read on a total of " +
                         (expected ? std::to_string(*expected) : "undefined") + " expected bytes"),
      partial_(std::move(partial)),
      expected_(expected) {}

SLUICE_INLINE IncompleteReadError::~IncompleteReadError() = default;

SLUICE_INLINE LimitOverrunError::LimitOverrunError(const std::string& what, std::size_t consumed)
    : std::runtime_error(what), consumed_(consumed) {}

SLUICE_INLINE LimitOverrunError::~LimitOverrunError() = default;

SLUICE_INLINE LineTooLongError::LineTooLongError(const std::string& what)
    : std::runtime_error(what) {}

SLUICE_INLINE LineTooLongError::~LineTooLongError() = default;

}  // namespace sluice::inline v0_1
