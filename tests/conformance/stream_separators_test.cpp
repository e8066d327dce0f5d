// StreamReader::readuntil() fed by hand: one separator and several, across chunks, beyond the limit and at
// the end. Group S of asyncio's behaviour.
#include "support/reader_fixture.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using testing::HasSubstr;

class Separating : public ReaderTest {};
INSTANTIATE_TEST_SUITE_P(Every, Separating, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Separating, S367_readuntil_of_separators_across_chunks) {
    for (const std::string separator : {"B", "BB", "BBBBBBBBBB"}) {
        reader_ = StreamReader();
        auto reading = start(reader_.readuntil(separator));
        feed("AA");
        for (const char byte : separator) {
            EXPECT_FALSE(reading.done());
            feed(std::string(1, byte));
        }
        feed("rest");
        EXPECT_EQ(finish(reading), "AA" + separator);
        EXPECT_EQ(read(reader_.read(10)), "rest");
    }
}

TEST_P(Separating, S367_an_empty_separator_is_refused_at_once) {
    EXPECT_THROW(static_cast<void>(reader_.readuntil("")), std::invalid_argument);
    EXPECT_THROW(Separators("a", ""), std::invalid_argument);
    EXPECT_THROW(Separators(std::vector<std::string>()), std::invalid_argument);
}

TEST_P(Separating, S368_a_separator_behind_the_limit_leaves_the_data_where_it_is) {
    limited(3);
    feed("some dataAA");
    const auto error = caught<LimitOverrunError>([&] { read(reader_.readuntil("AA")); });
    EXPECT_THAT(error->what(), HasSubstr("found, but chunk is longer than limit"));
    EXPECT_EQ(error->consumed(), 9u);
    EXPECT_EQ(read(reader_.read(20)), "some dataAA");
}

TEST_P(Separating, S368_no_separator_within_the_limit_leaves_the_data_where_it_is) {
    limited(7);
    feed("some dataA");
    const auto error = caught<LimitOverrunError>([&] { read(reader_.readuntil("AA")); });
    EXPECT_THAT(error->what(), HasSubstr("not found, and chunk exceed the limit"));
    EXPECT_EQ(error->consumed(), 9u) << "the last A may be half of one";
    EXPECT_EQ(reader_.buffered(), 10u);
}

TEST_P(Separating, S369_the_end_inside_a_separator_gives_the_partial_bytes) {
    auto reading = start(reader_.readuntil("AAA"));
    feed_all("dataAA");
    const auto error = caught<IncompleteReadError>([&] { finish(reading); });
    EXPECT_EQ(error->partial(), "dataAA");
    EXPECT_EQ(error->expected(), std::nullopt);
    EXPECT_TRUE(reader_.at_eof());
}

TEST_P(Separating, S370_of_several_separators_the_one_that_ends_first_counts) {
    const Separators separators{"\r\n", "\n", "END"};
    feed("oneENDtwo\r\nthree\nfour");
    EXPECT_EQ(read(reader_.readuntil(separators)), "oneEND");
    EXPECT_EQ(read(reader_.readuntil(separators)), "two\r\n");
    EXPECT_EQ(read(reader_.readuntil(separators)), "three\n");
    auto reading = start(reader_.readuntil(separators));
    feed("EN");
    run_idle();
    EXPECT_FALSE(reading.done());
    feed("D");
    EXPECT_EQ(finish(reading), "fourEND");
}

TEST_P(Separating, S370_a_chunk_shorter_than_the_longest_separator_is_searched_again) {
    const Separators separators{"A", "long sep"};
    auto reading = start(reader_.readuntil(separators));
    feed("data");
    feed("A");
    EXPECT_EQ(finish(reading), "dataA");
    reading = start(reader_.readuntil(separators));
    feed("long");
    feed(" sep");
    EXPECT_EQ(finish(reading), "long sep");
}

/// asyncio's rule, by trial: the separator that ends first counts, of those the shortest. The end of
/// the first piece of `text`, or npos.
std::size_t first_piece(std::string_view text, const std::vector<std::string>& separators) {
    for (std::size_t end = 1; end <= text.size(); ++end) {
        for (const std::string& separator : separators) {
            if (text.substr(0, end).ends_with(separator)) {
                return end;
            }
        }
    }
    return std::string_view::npos;
}

TEST_P(Separating, S370_separators_that_begin_or_end_alike_in_pieces_of_every_size) {
    const std::vector<std::vector<std::string>> sets = {
        {"a", "ab", "abc"},    {"abc", "bc", "c"},
        {"aab", "ab", "aabb"}, {"ba", "ab"},
        {"\r\n", "\n", "\r"},  {"cabcabcab", "bcc"},
        {"aaaa", "aaab"},      {std::string(70, 'a'), "abca"}};
    unsigned seed = 1;
    const auto random = [&seed](std::size_t below) {
        seed = seed * 1'103'515'245U + 12'345U;
        return std::size_t{(seed >> 16U) % static_cast<unsigned>(below)};
    };
    for (int round = 0; round < 200; ++round) {
        const std::vector<std::string>& texts = sets[random(sets.size())];
        const Separators separators(texts);
        std::string left;
        // In some rounds one letter prevails, so that separators are rare and far behind.
        const std::size_t mix = round % 2 == 0 ? 4 : 40;
        for (int i = 0; i < 600; ++i) {
            left += "cab\r\n"[random(mix) >= 4 ? 0 : random(5)];
        }
        reader_ = StreamReader();
        std::size_t fed = 0;
        std::size_t read_bytes = 0;
        const std::string all = left;
        for (;;) {
            const std::size_t end = first_piece(left, texts);
            auto reading = loop().create_task(as_task(reader_.readuntil(separators)));
            loop().run_once();
            while (!reading.done() && fed < all.size()) {
                const std::size_t size = std::min(all.size() - fed, 1 + random(90));
                feed(std::string_view(all).substr(fed, size));
                fed += size;
                loop().run_once();
            }
            if (end == std::string_view::npos) {
                ASSERT_FALSE(reading.done());
                reading.cancel();
                run_idle();
                break;
            }
            ASSERT_EQ(finish(reading), left.substr(0, end)) << round << " at " << read_bytes;
            left.erase(0, end);
            read_bytes += end;
        }
        EXPECT_EQ(reader_.buffered(), left.size());
    }
}

TEST_P(Separating, a_separator_longer_than_the_limit_is_found) {
    const std::string separator(5000, 's');
    auto reading = start(limited(10).readuntil(separator));
    feed("text");
    for (std::size_t fed = 0; fed < separator.size(); fed += 100) {
        EXPECT_FALSE(reading.done());
        feed(std::string_view(separator).substr(fed, 100));
    }
    EXPECT_EQ(finish(reading), "text" + separator);
}

}  // namespace
}  // namespace sluice::test
