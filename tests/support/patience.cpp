// The factor, read once. See patience.hpp.
#include "support/patience.hpp"

#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace sluice::test {

namespace {

constexpr std::chrono::seconds ordinary_patience{10};
constexpr int greatest_factor = 1000;

int read_factor() {
    const char* text = std::getenv("SLUICE_PATIENCE_FACTOR");
    if (text == nullptr) {
        return 1;
    }
    const std::string_view digits(text);
    int factor = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), factor);
    if (error != std::errc() || end != digits.data() + digits.size() || factor < 1 ||
        factor > greatest_factor) {
        throw std::invalid_argument(
            "SLUICE_PATIENCE_FACTOR is a whole number from 1 to 1000, not '" + std::string(digits) +
            "'");
    }
    return factor;
}

}  // namespace

int patience_factor() {
    static const int factor = read_factor();
    return factor;
}

std::chrono::seconds patience() {
    return patient(ordinary_patience);
}

int patience_ms() {
    return static_cast<int>(std::chrono::milliseconds(patience()).count());
}

}  // namespace sluice::test
