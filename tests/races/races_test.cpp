// Cancellation raced against completion at every kind of await, seed by seed.
//
// SLUICE_RACE_SEEDS says how many seeds all contests have together, SLUICE_RACE_FIRST_SEED where they
// begin. A seed does the same every time, so what fails is played again with its number and one seed:
//     SLUICE_RACE_FIRST_SEED=4711 SLUICE_RACE_SEEDS=1 build/release/tests/races_test --gtest_filter=...
#include "races/races.hpp"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace sluice::test {

const std::vector<Contest>& contests() {
    static const std::vector<Contest> all{
        {"queue", race_queue},
        {"lock", race_lock},
        {"semaphore", race_semaphore},
        {"event", race_event},
        {"condition", race_condition},
        {"sleep", race_sleep},
        {"future", race_future},
        {"task_handle", race_task_handle},
        {"families", race_families},
        {"wait", race_wait},
        {"as_completed", race_as_completed},
        {"jobs", race_jobs},
        {"stream_reader", race_stream_reader},
        {"drain", race_drain},
        {"connect", race_connect},
        {"sock_recv", race_sock_recv},
        {"sock_accept", race_sock_accept},
    };
    return all;
}

namespace {

constexpr std::uint64_t usual_seeds = 2'000;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Races : public testing::TestWithParam<Contest> {};

TEST_P(Races, nothing_is_lost_doubled_or_left_whatever_is_cancelled_when) {
    const std::uint64_t first = number_from("SLUICE_RACE_FIRST_SEED", 1);
    const std::uint64_t all = number_from("SLUICE_RACE_SEEDS", usual_seeds);
    const std::uint64_t seeds = std::max<std::uint64_t>(1, all / contests().size());
    for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
        Race race(seed);
        GetParam().play(race);
        ASSERT_EQ(race.problem(), "") << "seed " << seed;
    }
}

INSTANTIATE_TEST_SUITE_P(Every, Races, testing::ValuesIn(contests()),
                         [](const testing::TestParamInfo<Contest>& contest) {
                             return std::string(contest.param.name);
                         });

}  // namespace

}  // namespace sluice::test
