// Separators: several ends that StreamReader::readuntil() looks for at once.
#pragma once

#include <sluice/config.hpp>

#include <concepts>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::inline v0_1 {

/// A set of separators. Copies share it, so keep one as a variable where reads are frequent: making
/// it allocates, handing it to a read does not.
class SLUICE_API Separators {
public:
    /// Copies the texts: Separators("\r\n", "\n"). Throws std::invalid_argument if there is an empty
    /// one among them. (No std::initializer_list, which GCC 12 refuses inside of an awaited call.)
    template <std::convertible_to<std::string_view>... Texts>
        requires(sizeof...(Texts) > 0)
    explicit(sizeof...(Texts) == 1) Separators(const Texts&... texts)
        : Separators(std::vector<std::string>{std::string(std::string_view(texts))...}) {}
    /// Takes the texts over. Throws also if there is none.
    explicit Separators(std::vector<std::string> texts);

    /// Them, the shortest first.
    [[nodiscard]] std::span<const std::string> texts() const noexcept { return *texts_; }
    /// The length of the longest, in bytes.
    [[nodiscard]] std::size_t longest() const noexcept { return longest_; }

private:
    std::shared_ptr<const std::vector<std::string>> texts_;
    std::size_t longest_ = 0;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/separators.ipp>
#endif
