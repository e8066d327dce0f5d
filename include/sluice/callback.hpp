// Callback: a move-only nullary callable of 48 bytes that stores small closures without allocating.
//
// std::function would force closures to be copyable; a closure that owns a Ref, a Buffer or a
// unique_ptr is not.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

/// A nullary callable, owned. Empty by default; moving leaves the source empty.
class Callback {
public:
    Callback() noexcept = default;
    /// Nothing to call.
    Callback(std::nullptr_t) noexcept {}

    /// Stores `function`: in place up to 40 bytes if moving it cannot throw, else allocated.
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, Callback> &&
                 std::invocable<std::decay_t<F>&>)
    Callback(F&& function) {
        using Stored = std::decay_t<F>;
        if constexpr (fits_inline<Stored>) {
            ::new (static_cast<void*>(storage_)) Stored(std::forward<F>(function));
            operations_ = &inline_operations<Stored>;
        } else {
            ::new (static_cast<void*>(storage_)) Stored*(new Stored(std::forward<F>(function)));
            operations_ = &heap_operations<Stored>;
        }
    }

    ///@{
    /// Takes over what `other` has.
    Callback(Callback&& other) noexcept { take(other); }
    Callback& operator=(Callback&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    ///@}
    Callback(const Callback&) = delete;
    Callback& operator=(const Callback&) = delete;
    ~Callback() { reset(); }

    /// Calls the stored function; there must be one.
    void operator()() { operations_->call(storage_); }

    /// True if there is something to call.
    explicit operator bool() const noexcept { return operations_ != nullptr; }

    /// Destroys the stored function, if any.
    void reset() noexcept {
        if (const Operations* operations = std::exchange(operations_, nullptr)) {
            operations->destroy(storage_);
        }
    }

private:
    struct Operations {
        void (*call)(void* storage);
        void (*move)(void* from, void* to) noexcept;  // leaves `from` destroyed
        void (*destroy)(void* storage) noexcept;
    };

    static constexpr std::size_t inline_bytes = 40;

    template <class F>
    static constexpr bool fits_inline =
        sizeof(F) <= inline_bytes && alignof(F) <= alignof(std::max_align_t) &&
        std::is_nothrow_move_constructible_v<F>;

    template <class F>
    static F* stored(void* storage) noexcept {
        return std::launder(static_cast<F*>(storage));
    }

    template <class F>
    static constexpr Operations inline_operations{
        [](void* storage) { (*stored<F>(storage))(); },
        [](void* from, void* to) noexcept {
            ::new (to) F(std::move(*stored<F>(from)));
            std::destroy_at(stored<F>(from));
        },
        [](void* storage) noexcept { std::destroy_at(stored<F>(storage)); },
    };

    template <class F>
    static constexpr Operations heap_operations{
        [](void* storage) { (**stored<F*>(storage))(); },
        [](void* from, void* to) noexcept { ::new (to) F*(*stored<F*>(from)); },
        [](void* storage) noexcept { delete *stored<F*>(storage); },
    };

    void take(Callback& other) noexcept {
        if (other.operations_ != nullptr) {
            other.operations_->move(other.storage_, storage_);
            operations_ = std::exchange(other.operations_, nullptr);
        }
    }

    alignas(std::max_align_t) std::byte storage_[inline_bytes];
    const Operations* operations_ = nullptr;
};

}  // namespace sluice::inline v0_1
