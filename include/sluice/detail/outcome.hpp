// Outcome<T>: a value, an exception, or nothing yet. What coroutines and futures end with.
#pragma once

#include <sluice/config.hpp>
#include <sluice/error.hpp>

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1::detail {

struct Nothing {};

template <class T>
class Outcome {
public:
    template <class U>
    void set_value(U&& value) {
        value_.emplace(std::forward<U>(value));
    }
    void set_exception(std::exception_ptr exception) noexcept { exception_ = std::move(exception); }

    [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

    /// Moves the value out, or throws.
    T take() {
        rethrow();
        return std::move(*value_);
    }
    /// The value for one of several readers: a copy, or the value itself if it cannot be copied. Or
    /// throws.
    T share() {
        rethrow();
        if constexpr (std::is_copy_constructible_v<T>) {
            return *value_;
        } else {
            return std::move(*value_);
        }
    }
    /// Refers to the value, or throws.
    const T& get() const {
        rethrow();
        return *value_;
    }

private:
    void rethrow() const {
        if (exception_) {
            std::rethrow_exception(exception_);
        }
        SLUICE_ASSERT(value_.has_value());
    }

    std::optional<T> value_;
    std::exception_ptr exception_;
};

template <>
class Outcome<void> {
public:
    void set_value(Nothing = {}) noexcept {}
    void set_exception(std::exception_ptr exception) noexcept { exception_ = std::move(exception); }
    [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }
    void take() const { get(); }
    void share() const { get(); }
    void get() const {
        if (exception_) {
            std::rethrow_exception(exception_);
        }
    }

private:
    std::exception_ptr exception_;
};

/// True if `exception` is a Cancelled.
SLUICE_API bool is_cancelled(const std::exception_ptr& exception) noexcept;
/// True if `exception` is a StopLoop.
SLUICE_API bool is_stop_loop(const std::exception_ptr& exception) noexcept;
/// A Cancelled, as an exception_ptr.
SLUICE_API std::exception_ptr make_cancelled() noexcept;

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/outcome.ipp>
#endif
