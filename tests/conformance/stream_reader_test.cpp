// StreamReader fed by hand: group S of asyncio's behaviour as far as it needs no connection.
#include <sluice/gather.hpp>
#include <sluice/streams.hpp>
#include <sluice/timeout.hpp>

#include "support/reader_fixture.hpp"

#include <stdexcept>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class Reader : public ReaderTest {};
INSTANTIATE_TEST_SUITE_P(Every, Reader, testing::ValuesIn(backends()), backend_case_name);

const std::string line1 = "line1\n";

// ---- read ----

TEST_P(Reader, S365_read_of_nothing_gives_nothing_at_once) {
    feed("abc");
    EXPECT_EQ(read(reader_.read(0)), "");
    EXPECT_EQ(reader_.buffered(), 3u);
}

TEST_P(Reader, S365_read_gives_what_is_there_up_to_the_count) {
    auto reading = start(reader_.read(30));
    EXPECT_FALSE(reading.done());
    feed(line1);
    EXPECT_EQ(finish(reading), line1);
    feed("abcdef");
    EXPECT_EQ(read(reader_.read(4)), "abcd");
    EXPECT_EQ(read(reader_.read(4)), "ef");
}

TEST_P(Reader, S365_read_at_the_end_of_the_stream_gives_nothing) {
    auto reading = start(reader_.read(1024));
    reader_.feed_eof();
    EXPECT_EQ(finish(reading), "");
    EXPECT_EQ(read(reader_.read_some()), "");
    EXPECT_EQ(read(reader_.read()), "");
}

TEST_P(Reader, S365_read_without_a_count_joins_everything_to_the_end) {
    auto reading = start(limited(3).read(-1));
    feed("chunk1\n");
    run_idle();
    EXPECT_FALSE(reading.done());
    feed_all("chunk2");
    EXPECT_EQ(finish(reading), "chunk1\nchunk2");
}

TEST_P(Reader, read_some_gives_all_there_is) {
    feed("one");
    feed("two");
    EXPECT_EQ(read(reader_.read_some(4)), "onet");
    EXPECT_EQ(read(reader_.read_some()), "wo");
}

// ---- lines ----

TEST_P(Reader, S366_readline_joins_chunks_and_leaves_the_rest) {
    feed("chunk1 ");
    auto reading = start(reader_.readline());
    feed("chunk2 ");
    feed("chunk3 ");
    feed("\n chunk4");
    EXPECT_EQ(finish(reading), "chunk1 chunk2 chunk3 \n");
    EXPECT_EQ(reader_.buffered(), 7u);
}

TEST_P(Reader, S366_a_line_at_the_limit_is_read) {
    limited(3);
    feed("xxx\n");
    EXPECT_EQ(read(reader_.readline()), "xxx\n");
}

TEST_P(Reader, S366_a_line_beyond_the_limit_is_dropped_and_the_next_one_read) {
    limited(3);
    feed("chunk1\nok\n");
    EXPECT_THAT(message_of<LineTooLongError>([&] { read(reader_.readline()); }),
                HasSubstr("Separator is found, but chunk is longer than limit"));
    EXPECT_EQ(read(reader_.readline()), "ok\n");
}

TEST_P(Reader, S366_of_a_line_beyond_the_limit_without_an_end_all_is_dropped) {
    limited(7);
    feed("chunk1");
    auto reading = start(reader_.readline());
    feed("chunk2");
    EXPECT_THAT(message_of<LineTooLongError>([&] { finish(reading); }),
                HasSubstr("Separator is not found"));
    EXPECT_EQ(reader_.buffered(), 0u);
    feed("chunk3\n");
    EXPECT_EQ(read(reader_.readline()), "chunk3\n");
}

TEST_P(Reader, S366_the_last_line_may_have_no_end_and_the_end_is_empty) {
    feed_all("some data");
    EXPECT_EQ(read(reader_.readline()), "some data");
    EXPECT_EQ(read(reader_.readline()), "");
}

Task<std::vector<std::string>> all_lines(StreamReader reader) {
    std::vector<std::string> lines;
    for (auto line = co_await reader.next_line(); line; line = co_await reader.next_line()) {
        lines.push_back(*line);
    }
    co_return lines;
}

TEST_P(Reader, S366_next_line_gives_the_lines_without_their_ends) {
    feed("one\ntwo\r\n\n");
    auto reading = loop().create_task(all_lines(reader_));
    run_idle();
    feed_all("last");
    EXPECT_THAT(finish(reading), ElementsAre("one", "two", "", "last"));
}

