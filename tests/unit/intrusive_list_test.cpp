// The intrusive list: order, removal, and objects in two lists at once.
#include <sluice/detail/intrusive_list.hpp>

#include <string>

#include <gtest/gtest.h>

namespace {

using sluice::detail::IntrusiveList;
using sluice::detail::ListNode;

struct OtherTag;

struct Item : ListNode<Item>, ListNode<OtherTag> {
    explicit Item(char value) : name(value) {}
    char name;
};

std::string names(IntrusiveList<Item>& list) {
    std::string text;
    list.for_each([&](Item& item) { text += item.name; });
    return text;
}

TEST(IntrusiveList, keeps_the_order_and_loses_what_is_unlinked_or_destroyed) {
    IntrusiveList<Item> list;
    Item a('a');
    Item b('b');
    Item c('c');
    list.push_back(a);
    list.push_back(b);
    list.push_back(c);
    {
        Item d('d');
        list.push_back(d);
        EXPECT_EQ(names(list), "abcd");
    }
    b.ListNode<Item>::unlink();
    EXPECT_EQ(names(list), "ac");
    EXPECT_EQ(list.pop_front().name, 'a');
    c.ListNode<Item>::unlink();
    EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, an_object_can_be_in_two_lists) {
    IntrusiveList<Item> first;
    IntrusiveList<Item, OtherTag> second;
    Item a('a');
    first.push_back(a);
    second.push_back(a);
    a.ListNode<Item>::unlink();
    EXPECT_TRUE(first.empty());
    EXPECT_EQ(&second.front(), &a);
}

TEST(IntrusiveList, splicing_moves_everything_to_the_end) {
    IntrusiveList<Item> first;
    IntrusiveList<Item> second;
    Item a('a');
    Item b('b');
    Item c('c');
    first.push_back(a);
    second.push_back(b);
    second.push_back(c);
    first.splice_back(second);
    first.splice_back(second);
    EXPECT_TRUE(second.empty());
    EXPECT_EQ(names(first), "abc");
}

TEST(IntrusiveList, visiting_may_unlink_the_visited_object) {
    IntrusiveList<Item> list;
    Item a('a');
    Item b('b');
    list.push_back(a);
    list.push_back(b);
    list.for_each([](Item& item) { item.ListNode<Item>::unlink(); });
    EXPECT_TRUE(list.empty());
}

}  // namespace
