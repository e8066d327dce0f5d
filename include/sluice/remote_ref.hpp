// RemoteRef<T>: a reference that may travel through other threads, for handing an object out and
// getting it back.
//
// What it refers to belongs to its loop's thread. Other threads can hold, move and drop a
// RemoteRef, nothing else; the object is released on the loop's thread in any case.
#pragma once

#include <sluice/detail/intrusive_list.hpp>
#include <sluice/ref.hpp>

#include <memory>
#include <utility>

namespace sluice::inline v0_1 {

class EventLoop;

namespace detail {

class RemoteQueue;

/// The loop's half of a RemoteRef. Touched on the loop's thread only; closing the loop deletes it.
struct RemoteSlot : ListNode<RemoteSlot> {
    Ref<RefCounted> object;
};

SLUICE_API bool is_open(const RemoteQueue& remote) noexcept;
SLUICE_API void release_slot(RemoteQueue& remote, RemoteSlot* slot) noexcept;

}  // namespace detail

/// Made by EventLoop::remote_ref(). Move-only.
template <class T>
class RemoteRef {
public:
    RemoteRef() noexcept = default;
    ///@{
    /// Takes over what `other` holds; on any thread.
    RemoteRef(RemoteRef&& other) noexcept
        : remote_(std::move(other.remote_)),
          slot_(std::exchange(other.slot_, nullptr)),
          object_(std::exchange(other.object_, nullptr)) {}
    RemoteRef& operator=(RemoteRef&& other) noexcept {
        if (this != &other) {
            drop();
            remote_ = std::move(other.remote_);
            slot_ = std::exchange(other.slot_, nullptr);
            object_ = std::exchange(other.object_, nullptr);
        }
        return *this;
    }
    ///@}
    ~RemoteRef() { drop(); }

    /// The object, on the loop's thread only; null once the loop is closed.
    [[nodiscard]] Ref<T> get() const noexcept {
        return remote_ != nullptr && detail::is_open(*remote_) ? Ref<T>(object_) : Ref<T>();
    }

private:
    friend EventLoop;
    RemoteRef(std::shared_ptr<detail::RemoteQueue> remote, detail::RemoteSlot* slot,
              T* object) noexcept
        : remote_(std::move(remote)), slot_(slot), object_(object) {}

    void drop() noexcept {
        if (detail::RemoteSlot* slot = std::exchange(slot_, nullptr)) {
            detail::release_slot(*remote_, slot);
        }
    }

    std::shared_ptr<detail::RemoteQueue> remote_;
    detail::RemoteSlot* slot_ = nullptr;
    T* object_ = nullptr;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/remote_ref.ipp>
#endif
