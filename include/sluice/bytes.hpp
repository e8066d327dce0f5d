// Views of bytes: what every read and write of the library is expressed in. Views own nothing.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

/// Bytes somebody else owns; each function that takes them says for how long.
using Bytes = std::span<const std::byte>;
/// The same, writable.
using MutableBytes = std::span<std::byte>;

/// The characters of `text` as bytes; valid as long as `text` is.
inline Bytes as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span<const char>{text.data(), text.size()});
}

/// The elements of a container of byte-sized ones, as std::vector<unsigned char>; valid as long as
/// they are.
template <class Container>
    requires(sizeof(*std::data(std::declval<const Container&>())) == 1) &&
            (!std::is_convertible_v<const Container&, std::string_view>)
Bytes as_bytes(const Container& elements) noexcept {
    return std::as_bytes(std::span(std::data(elements), std::size(elements)));
}

/// The bytes as characters, unchanged; valid as long as the bytes are.
inline std::string_view as_text(Bytes bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace sluice::inline v0_1
