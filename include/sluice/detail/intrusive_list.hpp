// A doubly linked list of nodes owned elsewhere: no allocation, constant-time removal from
// anywhere.
//
// A node knows no list; destroying a linked node unlinks it. One object can be in several lists by
// deriving from ListNode<Tag> with different tags.
#pragma once

#include <sluice/config.hpp>

#include <utility>

namespace sluice::inline v0_1::detail {

template <class Tag>
class ListNode {
public:
    ListNode() noexcept = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;
    ~ListNode() { unlink(); }

    [[nodiscard]] bool linked() const noexcept { return next_ != this; }

    void unlink() noexcept {
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = previous_ = this;
    }

private:
    template <class T, class OtherTag>
    friend class IntrusiveList;

    ListNode* next_ = this;
    ListNode* previous_ = this;
};

/// T derives from ListNode<Tag>.
template <class T, class Tag = T>
class IntrusiveList {
public:
    using Node = ListNode<Tag>;

    [[nodiscard]] bool empty() const noexcept { return !head_.linked(); }

    void push_back(T& object) noexcept {
        Node& node = object;
        SLUICE_ASSERT(!node.linked());
        node.previous_ = head_.previous_;
        node.next_ = &head_;
        head_.previous_->next_ = &node;
        head_.previous_ = &node;
    }

    [[nodiscard]] T& front() noexcept {
        SLUICE_ASSERT(!empty());
        return static_cast<T&>(*head_.next_);
    }

    T& pop_front() noexcept {
        T& object = front();
        static_cast<Node&>(object).unlink();
        return object;
    }

    /// The object that was added last; there must be one.
    T& pop_back() noexcept {
        SLUICE_ASSERT(!empty());
        T& object = static_cast<T&>(*head_.previous_);
        static_cast<Node&>(object).unlink();
        return object;
    }

    /// Moves everything of `other` to the end of this list.
    void splice_back(IntrusiveList& other) noexcept {
        if (other.empty()) {
            return;
        }
        Node* first = other.head_.next_;
        Node* last = other.head_.previous_;
        other.head_.next_ = other.head_.previous_ = &other.head_;
        first->previous_ = head_.previous_;
        head_.previous_->next_ = first;
        last->next_ = &head_;
        head_.previous_ = last;
    }

    /// Calls `visit` for each object; it may unlink the object it is given, no other.
    template <class F>
    void for_each(F&& visit) {
        for (Node* node = head_.next_; node != &head_;) {
            T& object = static_cast<T&>(*std::exchange(node, node->next_));
            visit(object);
        }
    }

private:
    Node head_;
};

}  // namespace sluice::inline v0_1::detail
