// Recognising Cancelled and StopLoop, making Cancelled.
#pragma once

#include <sluice/detail/outcome.hpp>

namespace sluice::inline v0_1::detail {

template <class E>
bool is_a(const std::exception_ptr& exception) noexcept {
    if (!exception) {
        return false;
    }
    try {
        std::rethrow_exception(exception);
    } catch (const E&) {
        return true;
    } catch (...) {
        return false;
    }
}

SLUICE_INLINE bool is_cancelled(const std::exception_ptr& exception) noexcept {
    return is_a<Cancelled>(exception);
}

SLUICE_INLINE bool is_stop_loop(const std::exception_ptr& exception) noexcept {
    return is_a<StopLoop>(exception);
}

SLUICE_INLINE std::exception_ptr make_cancelled() noexcept {
    return std::make_exception_ptr(Cancelled{});
}

}  // namespace sluice::inline v0_1::detail
