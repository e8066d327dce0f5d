// WarmList: the connections of a loop that may keep working memory between messages, because they
// were busy last.
//
// Giving memory back after each message keeps idle connections small, and costs a busy one a few
// allocations per message. So some of the busy ones keep theirs. When more are busy than there is
// room for, few of them take each other's place: every change touches a connection whose memory has
// left the cache.
#pragma once

#include <sluice/detail/intrusive_list.hpp>
#include <sluice/limits.hpp>

#include <cstddef>

namespace sluice::inline v0_1::detail {

/// A connection on the list. Off the list it is cold.
class Warm : public ListNode<Warm> {
public:
    /// Gives the working memory back.
    virtual void cool() noexcept = 0;

protected:
    ~Warm() = default;
};

class WarmList {
public:
    explicit WarmList(std::size_t most) noexcept : most_(most) {}

    /// `connection` was busy just now. True if that makes it warm, in place of the one that has not
    /// been busy for longest if the list is full.
    bool touch(Warm& connection) noexcept {
        const bool was_cold = !connection.linked();
        if (!was_cold) {
            connection.unlink();
        } else if (count_ == most_) {
            if (++refused_ <= limits::tls_warm_refusals) {
                return false;
            }
            refused_ = 0;
            remove(list_.front());
        }
        count_ += was_cold ? 1 : 0;
        list_.push_back(connection);
        return was_cold;
    }

    /// Cools it; nothing if it is cold already. To be called before it is destroyed.
    void remove(Warm& connection) noexcept {
        if (connection.linked()) {
            connection.unlink();
            --count_;
            connection.cool();
        }
    }

private:
    IntrusiveList<Warm> list_;
    std::size_t most_;
    std::size_t count_ = 0;
    unsigned refused_ = 0;  // since the last change of a full list
};

}  // namespace sluice::inline v0_1::detail