Task<std::size_t> total_of_views(StreamReader reader) {
    std::size_t total = 0;
    auto line = co_await reader.next_line_view();
    while (line) {
        total += line->size();
        line = co_await reader.next_line_view();
    }
    co_return total;
}

TEST_P(Reader, views_of_lines) {
    feed_all("one\ntwo\nthree");
    EXPECT_EQ(run(total_of_views(reader_)), 11u);
}

// ---- readexactly ----

TEST_P(Reader, S371_readexactly_of_nothing_and_of_less_than_nothing) {
    feed(line1);
    EXPECT_EQ(read(reader_.readexactly(0)), "");
    EXPECT_THAT(message_of<std::invalid_argument>([&] { read(reader_.readexactly(-1)); }),
                HasSubstr("-1"));
    EXPECT_EQ(reader_.buffered(), line1.size());
}

TEST_P(Reader, S371_readexactly_waits_for_all_and_leaves_the_rest) {
    auto reading = start(reader_.readexactly(2 * 6));
    feed(line1);
    run_idle();
    EXPECT_FALSE(reading.done());
    feed(line1);
    feed(line1);
    EXPECT_EQ(finish(reading), line1 + line1);
    EXPECT_EQ(reader_.buffered(), line1.size());
}

TEST_P(Reader, S371_readexactly_beyond_the_limit_is_no_error) {
    limited(3);
    auto reading = start(reader_.readexactly(7));
    feed("chunk");
    feed("12345");
    EXPECT_EQ(finish(reading), "chunk12");
}

TEST_P(Reader, S371_readexactly_at_the_end_gives_the_partial_bytes) {
    auto reading = start(reader_.readexactly(12));
    feed_all(line1);
    const auto error = caught<IncompleteReadError>([&] { finish(reading); });
    EXPECT_EQ(error->partial(), line1);
    EXPECT_EQ(error->expected(), 12u);
    EXPECT_STREQ(error->what(), "6 bytes read on a total of 12 expected bytes");
    EXPECT_TRUE(reader_.at_eof()) << "the partial bytes are gone";
}

// ---- exceptions, ends, misuse ----

TEST_P(Reader, S372_a_stored_exception_ends_the_waiting_read_and_every_later_one) {
    EXPECT_EQ(reader_.exception(), nullptr);
    auto reading = start(reader_.readline());
    reader_.set_exception(std::make_exception_ptr(std::range_error("mine")));
    EXPECT_EQ(message_of<std::range_error>([&] { finish(reading); }), "mine");
    feed("line\n");
    EXPECT_THROW(read(reader_.readline()), std::range_error) << "although a line is there";
    EXPECT_THROW(read(reader_.read(0)), std::range_error);
    EXPECT_THROW(read(reader_.readexactly(2)), std::range_error);
    EXPECT_THROW(read(reader_.read()), std::range_error);
    EXPECT_THROW(read(reader_.readuntil("x")), std::range_error);
}

TEST_P(Reader, S372_an_exception_after_the_cancellation_of_the_read_harms_nobody) {
    auto reading = start(reader_.readline());
    reading.cancel();
    reader_.set_exception(std::make_exception_ptr(std::range_error("mine")));
    run_idle();
    EXPECT_TRUE(reading.cancelled());
}

TEST_P(Reader, S373_a_limit_of_zero_is_refused) {
    EXPECT_THROW(StreamReader(0), std::invalid_argument);
}

TEST_P(Reader, S374_at_eof_only_when_all_is_read) {
    EXPECT_FALSE(reader_.at_eof());
    feed_all("some data\n");
    EXPECT_FALSE(reader_.at_eof());
    read(reader_.readline());
    EXPECT_TRUE(reader_.at_eof());
}

TEST_P(Reader, S383_J4_a_second_read_while_one_waits_is_refused_and_the_first_goes_on) {
    auto first = start(reader_.readline());
    EXPECT_EQ(message_of<std::logic_error>([&] { read(reader_.readexactly(1)); }),
              "readexactly() called while another coroutine is already waiting for incoming data");
    EXPECT_THROW(read(reader_.read_some()), std::logic_error);
    feed(line1);
    EXPECT_EQ(finish(first), line1);
}

Task<std::string> await_the_same_twice(StreamReader reader) {
    auto three = reader.readexactly(3);
    const std::string first = co_await three;
    auto until = reader.readuntil("/");
    const std::string second = co_await until;
    const std::string third = co_await three;
    const std::string fourth = co_await until;
    co_return first + second + third + fourth;
}

