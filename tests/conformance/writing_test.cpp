// Groups E and F of semantics.md: write and writelines, what they promise about bytes and owners.
//
// How many system calls that takes is counted in gathering_test.cpp; calls that fail or fall short
// on command are in faults_test.cpp (E63, E64, E66, F82). E67, E73 and F89 (arguments of a wrong
// type or shape) are ruled out by the types.
#include "support/conformance.hpp"

#include <array>
#include <chrono>

namespace sluice::test {
namespace {

constexpr std::size_t twenty_megabytes = 20 * 1024 * 1024;

class Writing : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Writing, testing::ValuesIn(conformance_cases()), case_name);

class WritingHalf : public Writing {};

INSTANTIATE_TEST_SUITE_P(Every, WritingHalf, testing::ValuesIn(conformance_cases_with_half_close()),
                         case_name);

TEST_P(Writing, E059_outside_a_callback_bytes_leave_inside_the_call) {
    open_quietly();
    transport().write("now");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    // The loop has not run since.
    ASSERT_TRUE(wait_for_arrival(peer().fd(), 3));
    peer().receive_available();
    EXPECT_EQ(peer().received(), "now");
}

TEST_P(Writing, E060_all_forms_of_bytes_give_the_same_result_in_order) {
    open_quietly();
    static constexpr std::string_view literal = "static ";
    std::vector<unsigned char> vector{'v', 'e', 'c', ' '};
    std::array<std::byte, 2> array{std::byte{'a'}, std::byte{' '}};
    const auto write_all = [&] {
        transport().write("text ");
        transport().write(Bytes(array));
        transport().write(Buffer(std::string("string ")));
        transport().write(Buffer(std::vector<unsigned char>(vector)));
        transport().write_static(literal);
        transport().write(Buffer::copy("a slice of this").slice(2, 6));  // "slice "
    };
    write_all();
    in_callback(write_all);
    const std::string once = "text a string vec static slice ";
    const std::string whole = once + once;
    peer_receives(whole.size());
    EXPECT_EQ(peer().received(), whole);
}

TEST_P(Writing, E061_empty_writes_do_nothing) {
    open_quietly();
    const auto write_nothing = [&] {
        transport().write("");
        transport().write(Bytes());
        transport().write(Buffer());
        transport().write_static("");
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    };
    write_nothing();
    in_callback(write_nothing);
    transport().close();
    EXPECT_EQ(peer_receives_everything(), "");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Writing, E062_with_a_backlog_a_write_only_queues) {
    open_quietly({.small_buffers = true});
    plug();
    std::size_t expected = transport().get_write_buffer_size();
    for (const std::size_t size : {std::size_t{1}, std::size_t{100}, std::size_t{5000}}) {
        transport().write(pattern(size));
        expected += size;
        EXPECT_EQ(transport().get_write_buffer_size(), expected);
    }
    transport().write(Buffer(pattern(7000)));
    EXPECT_EQ(transport().get_write_buffer_size(), expected + 7000);
    static const std::string static_bytes = pattern(300);
    transport().write_static(static_bytes);
    EXPECT_EQ(transport().get_write_buffer_size(), expected + 7300);
}

TEST_P(Writing, E065_a_backlog_of_every_kind_of_segment_arrives_in_order) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    static const std::string static_bytes = pattern(50'000, 4);
    std::string expected;
    for (unsigned round = 0; round < 40; ++round) {
        const std::string copied = pattern(1 + round * 37, round);
        const std::string owned = pattern(1 + round * 511, round + 100);
        transport().write(copied);
        transport().write(Buffer(std::string(owned)));
        transport().write_static(static_bytes);
        transport().writelines({as_bytes(copied), as_bytes(owned)});
        expected += copied + owned + static_bytes + copied + owned;
    }
    transport().close();
    const std::string received = peer_receives_everything();
    ASSERT_EQ(received.size(), already + expected.size());
    EXPECT_TRUE(received.substr(already) == expected);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(Writing, E068_writes_after_the_loss_are_dropped_and_in_debug_mode_reported_when_many) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(std::chrono::hours(1));  // the machine may be slow
    open_quietly();
    transport().close();
    run_until_lost();
    for (unsigned i = 1; i < limits::lost_writes_before_warning; ++i) {
        transport().write("x");
    }
    run_idle();
    EXPECT_TRUE(take_reports().empty());
    for (int i = 0; i < 20; ++i) {
        EXPECT_NO_THROW(transport().write("x"));
    }
    run_idle();
    EXPECT_EQ(take_reports().size(), 1U) << "one report, not one per write";
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Writing, E070_a_write_after_close_with_nothing_pending_is_dropped) {
    open_quietly();
    in_callback([&] {
        transport().close();
        transport().write("dropped");
        transport().writelines({as_bytes("dropped"), as_bytes("too")});
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    });
    EXPECT_EQ(peer_receives_everything(), "");
    run_until_lost();
}

// What asyncio would have sent inside write() is sent inside close(), so that a later write finds
// what it would there: nothing pending.
TEST_P(Writing, E070_close_sends_what_was_gathered_and_a_write_after_it_is_dropped) {
    open_quietly();
    in_callback([&] {
        transport().write("first ");
        transport().close();
        transport().write("second");
    });
    EXPECT_EQ(peer_receives_everything(), "first ");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Writing, E072_a_shared_buffer_is_kept_and_not_copied_and_let_go_when_sent) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    const auto owner = std::make_shared<const std::string>(pattern(100'000));
    transport().write(Buffer(as_bytes(*owner), owner));
    EXPECT_GE(owner.use_count(), 2);
    peer_receives(already + owner->size());
    ASSERT_TRUE(run_until([&] { return transport().get_write_buffer_size() == 0; }));
    run_idle();
    EXPECT_EQ(owner.use_count(), 1);
    EXPECT_TRUE(peer().received().substr(already) == *owner);
}

TEST_P(Writing, E072_a_shared_buffer_that_is_sent_at_once_is_not_kept) {
    open_quietly();
    const auto owner = std::make_shared<const std::string>(pattern(5000));
    transport().write(Buffer(as_bytes(*owner), owner));
    run_idle();
    EXPECT_EQ(owner.use_count(), 1);
    peer_receives(5000);
}

TEST_P(Writing, E072_abort_lets_every_shared_buffer_go) {
    open_quietly({.small_buffers = true});
    plug();
    const auto owner = std::make_shared<const std::string>(pattern(100'000));
    const Buffer shared(as_bytes(*owner), owner);
    for (int i = 0; i < 10; ++i) {
        transport().write(shared);
    }
    transport().abort();
    run_until_lost();
    run_idle();
    EXPECT_EQ(owner.use_count(), 2) << "`owner` and `shared`";
}

// 2.4: a destructor that runs in the middle of a flush must find a transport that can be called.
TEST_P(Writing, E072_the_owner_of_a_buffer_may_write_when_it_is_let_go) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    const std::string bytes = pattern(30'000);
    bool wrote = false;
    {
        const std::shared_ptr<const void> owner(bytes.data(), [&](const void*) {
            wrote = true;
            transport().write("from the destructor");
        });
        transport().write(Buffer(as_bytes(bytes), owner));
    }
    peer_receives(already + bytes.size() + 19);
    EXPECT_TRUE(wrote);
    EXPECT_TRUE(peer().received().substr(already) == bytes + "from the destructor");
}

// One call takes all of the first write and a part of the second: while the first is let go of, the
// queue must not look as if the part were still there.
TEST_P(Writing, E072_what_an_owner_writes_when_it_is_let_go_comes_after_what_was_queued) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    const std::string first = pattern(5'000);
    const std::string second = pattern(700'000);
    {
        const std::shared_ptr<const void> owner(
            first.data(), [&](const void*) { transport().write("from the destructor"); });
        transport().write(Buffer(as_bytes(first), owner));
    }
    transport().write(second);
    peer_receives(already + first.size() + second.size() + 19);
    EXPECT_TRUE(peer().received().substr(already) == first + second + "from the destructor");
}

TEST_P(Writing, E074_many_small_writes_arrive_complete_and_in_order) {
    open_quietly();
    std::string expected;
    for (int round = 0; round < 20; ++round) {
        in_callback([&] {
            for (int i = 0; i < 500; ++i) {
                const std::string text = std::to_string(round * 500 + i) + " ";
                transport().write(text);
                expected += text;
            }
        });
        transport().write("outside ");
        expected += "outside ";
    }
    peer_receives(expected.size());
    EXPECT_TRUE(peer().received() == expected);
}

TEST_P(Writing, E075_twenty_megabytes_and_close_arrive_and_end_in_a_clean_loss) {
    open_quietly();
    const std::string bytes = pattern(twenty_megabytes);
    transport().write(bytes);
    transport().close();
    EXPECT_TRUE(peer_receives_everything() == bytes);
    run_until_lost();
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(Writing, E076_twenty_megabytes_and_a_peer_that_aborts_end_in_one_loss_with_a_reason) {
    open_quietly();
    transport().write(pattern(twenty_megabytes));
    ASSERT_GT(transport().get_write_buffer_size(), 0U);
    peer_resets();
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().count('L'), 1U);
    EXPECT_TRUE(recorder().reason() == std::errc::connection_reset ||
                recorder().reason() == std::errc::broken_pipe)
        << recorder().trace();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
}

TEST_P(Writing, E078_writing_inside_connection_lost_is_harmless) {
    open_quietly();
    recorder().on_lost = [&](std::error_code) {
        transport().write("a");
        transport().write(pattern(100'000));
        transport().writelines({as_bytes("b")});
        transport().flush();
    };
    transport().close();
    run_until_lost();
    EXPECT_EQ(peer_receives_everything(), "");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
}

TEST_P(Writing, E080_a_backlog_left_by_a_stopped_loop_is_sent_when_it_runs_again) {
    open_quietly();
    loop().call_soon([&] {
        transport().write("from the last iteration ");
        loop().stop();
    });
    loop().run_forever();
    transport().write("from outside");
    peer_receives(36);
    EXPECT_EQ(peer().received(), "from the last iteration from outside");
}

TEST_P(Writing, bytes_written_to_another_transport_from_a_callback_are_sent) {
    open_quietly();
    Recorder& other_events = make_recorder();
    TransportPair& other = another(other_events);
    open(other, {});
    recorder().on_data = [&](Bytes bytes) { other.transport().write(bytes); };
    peer().send("forwarded");
    ASSERT_TRUE(run_until([&] {
        other.peer().receive_available();
        return other.peer().received() == "forwarded";
    }));
}

TEST_P(Writing, F084_writelines_that_leaves_a_backlog_is_completed_by_the_loop) {
    open_quietly({.small_buffers = true});
    const std::string piece = pattern(9'000);
    const std::vector<Bytes> pieces(100, as_bytes(piece));
    transport().writelines(std::span(pieces));
    ASSERT_GT(transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(recorder().trace(), "P") << "writelines must judge the limit too";
    std::string expected;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        expected += piece;
    }
    peer_receives(expected.size());
    EXPECT_TRUE(peer().received() == expected);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(Writing, F084_more_pieces_than_one_call_can_take_arrive_in_order) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{700}, std::size_t{5000}}) {
        SCOPED_TRACE(size);
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        std::string bytes = pattern(size * 3000, static_cast<unsigned>(size));
        std::vector<Bytes> pieces;
        for (std::size_t at = 0; at < bytes.size(); at += size) {
            pieces.push_back(as_bytes(std::string_view(bytes).substr(at, size)));
        }
        connection.transport().writelines(std::span(pieces));
        const std::string expected = bytes;
        // F092: what could not be sent was copied.
        bytes.assign(bytes.size(), 'x');
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().received().size() >= expected.size();
        }));
        EXPECT_TRUE(connection.peer().received() == expected);
    }
}

TEST_P(Writing, F087_empty_lists_and_empty_pieces_do_nothing) {
    open_quietly({.small_buffers = true});
    const auto write_nothing = [&] {
        const std::size_t before = transport().get_write_buffer_size();
        const std::vector<Buffer> empties(4);
        transport().writelines(std::span<const Bytes>());
        transport().writelines(std::span<const Buffer>());
        transport().writelines(std::span(empties));
        transport().writelines({Bytes(), Bytes()});
        EXPECT_EQ(transport().get_write_buffer_size(), before);
    };
    write_nothing();
    in_callback(write_nothing);
    plug();
    write_nothing();
    in_callback(write_nothing);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Writing, F087_empty_pieces_between_others_are_skipped) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    transport().writelines({as_bytes("a"), Bytes(), as_bytes("b"), Bytes(), Bytes()});
    const std::vector<Buffer> buffers{Buffer(), Buffer::copy("c"), Buffer(), Buffer::copy("d")};
    transport().writelines(std::span(buffers));
    peer_receives(already + 4);
    EXPECT_EQ(peer().received().substr(already), "abcd");
}

TEST_P(Writing, F092_pieces_are_copied_as_they_were_and_buffers_are_kept) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    std::string changing = "before ";
    const auto owner = std::make_shared<const std::string>(pattern(20'000));
    const std::vector<Buffer> buffers{Buffer(as_bytes(*owner), owner), Buffer::copy(" end")};
    transport().writelines({as_bytes(changing), as_bytes(changing)});
    transport().writelines(std::span(buffers));
    changing = "after! ";
    EXPECT_GE(owner.use_count(), 3);
    peer_receives(already + 14 + owner->size() + 4);
    EXPECT_TRUE(peer().received().substr(already) == "before before " + *owner + " end");
}

TEST_P(Writing, F093_writelines_after_the_loss_is_dropped_quietly) {
    open_quietly();
    transport().close();
    run_until_lost();
    EXPECT_NO_THROW(transport().writelines({as_bytes("a"), as_bytes("b")}));
    const std::vector<Buffer> buffers{Buffer::copy("c")};
    EXPECT_NO_THROW(transport().writelines(std::span(buffers)));
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(WritingHalf, F093_every_form_of_write_after_write_eof_is_misuse) {
    for (const bool with_backlog : {false, true}) {
        SCOPED_TRACE(with_backlog);
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {.small_buffers = true});
        Transport& ours = connection.transport();
        if (with_backlog) {
            ours.write(pattern(1'000'000));
        }
        ours.write_eof();
        const std::vector<Buffer> buffers{Buffer::copy("c")};
        EXPECT_THROW(ours.write("a"), std::logic_error);
        EXPECT_THROW(ours.write(Buffer::copy("a")), std::logic_error);
        EXPECT_THROW(ours.write_static("a"), std::logic_error);
        EXPECT_THROW(ours.writelines({as_bytes("a")}), std::logic_error);
        EXPECT_THROW(ours.writelines(std::span(buffers)), std::logic_error);
        EXPECT_FALSE(ours.is_closing());
    }
}

TEST_P(Writing, a_hard_cap_with_refusal_throws_and_queues_nothing) {
    open_quietly({.small_buffers = true});
    const std::size_t already = plug();
    const std::size_t size = transport().get_write_buffer_size();
    transport().set_write_buffer_cap(size + 100, OverflowPolicy::refuse_write);
    try {
        transport().write(pattern(101));
        ADD_FAILURE() << "the write was accepted";
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), make_error_code(Error::write_buffer_full));
    }
    EXPECT_EQ(transport().get_write_buffer_size(), size);
    EXPECT_NO_THROW(transport().write(pattern(100)));
    EXPECT_THROW(transport().write("x"), std::system_error);
    EXPECT_THROW(transport().writelines({as_bytes("x")}), std::system_error);
    transport().set_write_buffer_cap({});
    EXPECT_NO_THROW(transport().write("unbounded again"));
    peer_receives(already + 115);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Writing, a_hard_cap_with_the_default_policy_loses_the_connection) {
    open_quietly({.small_buffers = true});
    plug();
    transport().set_write_buffer_cap(transport().get_write_buffer_size() + 100);
    EXPECT_NO_THROW(transport().write(pattern(101)));
    EXPECT_TRUE(transport().is_closing());
    EXPECT_EQ(recorder().trace(), "") << "lost inside write()";
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(write_buffer_full)");
    // Whether that is worth a report is not promised either way.
    static_cast<void>(take_reports());
}

TEST_P(Writing, a_hard_cap_does_not_stop_bytes_the_kernel_takes_at_once) {
    open_quietly();
    transport().set_write_buffer_cap(1000, OverflowPolicy::refuse_write);
    for (int i = 0; i < 50; ++i) {
        EXPECT_NO_THROW(transport().write(pattern(900)));
    }
    peer_receives(45'000);
}

}  // namespace
}  // namespace sluice::test
