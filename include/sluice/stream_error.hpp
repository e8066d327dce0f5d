// What a StreamReader throws about the stream's contents: it ended too early, or a separator is too
// far away. What broke the connection comes as std::system_error, misuse as std::logic_error.
#pragma once

#include <sluice/config.hpp>

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

namespace sluice::inline v0_1 {

/// The stream ended before all that was asked for had come. The counterpart of
/// asyncio.IncompleteReadError.
class SLUICE_API IncompleteReadError : public std::runtime_error {
public:
    /// `partial` came of `expected` bytes; of an unknown number if a separator was looked for.
    IncompleteReadError(std::string partial, std::optional<std::size_t> expected);
    ~IncompleteReadError() override;

    /// What came before the end; it is no longer in the reader.
    [[nodiscard]] const std::string& partial() const noexcept { return partial_; }
    /// How many bytes were asked for; nothing where a separator was.
    [[nodiscard]] std::optional<std::size_t> expected() const noexcept { return expected_; }

private:
    std::string partial_;
    std::optional<std::size_t> expected_;
};

/// No separator within the reader's limit. The bytes are still in the reader: read them otherwise, or
/// give the connection up. The counterpart of asyncio.LimitOverrunError.
class SLUICE_API LimitOverrunError : public std::runtime_error {
public:
    /// `consumed` bytes stand before the separator, or are known to hold none.
    LimitOverrunError(const std::string& what, std::size_t consumed);
    ~LimitOverrunError() override;

    /// How many bytes may be read and dropped without losing a separator.
    [[nodiscard]] std::size_t consumed() const noexcept { return consumed_; }

private:
    std::size_t consumed_;
};

/// A line longer than the reader's limit. What was there of it is gone, so that the next read begins
/// behind it, or, if its end had not come, in the middle of it. asyncio's readline() throws a
/// ValueError then.
class SLUICE_API LineTooLongError : public std::runtime_error {
public:
    /// Its text is `what`.
    explicit LineTooLongError(const std::string& what);
    ~LineTooLongError() override;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/stream_error.ipp>
#endif
