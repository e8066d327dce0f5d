// The list of connections that keep their working memory: who is warm, and who cools for whom.
#include <sluice/detail/warm_list.hpp>

#include <deque>

#include <gtest/gtest.h>

namespace {

using sluice::detail::Warm;
using sluice::detail::WarmList;

class Connection final : public Warm {
public:
    void cool() noexcept override { ++times_cooled; }
    int times_cooled = 0;
};

class WarmListTest : public testing::Test {
protected:
    static constexpr std::size_t most = 3;

    ~WarmListTest() override {
        for (Connection& connection : connections) {
            list.remove(connection);
        }
    }
    void fill() {
        for (std::size_t i = 0; i < most; ++i) {
            ASSERT_TRUE(list.touch(connections[i]));
        }
    }
    /// Touches `newcomer` until it is warm; how often.
    unsigned knock(Connection& newcomer) {
        unsigned times = 1;
        while (!list.touch(newcomer) && times < 10'000) {
            ++times;
        }
        return times;
    }

    WarmList list{most};
    std::deque<Connection> connections{6};
};

TEST_F(WarmListTest, a_connection_becomes_warm_once_while_there_is_room) {
    fill();
    EXPECT_FALSE(list.touch(connections[0])) << "it is warm already";
    for (const Connection& connection : connections) {
        EXPECT_EQ(connection.times_cooled, 0);
    }
}

TEST_F(WarmListTest, of_a_full_list_the_one_idle_for_longest_makes_room_after_some_refusals) {
    fill();
    list.touch(connections[0]);
    EXPECT_EQ(knock(connections[3]), sluice::limits::tls_warm_refusals + 1);
    EXPECT_EQ(connections[1].times_cooled, 1);
    EXPECT_EQ(knock(connections[4]), sluice::limits::tls_warm_refusals + 1);
    EXPECT_EQ(connections[2].times_cooled, 1);
    EXPECT_EQ(connections[0].times_cooled, 0);
}

TEST_F(WarmListTest, more_busy_connections_than_room_hardly_disturb_each_other) {
    fill();
    int cooled = 0;
    for (int message = 0; message < 6'000; ++message) {
        list.touch(connections[static_cast<std::size_t>(message) % connections.size()]);
    }
    for (const Connection& connection : connections) {
        cooled += connection.times_cooled;
    }
    EXPECT_GT(cooled, 0) << "nobody new would ever be warm";
    EXPECT_LE(cooled, 6'000 / 64);
}

TEST_F(WarmListTest, removing_cools_once_and_makes_room) {
    fill();
    list.remove(connections[1]);
    list.remove(connections[1]);
    EXPECT_EQ(connections[1].times_cooled, 1);
    EXPECT_TRUE(list.touch(connections[5]));
    EXPECT_EQ(connections[0].times_cooled + connections[2].times_cooled, 0);
}

}  // namespace
