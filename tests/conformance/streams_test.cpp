// Reader and writer on a connection, in every column of transports: group S of asyncio's behaviour as
// far as it is about writing, flow control, ends and losses.
#include <sluice/streams.hpp>

#include "support/conformance.hpp"
#include "support/loop_fixture.hpp"

#include <memory>
#include <optional>
#include <string>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Streams : public ConformanceTest {
protected:
    /// The pair's connection, its recorder replaced by a reader and a writer.
    void open_streams(std::size_t limit = limits::stream_limit_bytes, PairOptions options = {}) {
        open_quietly(options);
        reader_.emplace(limit);
        auto protocol = std::make_unique<StreamReaderProtocol>(*reader_);
        protocol->connection_made(transport());
        writer_.emplace(*reader_);
        recorded_ = transport().exchange_protocol(std::move(protocol));
    }
    void release_resources() override {
        writer_.reset();
        reader_.reset();
        recorded_.reset();
        ConformanceTest::release_resources();
    }

    template <class Awaiter>
    auto start(Awaiter awaiter) {
        auto handle = loop().create_task(as_task(std::move(awaiter)));
        run_idle();
        return handle;
    }
    template <class T>
    T finish(TaskHandle<T> handle) {
        if (!run_until([&handle] { return handle.done(); })) {
            throw std::runtime_error("the task did not end");
        }
        return handle.result();
    }
    template <class Awaiter>
    auto now(Awaiter awaiter) {
        return finish(loop().create_task(as_task(std::move(awaiter))));
    }
    [[nodiscard]] StreamReader& reader() { return *reader_; }
    [[nodiscard]] StreamWriter& writer() { return *writer_; }

    std::optional<StreamReader> reader_;
    std::optional<StreamWriter> writer_;
    std::unique_ptr<StreamProtocol> recorded_;
};
INSTANTIATE_TEST_SUITE_P(Every, Streams,
                         testing::ValuesIn(conformance_cases(ProtocolKind::buffered)), case_name);

std::vector<ConformanceCase> buffered_cases_with_tls() {
    std::vector<ConformanceCase> cases = conformance_cases_with_tls();
    std::erase_if(
        cases, [](const ConformanceCase& each) { return each.protocol != ProtocolKind::buffered; });
    return cases;
}

class StreamsOverTls : public Streams {};
INSTANTIATE_TEST_SUITE_P(Every, StreamsOverTls, testing::ValuesIn(buffered_cases_with_tls()),
                         case_name);

TEST_P(Streams, lines_come_and_go) {
    open_streams();
    peer_sends("hello\nworld\n");
    EXPECT_EQ(now(reader().readline()), "hello\n");
    EXPECT_EQ(now(reader().readuntil_view("\n")), "world\n");
    writer().write("one ");
    writer().writelines({"two ", "three ", "four"});
    now(writer().drain());
    peer_receives(18);
    EXPECT_EQ(peer().received(), "one two three four");
}