TEST_P(Reader, a_read_that_is_awaited_twice_reads_twice) {
    auto reading = loop().create_task(await_the_same_twice(reader_));
    for (const char byte : std::string("abcd/efgh/")) {
        run_idle();
        EXPECT_FALSE(reading.done());
        feed(std::string(1, byte));
    }
    EXPECT_EQ(finish(reading), "abcd/efgh/");
}

// ---- cancelling ----

TEST_P(Reader, cancelling_a_read_loses_no_byte) {
    feed("half of ");
    auto reading = start(reader_.readline());
    EXPECT_TRUE(reading.cancel());
    run_idle();
    EXPECT_TRUE(reading.cancelled());
    feed("a line\n");
    EXPECT_EQ(read(reader_.readline()), "half of a line\n");
}

TEST_P(Reader, cancelling_a_read_that_is_answered_but_has_not_run_loses_no_byte) {
    auto reading = start(reader_.readline());
    feed(line1);
    EXPECT_TRUE(reading.cancel());
    run_idle();
    EXPECT_TRUE(reading.cancelled());
    EXPECT_EQ(read(reader_.readline()), line1);
}

Task<std::string> read_with_patience(StreamReader reader) {
    Task<std::string> limited = timeout(1ms, reader.readline());
    std::string problem;
    try {
        const std::string line = co_await limited;
        co_return line;
    } catch (const TimeoutError&) {
        problem = "late: ";
    }
    Task<std::string> again = timeout(1h, reader.readline());
    const std::string line = co_await again;
    co_return problem + line;
}

TEST_P(Reader, a_read_that_takes_too_long_loses_no_byte) {
    feed("half of ");
    auto reading = loop().create_task(read_with_patience(reader_));
    ASSERT_TRUE(run_until([&] { return loop().next_timeout() > Duration(1min); }));
    feed("a line\nrest");
    EXPECT_EQ(finish(reading), "late: half of a line\n");
    EXPECT_EQ(reader_.buffered(), 4u);
}

TEST_P(Reader, a_read_that_arrives_in_time_is_what_timeout_gives) {
    feed(line1);
    EXPECT_EQ(run(timeout(1h, reader_.readline())), line1);
    EXPECT_EQ(run(timeout(0s, reader_.read(0))), "");
}

Task<std::string> read_both(StreamReader first, StreamReader second) {
    auto both = gather(first.readline(), second.next_line());
    const auto [one, two] = co_await both;
    co_return one + *two;
}

TEST_P(Reader, reads_of_two_streams_are_gathered) {
    const StreamReader other;
    auto reading = loop().create_task(read_both(reader_, other));
    run_idle();
    other.feed_data("two\n");
    feed("one\n");
    EXPECT_EQ(finish(reading), "one\ntwo");
}

TEST_P(Reader, a_loop_closed_while_a_read_waits_destroys_it) {
    auto reading = start(reader_.readexactly(5));
    destroy_loop();
    EXPECT_TRUE(reading.cancelled());
    reader_.feed_data("12345");
}

// ---- views and memory ----

Task<bool> view_outlives_arrivals(StreamReader reader) {
    const std::string_view view = co_await reader.readuntil_view("\n");
    const std::string copy(view);
    for (int i = 0; i < 100; ++i) {
        reader.feed_data(std::string(1000, 'x'));  // the block is replaced several times
    }
    const bool same = view == copy;
    const std::string_view next = co_await reader.readexactly_view(100'000);
    co_return same&& next == std::string(100'000, 'x');
}

TEST_P(Reader, a_view_is_valid_until_the_next_read_whatever_arrives) {
    feed(line1);
    EXPECT_TRUE(run(view_outlives_arrivals(reader_)));
}

Task<bool> read_pieces(StreamReader reader, std::string all) {
    std::string seen;
    std::size_t size = 1;
    while (seen.size() < all.size()) {
        const std::string_view piece = co_await reader.read_some_view(size);
        seen += piece;
        size = size * 7 % 4099 + 1;
    }
    co_return seen == all;
}

TEST_P(Reader, bytes_keep_their_order_through_blocks_of_every_size) {
    const std::string all = pattern(3'000'000);
    auto reading = loop().create_task(read_pieces(reader_, all));
    std::size_t size = 1;
    for (std::size_t at = 0; at < all.size(); at += size) {
        size = size * 13 % 30'011 + 1;
        feed(std::string_view(all).substr(at, size));
        loop().run_once();
    }
    EXPECT_TRUE(finish(reading));
}

}  // namespace
}  // namespace sluice::test
