// Buffers: immutable bytes with a shared owner.
#include <sluice/buffer.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

using sluice::as_text;
using sluice::Buffer;

TEST(Buffer, takes_strings_and_vectors_over_without_copying_them) {
    std::string text(100, 'x');
    const void* address = text.data();
    const Buffer from_text(std::move(text));
    EXPECT_EQ(from_text.bytes().data(), address);

    std::vector<std::uint8_t> bytes(100, 7);
    address = bytes.data();
    const Buffer from_vector(std::move(bytes));
    EXPECT_EQ(from_vector.bytes().data(), address);
}

TEST(Buffer, a_short_string_survives_moving_the_buffer) {
    Buffer first(std::string("short"));
    const Buffer second = std::move(first);
    EXPECT_EQ(as_text(second.bytes()), "short");
}

TEST(Buffer, copies_share_the_owner) {
    auto owner = std::make_shared<std::string>("bytes");
    Buffer first(sluice::as_bytes(*owner), owner);
    Buffer second = first;
    EXPECT_EQ(owner.use_count(), 3);
    first = Buffer();
    second = Buffer();
    EXPECT_EQ(owner.use_count(), 1);
}

TEST(Buffer, slices_are_clamped_and_keep_the_owner_alive) {
    Buffer slice;
    {
        const Buffer whole = Buffer::copy("0123456789");
        slice = whole.slice(4, 3);
        EXPECT_EQ(as_text(whole.slice(8, 100).bytes()), "89");
        EXPECT_TRUE(whole.slice(11).empty());
        EXPECT_EQ(whole.slice(0).size(), 10U);
    }
    EXPECT_EQ(as_text(slice.bytes()), "456");
}

}  // namespace
