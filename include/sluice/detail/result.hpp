// Result: what a system call gave. Sixteen bytes for counts, no exception, no allocation.
#pragma once

#include <sluice/config.hpp>

#include <cstddef>
#include <cstdint>
#include <system_error>

namespace sluice::inline v0_1::detail {

/// The system's error number as a code that compares with std::errc.
#ifdef _WIN32
std::error_code system_error(int error_number) noexcept;
#else
inline std::error_code system_error(int error_number) noexcept {
    return {error_number, std::system_category()};
}
#endif

/// A value, "would block", or the system's error number. The end of a stream is the value 0.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) noexcept : value_(value) {}

    static Result would_block() noexcept { return Result(T{}, would_block_mark); }
    static Result failure(int error_number) noexcept { return Result(T{}, error_number); }

    [[nodiscard]] bool ok() const noexcept { return error_ == 0; }
    [[nodiscard]] bool blocked() const noexcept { return error_ == would_block_mark; }
    [[nodiscard]] T value() const noexcept {
        SLUICE_ASSERT(ok());
        return value_;
    }
    /// Empty when ok.
    [[nodiscard]] std::error_code error() const noexcept {
        SLUICE_ASSERT(!blocked());
        return system_error(error_);
    }

private:
    // No system uses a negative error number.
    static constexpr int would_block_mark = -1;

    Result(T value, int error) noexcept : value_(value), error_(error) {}

    T value_;
    int error_ = 0;
};

/// Bytes moved.
using IoResult = Result<std::size_t>;

}  // namespace sluice::inline v0_1::detail

#if defined(SLUICE_HEADER_ONLY) && defined(_WIN32)
#include <sluice/impl/sys_windows_error.ipp>
#endif
