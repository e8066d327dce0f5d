// Ref<T>: an intrusive, non-atomic counted handle. Objects belong to one loop and so to one thread.
//
// The last Ref does not delete the object but hands it to `unreferenced()`, which lets the loop
// free it between iterations: a callback may drop the last reference to the object that is calling
// it.
#pragma once

#include <sluice/config.hpp>

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <utility>

namespace sluice::inline v0_1 {

class RefCounted;

namespace detail {

/// The thread a loop currently belongs to; any thread until the loop runs for the first time.
class OwnerThread {
public:
    void bind() noexcept { id_.store(std::this_thread::get_id(), std::memory_order_relaxed); }
    [[nodiscard]] bool is_current_or_unbound() const noexcept {
        const std::thread::id id = id_.load(std::memory_order_relaxed);
        return id == std::thread::id{} || id == std::this_thread::get_id();
    }

private:
    std::atomic<std::thread::id> id_;
};

}  // namespace detail

namespace detail {

/// Calls object.unreferenced(). Out of line: GCC 12 otherwise guesses which class it is, inlines
/// that one's delete and warns about it (-Wfree-nonheap-object) in users' code.
SLUICE_API void last_reference_gone(RefCounted& object) noexcept;

}  // namespace detail

/// Base of everything a Ref can point to.
class RefCounted {
public:
    RefCounted(const RefCounted&) = delete;
    RefCounted& operator=(const RefCounted&) = delete;

protected:
    /// @cond internal
    explicit RefCounted(const detail::OwnerThread* owner) noexcept : owner_(owner) {}
    /// @endcond
    virtual ~RefCounted() = default;

    /// Called when the last Ref is gone; deletes the object now or later.
    virtual void unreferenced() noexcept = 0;

    /// From now on no thread check is made: the loop is gone, its survivors belong to whoever holds
    /// them.
    void disown() noexcept { owner_ = nullptr; }
    /// How many Refs there are.
    [[nodiscard]] std::uint32_t ref_count() const noexcept { return count_; }

private:
    friend void detail::last_reference_gone(RefCounted& object) noexcept;
    template <class T>
    friend class Ref;
    template <class T>
    friend class RemoteRef;

    void retain() noexcept {
        SLUICE_ASSERT(!owner_ || owner_->is_current_or_unbound());
        ++count_;
    }
    void release() noexcept {
        SLUICE_ASSERT(!owner_ || owner_->is_current_or_unbound());
        SLUICE_ASSERT(count_ > 0);
        if (--count_ == 0) {
            detail::last_reference_gone(*this);
        }
    }

    const detail::OwnerThread* owner_;
    std::uint32_t count_ = 0;
};

/// Keeps an object alive. To be copied and dropped on the object's loop thread only (asserted in
/// debug builds); RemoteRef is the form that may travel.
template <class T>
class Ref {
public:
    Ref() noexcept = default;
    /// Refers to nothing.
    Ref(std::nullptr_t) noexcept {}
    /// One more reference to `object`, which may be null.
    explicit Ref(T* object) noexcept : object_(object) {
        if (object_ != nullptr) {
            counted(object_)->retain();
        }
    }
    ///@{
    /// Refers to what `other` does; a moved-from Ref refers to nothing.
    Ref(const Ref& other) noexcept : Ref(other.object_) {}
    Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(const Ref<U>& other) noexcept : Ref(static_cast<T*>(other.get())) {}
    template <class U>
        requires std::is_convertible_v<U*, T*>
    Ref(Ref<U>&& other) noexcept : object_(other.leak()) {}
    ~Ref() { reset(); }

    Ref& operator=(Ref other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ///@}

    /// Drops the reference now; the last one destroys the object, now or between iterations.
    void reset() noexcept {
        if (T* object = std::exchange(object_, nullptr)) {
            counted(object)->release();
        }
    }

    /// Gives up the reference without dropping it; `adopt` is the other half.
    [[nodiscard]] T* leak() noexcept { return std::exchange(object_, nullptr); }
    /// Takes over a reference that `leak` gave up.
    [[nodiscard]] static Ref adopt(T* object) noexcept {
        Ref ref;
        ref.object_ = object;
        return ref;
    }

    ///@{
    /// The object; null if there is none, which the operators must not meet.
    [[nodiscard]] T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    ///@}
    /// False if it refers to nothing.
    explicit operator bool() const noexcept { return object_ != nullptr; }
    friend bool operator==(const Ref& a, const Ref& b) noexcept { return a.object_ == b.object_; }

private:
    static RefCounted* counted(T* object) noexcept { return object; }

    T* object_ = nullptr;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/ref.ipp>
#endif
