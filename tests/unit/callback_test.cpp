// The move-only callable.
#include <sluice/callback.hpp>

#include <array>
#include <memory>

#include <gtest/gtest.h>

namespace {

using sluice::Callback;

TEST(Callback, is_empty_by_default_and_after_being_moved_from) {
    Callback empty;
    EXPECT_FALSE(empty);
    Callback full([] {});
    Callback taken = std::move(full);
    EXPECT_FALSE(full);  // NOLINT(bugprone-use-after-move): that it is empty is the point.
    EXPECT_TRUE(taken);
}

TEST(Callback, calls_small_and_large_closures_alike) {
    int calls = 0;
    Callback small([&calls] { ++calls; });
    std::array<char, 200> payload{};
    payload[199] = 5;
    Callback large([&calls, payload] { calls += payload[199]; });
    small();
    large();
    Callback moved = std::move(large);
    moved();
    EXPECT_EQ(calls, 11);
}

TEST(Callback, accepts_closures_that_cannot_be_copied) {
    auto value = std::make_unique<int>(42);
    int seen = 0;
    Callback callback([value = std::move(value), &seen] { seen = *value; });
    callback();
    EXPECT_EQ(seen, 42);
}

TEST(Callback, destroys_its_closure_exactly_once) {
    auto token = std::make_shared<int>(0);
    {
        Callback first([token] {});
        Callback second = std::move(first);
        Callback third;
        third = std::move(second);
        EXPECT_EQ(token.use_count(), 2);
        third.reset();
        EXPECT_EQ(token.use_count(), 1);
        std::array<char, 200> payload{};
        Callback large([token, payload] { static_cast<void>(payload); });
        large = Callback([token] {});
        EXPECT_EQ(token.use_count(), 2);
    }
    EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
