// Views of bytes: what every read and write of the library is expressed in. Views own nothing.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace sluice::inline v0_1 {

/// Bytes somebody else owns; each function that takes them says for how long.
using Bytes = std::span<const std::byte>;
/// The same, writable.
using MutableBytes = std::span<std::byte>;

/// The characters of `text` as bytes; valid as long as `text` is.
inline Bytes as_bytes(std::string_view text) noexcept {
    return std::as_bytes(std::span<const char>{text.data(), text.size()});
}

/// The bytes as characters, unchanged; valid as long as the bytes are.
inline std::string_view as_text(Bytes bytes) noexcept {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace sluice::inline v0_1