TEST_P(Streams, S381_everything_to_the_end) {
    open_streams();
    const std::string all = pattern(300'000);
    auto reading = start(reader().read());
    peer_sends(all);
    peer().shutdown_write();
    EXPECT_EQ(finish(reading), all);
    EXPECT_TRUE(reader().at_eof());
}

TEST_P(Streams, more_than_twice_the_limit_pauses_reading_and_reading_goes_on_by_reading) {
    open_streams(1000);
    const std::string all = pattern(200'000);
    auto sending = [this, &all, sent = std::size_t{0}]() mutable {
        sent += peer().send_some(std::string_view(all).substr(sent));
        return sent == all.size();
    };
    for (int i = 0; i < 50; ++i) {
        sending();
        loop().run_once();
    }
    EXPECT_GT(reader().buffered(), 1000u);
    EXPECT_LE(reader().buffered(), 2001u);
    EXPECT_FALSE(transport().is_reading());
    std::string seen;
    while (seen.size() < all.size()) {
        sending();
        seen += now(reader().read_some());
        ASSERT_LE(reader().buffered(), 2001u);
    }
    EXPECT_EQ(seen, all);
}

TEST_P(Streams, readexactly_beyond_the_limit_reads_on) {
    open_streams(100);
    const std::string all = pattern(50'000);
    auto reading = start(reader().readexactly_view(50'000));
    peer_sends(all);
    EXPECT_EQ(finish(reading), all);
}

// ---- drain ----

TEST_P(Streams, drain_waits_while_too_much_is_unsent_and_wakes_every_waiter) {
    open_streams(1000, {.small_buffers = true});
    now(writer().drain());
    const std::string much = pattern(4'000'000);
    writer().write(much);
    auto first = start(writer().drain());
    auto second = start(writer().drain());
    EXPECT_FALSE(first.done());
    EXPECT_FALSE(second.done());
    peer_receives(much.size());
    finish(first);
    finish(second);
    EXPECT_EQ(peer().received(), much);
}

TEST_P(Streams, a_cancelled_drain_leaves_the_others_waiting) {
    open_streams(1000, {.small_buffers = true});
    const std::string much = pattern(4'000'000);
    writer().write(much);
    auto first = start(writer().drain());
    auto second = start(writer().drain());
    EXPECT_TRUE(first.cancel());
    run_idle();
    EXPECT_TRUE(first.cancelled());
    EXPECT_FALSE(second.done());
    peer_receives(much.size());
    finish(second);
}

TEST_P(Streams, S376_drain_on_a_broken_connection_throws_and_wakes_who_waits) {
    open_streams(1000, {.small_buffers = true});
    writer().write(pattern(4'000'000));
    auto waiting = start(writer().drain());
    EXPECT_FALSE(waiting.done());
    peer().reset();
    EXPECT_THROW(finish(waiting), std::system_error);
    EXPECT_THROW(now(writer().drain()), std::system_error);
    EXPECT_THROW(now(reader().read_some()), std::system_error);
    EXPECT_THROW(now(writer().wait_closed()), std::system_error);
}

Task<int> write_for_ever(StreamWriter writer) {
    for (int count = 0;; ++count) {
        writer.write("data");
        try {
            co_await writer.drain();
        } catch (const std::system_error& error) {
            co_return error.code() == std::errc::connection_reset ? count : -1;
        }
    }
}

TEST_P(Streams, S378_a_loop_of_write_and_drain_ends_after_close) {
    open_streams();
    auto writing = loop().create_task(write_for_ever(writer()));
    writer().transport().abort();
    EXPECT_GE(finish(writing), 0);
}

TEST_P(Streams, drain_throws_the_exception_of_the_reader) {
    open_streams();
    reader().set_exception(std::make_exception_ptr(std::range_error("mine")));
    EXPECT_THROW(now(writer().drain()), std::range_error);
}

// ---- the end ----

TEST_P(Streams, S377_wait_closed_may_come_before_close_and_after_the_loss) {
    open_streams();
    auto first = start(writer().wait_closed());
    auto second = start(writer().wait_closed());
    EXPECT_FALSE(first.done());
    EXPECT_FALSE(writer().is_closing());
    writer().close();
    EXPECT_TRUE(writer().is_closing());
    finish(first);
    finish(second);
    now(writer().wait_closed());
}

TEST_P(Streams, S377_wait_closed_with_unread_data) {
    open_streams(10);
    peer_sends("more than twice the limit of ten bytes, which nobody reads");
    ASSERT_TRUE(run_until([&] { return reader().buffered() > 20; }));
    writer().close();
    now(writer().wait_closed());
    EXPECT_EQ(now(reader().read_some(4)), "more") << "the end comes after what was received";
}

TEST_P(Streams, a_cancelled_wait_closed_harms_nothing) {
    open_streams();
    auto waiting = start(writer().wait_closed());
    EXPECT_TRUE(waiting.cancel());
    run_idle();
    EXPECT_TRUE(waiting.cancelled());
    EXPECT_FALSE(writer().is_closing());
}

TEST_P(Streams, S379_a_waiting_read_ends_when_the_writer_closes) {
    open_streams();
    auto reading = start(reader().read());
    writer().close();
    EXPECT_EQ(finish(reading), "");
    EXPECT_TRUE(reader().at_eof());
}

TEST_P(Streams, S384_the_end_of_the_peers_stream_leaves_the_writing_half_where_there_are_two) {
    open_streams();
    peer_sends("question");
    peer().shutdown_write();
    EXPECT_EQ(now(reader().read()), "question");
    if (writer().can_write_eof()) {
        EXPECT_FALSE(writer().is_closing());
        writer().write("answer");
        writer().write_eof();
        EXPECT_EQ(peer_receives_everything(), "answer");
    } else {
        EXPECT_THROW(writer().write_eof(), std::logic_error);
        now(writer().wait_closed());
    }
}

TEST_P(StreamsOverTls, a_stream_without_close_notify_is_read_to_its_end_and_then_called_cut_short) {
    open_streams();
    auto closed = start(writer().wait_closed());
    peer_sends("one\ntwo");
    ASSERT_TRUE(run_until([&] { return reader().buffered() == 7; }));
    peer().shutdown_write_raw();
    ASSERT_TRUE(run_until([&] { return closed.done(); }));
    EXPECT_EQ(caught<std::system_error>([&] { closed.result(); })->code(), Error::tls_truncated);
    EXPECT_EQ(now(reader().readline()), "one\n");
    EXPECT_EQ(now(reader().read()), "two");
    EXPECT_TRUE(reader().at_eof());
    EXPECT_EQ(caught<std::system_error>([&] { now(writer().drain()); })->code(),
              Error::tls_truncated);
}

TEST_P(Streams, the_last_writer_closes_the_connection) {
    open_streams();
    StreamWriter second = writer();
    {
        const StreamWriter third(second);
        EXPECT_TRUE(third == second);
    }
    EXPECT_FALSE(second.is_closing());
    auto drop_both = [](std::optional<StreamWriter>& first, StreamWriter other) -> Task<void> {
        first.reset();
        co_await sleep(0ns);
        EXPECT_FALSE(other.is_closing());
    };
    auto dropping = loop().create_task(drop_both(writer_, std::move(second)));
    ASSERT_TRUE(run_until([&] { return dropping.done(); }));
    EXPECT_FALSE(transport().is_closing()) << "a handle keeps the task's parameters";
    dropping = TaskHandle<void>();
    EXPECT_TRUE(transport().is_closing());
    writer_.emplace(*reader_);
}

Task<> drop(std::optional<StreamWriter>& writer) {
    writer.reset();
    co_return;
}

TEST_P(Streams, debug_mode_reports_a_writer_that_nobody_closed) {
    open_streams();
    loop().set_debug(true);
    finish(loop().create_task(drop(writer_)));
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_THAT(reports[0].message, HasSubstr("a StreamWriter was dropped without close()"));
    EXPECT_TRUE(transport().is_closing());
    writer_.emplace(*reader_);
    now(writer().wait_closed());
}

TEST_P(Streams, what_is_known_about_the_connection) {
    open_streams();
    EXPECT_EQ(&writer().transport(), &transport());
    EXPECT_EQ(writer().get_extra_info(extra::peername),
              transport().get_extra_info(extra::peername));
    const StreamReader unconnected;
    EXPECT_THROW(StreamWriter(unconnected).write("x"), std::logic_error);
}

// ---- hostile peers ----

TEST_P(Streams, J_a_line_without_an_end_is_refused_with_bounded_memory) {
    open_streams(1000);
    auto reading = start(reader().readuntil('\n'));
    const std::string flood(200'000, 'x');
    std::size_t sent = 0;
    ASSERT_TRUE(run_until([&] {
        sent += peer().send_some(std::string_view(flood).substr(sent));
        return reading.done();
    }));
    EXPECT_THROW(reading.result(), LimitOverrunError);
    for (int i = 0; i < 50; ++i) {
        sent += peer().send_some(std::string_view(flood).substr(sent));
        loop().run_once();
    }
    EXPECT_LE(reader().buffered(), 2001u);
}

TEST_P(Streams, J_a_slow_drip_of_one_line) {
    open_streams();
    auto reading = start(reader().readline());
    const std::string line = pattern(200) + "\n";
    const std::string expected = line.substr(0, line.find('\n') + 1);
    for (const char byte : expected) {
        EXPECT_FALSE(reading.done());
        peer_sends(std::string(1, byte));
        loop().run_once();
    }
    EXPECT_EQ(finish(reading), expected);
}

}  // namespace
}  // namespace sluice::test
