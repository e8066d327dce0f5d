// Group C of semantics.md, buffered protocols, with the pitfalls of its 2.10 and reliability.md G7.
//
// C39 (a read-only buffer) cannot be written in C++: the type is MutableBytes. C45 (a protocol that
// decides per object) is a matter of the class here.
#include "support/conformance.hpp"

#include <array>

namespace sluice::test {
namespace {

class Buffered : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Buffered,
                         testing::ValuesIn(conformance_cases(ProtocolKind::buffered)), case_name);

TEST_P(Buffered, C035_a_buffered_protocol_is_recognised_whoever_makes_the_connection) {
    for (const Via via : {Via::connect, Via::adopt, Via::accept_socket, Via::server}) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        std::array<std::byte, 16> memory{};
        const void* filled_at = nullptr;
        events.on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
        events.on_data = [&](Bytes bytes) { filled_at = bytes.data(); };
        TransportPair& connection = another(events);
        open(connection, {.via = via});
        connection.peer().send("hello");
        ASSERT_TRUE(run_until([&] { return events.received() == "hello"; }));
        EXPECT_EQ(filled_at, memory.data());
    }
}

TEST_P(Buffered, C036_the_hint_never_exceeds_what_waits) {
    open_quietly();
    peer().send("0123456789");
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == 10; }));
    for (const std::size_t hint : recorder().hints()) {
        EXPECT_LE(hint, 10U);
    }
}

TEST_P(Buffered, C037_an_exception_in_get_buffer_is_fatal_and_reported) {
    open_quietly();
    recorder().on_get_buffer = [](std::size_t) -> MutableBytes {
        throw std::runtime_error("no buffer today");
    };
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(callback_failed)");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "no buffer today");
}

TEST_P(Buffered, C037_an_exception_in_buffer_updated_is_fatal_and_reported) {
    recorder().on_data = [](Bytes) { throw std::runtime_error("not this"); };
    open_quietly();
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 L(callback_failed)");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "not this");
}

TEST_P(Buffered, C038_rel_G7_an_empty_buffer_is_fatal_with_an_error_that_says_so) {
    open_quietly();
    recorder().on_get_buffer = [](std::size_t) { return MutableBytes(); };
    const std::size_t asked_before = recorder().hints().size();
    peer().send("abc");
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(empty_buffer)");
    EXPECT_EQ(recorder().hints().size() - asked_before, 1U) << "asked again after an empty buffer";
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U) << "a protocol's mistake goes to the exception handler";
    EXPECT_TRUE(reports[0].error == Error::empty_buffer ||
                reports[0].what.find("buffer") != std::string::npos);
}

TEST_P(Buffered, C040_an_end_of_stream_fills_no_buffer) {
    open_quietly();
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(Buffered, C042_a_small_buffer_is_filled_as_often_as_it_takes) {
    std::array<std::byte, 3> memory{};
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
    open_quietly();
    peer().send("0123456789");
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == 10; }));
    EXPECT_EQ(recorder().received(), "0123456789");
    EXPECT_EQ(recorder().trace(), "D3 D3 D3 D1");
}

TEST_P(Buffered, C042_a_buffer_of_one_byte_works) {
    std::byte memory{};
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(&memory, 1); };
    open_quietly();
    const std::string sent = pattern(5000);
    peer().send(sent);
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == sent.size(); }));
    EXPECT_EQ(recorder().received(), sent);
    EXPECT_EQ(recorder().chunks().size(), sent.size());
}

TEST_P(Buffered, C042_nothing_is_written_past_the_bytes_that_are_reported) {
    std::array<std::byte, 64> memory{};
    memory.fill(std::byte{0xEE});
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory).first(8); };
    open_quietly();
    peer().send("abcde");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abcde"; }));
    for (std::size_t i = 8; i < memory.size(); ++i) {
        EXPECT_EQ(memory[i], std::byte{0xEE}) << i;
    }
}

TEST_P(Buffered, C044_pausing_in_buffer_updated_stops_the_reading) {
    std::array<std::byte, 4> memory{};
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
    recorder().on_data = [&](Bytes) { transport().pause_reading(); };
    open_quietly();
    peer().send("0123456789");
    ASSERT_TRUE(run_until([&] { return recorder().count('D') == 1; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "D4");
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().count('D') == 2; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "D4 D4");
    EXPECT_EQ(recorder().received(), "01234567");
}

TEST_P(Buffered, C044_closing_in_buffer_updated_stops_the_reading) {
    std::array<std::byte, 4> memory{};
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
    recorder().on_data = [&](Bytes) { transport().close(); };
    open_quietly();
    peer().send("0123456789");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D4 L(None)");
}

TEST_P(Buffered, closing_in_get_buffer_delivers_nothing_more) {
    open_quietly();
    std::array<std::byte, 16> memory{};
    recorder().on_get_buffer = [&](std::size_t) {
        transport().close();
        return MutableBytes(memory);
    };
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Buffered, StopLoop_from_get_buffer_leaves_the_run_and_loses_nothing) {
    open_quietly();
    std::array<std::byte, 16> memory{};
    bool stop = true;
    recorder().on_get_buffer = [&](std::size_t) {
        if (std::exchange(stop, false)) {
            throw StopLoop();
        }
        return MutableBytes(memory);
    };
    peer().send("abc");
    EXPECT_THROW(loop().run_forever(), StopLoop);
    EXPECT_FALSE(transport().is_closing());
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    EXPECT_TRUE(take_reports().empty()) << "StopLoop is not an error";
}

TEST_P(Buffered, aborting_in_get_buffer_delivers_nothing_more) {
    open_quietly();
    std::array<std::byte, 16> memory{};
    recorder().on_get_buffer = [&](std::size_t) {
        transport().abort();
        return MutableBytes(memory);
    };
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Buffered, pausing_in_get_buffer_holds_the_bytes_back_without_losing_them) {
    open_quietly();
    std::array<std::byte, 16> memory{};
    bool pause = true;
    recorder().on_get_buffer = [&](std::size_t) {
        if (std::exchange(pause, false)) {
            transport().pause_reading();
        }
        return MutableBytes(memory);
    };
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return !pause; }));
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
}

TEST_P(Buffered, an_empty_buffer_together_with_close_is_just_a_close) {
    open_quietly();
    recorder().on_get_buffer = [&](std::size_t) {
        transport().close();
        return MutableBytes();
    };
    peer().send("abc");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

class BufferedPlain : public Buffered {};

INSTANTIATE_TEST_SUITE_P(Every, BufferedPlain,
                         testing::ValuesIn(without_tls(conformance_cases(ProtocolKind::buffered))),
                         case_name);

TEST_P(BufferedPlain, a_large_buffer_is_filled_by_one_read) {
    std::vector<std::byte> memory(1024 * 1024);
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
    open_quietly();
    transport().pause_reading();
    const std::string sent = pattern(64 * 1024);
    peer_sends(sent);
    ASSERT_TRUE(wait_for_arrival(fd_of(transport()), sent.size()));
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().count('D') > 0; }));
    EXPECT_EQ(recorder().received(), sent);
    EXPECT_EQ(recorder().chunks().size(), 1U);
}

}  // namespace
}  // namespace sluice::test
