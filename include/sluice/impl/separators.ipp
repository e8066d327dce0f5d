// Separators: sorted and checked once, when they are made.
#pragma once

#include <sluice/separators.hpp>

#include <algorithm>
#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE Separators::Separators(std::vector<std::string> texts) {
    if (texts.empty()) {
        throw std::invalid_argument("Separators: there must be at least one");
    }
    std::ranges::sort(texts, {}, &std::string::size);
    if (texts.front().empty()) {
        throw std::invalid_argument("Separators: a separator has at least one byte");
    }
    longest_ = texts.back().size();
    texts_ = std::make_shared<const std::vector<std::string>>(std::move(texts));
}

}  // namespace sluice::inline v0_1
