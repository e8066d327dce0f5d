// Words and numbers of a command line's values. Knows no option.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/core.h>

namespace bench {

/// Throws std::invalid_argument, naming the option and the value, unless `text` is a number from `least` up.
inline std::size_t number(std::string_view option, std::string_view text, std::size_t least = 1) {
    std::size_t value = 0;
    const char* const end = std::to_address(text.end());
    const auto [stop, error] = std::from_chars(std::to_address(text.begin()), end, value);
    if (error != std::errc{} || stop != end || value < least) {
        throw std::invalid_argument(
            fmt::format("{}: expected a number from {} up, got '{}'", option, least, text));
    }
    return value;
}

/// What stands between commas.
inline std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> result;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        result.emplace_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return result;
}

/// The same as numbers from 1 up, at least one.
inline std::vector<std::size_t> numbers(std::string_view option, std::string_view text) {
    std::vector<std::size_t> result;
    for (const std::string& word : words(text)) {
        result.push_back(number(option, word));
    }
    if (result.empty()) {
        throw std::invalid_argument(fmt::format("{}: the list is empty", option));
    }
    return result;
}

}  // namespace bench
