// Descriptor: the unique owner of an operating-system descriptor.
#pragma once

#include <sluice/config.hpp>

#include <utility>

namespace sluice::inline v0_1 {

/// Owns a descriptor and closes it, unless released. Passing one to the library passes the
/// ownership, always: whether the call succeeds, throws or is cancelled, the descriptor is closed
/// exactly once and never by the caller.
class Descriptor {
public:
    /// The number that stands for no descriptor.
    static constexpr int none = -1;

    Descriptor() noexcept = default;
    /// Takes `fd` over.
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    ///@{
    /// Takes over what `other` owns.
    Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = other.release();
        }
        return *this;
    }
    ///@}
    ~Descriptor() { reset(); }

    /// The descriptor, still owned; `none` if there is none.
    [[nodiscard]] int get() const noexcept { return fd_; }
    /// True if it owns one.
    explicit operator bool() const noexcept { return fd_ != none; }
    /// Gives the ownership back to the caller.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, none); }
    /// Closes it now.
    SLUICE_API void reset() noexcept;

private:
    int fd_ = none;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/descriptor.ipp>
#endif
