// Buffer: immutable bytes with an owner, the form of data a transport can queue without copying.
//
// A Buffer is a view plus a counted reference to whatever keeps the view alive. Copying it copies
// the reference, never the bytes, so one Buffer may be queued on many transports, also of loops in
// other threads.
#pragma once

#include <sluice/bytes.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// Immutable bytes and what keeps them alive.
class Buffer {
public:
    /// No bytes.
    Buffer() noexcept = default;

    /// Takes the string over; its characters are the bytes.
    explicit Buffer(std::string&& text) { own(std::move(text)); }

    /// Takes a vector of byte-sized elements over.
    template <class T>
        requires(sizeof(T) == 1 && std::is_trivially_copyable_v<T>)
    explicit Buffer(std::vector<T>&& elements) {
        own(std::move(elements));
    }

    /// Bytes kept alive by `owner`: a memory mapping, an arena, a part of a larger object. They
    /// must not change while any copy of the Buffer exists.
    Buffer(Bytes bytes, std::shared_ptr<const void> owner) noexcept
        : bytes_(bytes), owner_(std::move(owner)) {}

    /// A Buffer with a copy of `bytes`.
    ///@{
    static Buffer copy(Bytes bytes) {
        return Buffer(std::vector<std::byte>(bytes.begin(), bytes.end()));
    }
    static Buffer copy(std::string_view text) { return copy(as_bytes(text)); }
    ///@}

    /// The bytes; valid while any copy of the Buffer exists.
    [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }
    /// Their number.
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
    /// True if there are none.
    [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

    /// The part from `offset` (clamped to the size) of at most `count` bytes; shares the owner,
    /// copies nothing.
    [[nodiscard]] Buffer slice(std::size_t offset,
                               std::size_t count = std::dynamic_extent) const noexcept {
        const std::size_t start = offset < bytes_.size() ? offset : bytes_.size();
        const std::size_t rest = bytes_.size() - start;
        return Buffer(bytes_.subspan(start, count < rest ? count : rest), owner_);
    }

private:
    template <class Container>
    void own(Container container) {
        auto owner = std::make_shared<const Container>(std::move(container));
        bytes_ = std::as_bytes(std::span(owner->data(), owner->size()));
        owner_ = std::move(owner);
    }

    Bytes bytes_;
    std::shared_ptr<const void> owner_;
};

}  // namespace sluice::inline v0_1
