// When a writer is paused and resumed.
#include <sluice/detail/watermarks.hpp>

#include <gtest/gtest.h>

namespace {

using sluice::WriteBufferLimits;
using sluice::detail::Watermarks;

WriteBufferLimits bounds_after(std::optional<std::size_t> high, std::optional<std::size_t> low) {
    Watermarks watermarks;
    watermarks.set(high, low);
    return watermarks.bounds();
}

TEST(Watermarks, fill_in_what_is_left_out_as_asyncio_does) {
    EXPECT_EQ(bounds_after({}, {}), (WriteBufferLimits{.low = 16384, .high = 65536}));
    EXPECT_EQ(bounds_after(1000, {}), (WriteBufferLimits{.low = 250, .high = 1000}));
    EXPECT_EQ(bounds_after({}, 100), (WriteBufferLimits{.low = 100, .high = 400}));
    EXPECT_EQ(bounds_after(0, {}), (WriteBufferLimits{.low = 0, .high = 0}));
}

TEST(Watermarks, refuse_a_high_mark_below_the_low_one_and_name_both) {
    try {
        bounds_after(10, 11);
        FAIL() << "accepted";
    } catch (const std::invalid_argument& error) {
        EXPECT_STREQ(error.what(), "high (10) must be >= low (11)");
    }
}

TEST(Watermarks, pause_above_high_and_resume_at_low_once_each) {
    Watermarks watermarks;
    watermarks.set(100, 10);
    EXPECT_FALSE(watermarks.should_pause(100));
    EXPECT_TRUE(watermarks.should_pause(101));
    EXPECT_FALSE(watermarks.should_pause(500));
    EXPECT_FALSE(watermarks.should_resume(11));
    EXPECT_TRUE(watermarks.should_resume(10));
    EXPECT_FALSE(watermarks.should_resume(0));
}

}  // namespace
