// The loop that a function without a loop among its arguments works with.
#pragma once

#include <sluice/event_loop.hpp>

namespace sluice::inline v0_1::detail {

/// The loop that runs on this thread; std::logic_error, naming `function`, if none does.
SLUICE_API EventLoop& running_loop_for(const char* function);

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/running_loop.ipp>
#endif
