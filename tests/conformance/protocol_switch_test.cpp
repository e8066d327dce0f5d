// set_protocol (semantics.md 2.10): at any time, from any callback, from one kind to the other.
//
// Each case has two recorders: the one that saw connection_made and the one that takes over. It
// knows nothing of TLS, which replaces protocols for its own purposes.
#include "support/conformance.hpp"

#include <array>

namespace sluice::test {
namespace {

class ProtocolSwitch : public ConformanceTest {
protected:
    // A protocol of the other or of the same kind takes the connection over.
    void switch_now(ProtocolKind kind) {
        successor_->take_over(transport());
        transport().set_protocol(make_recording_protocol(kind, *successor_));
    }
    [[nodiscard]] Recorder& successor() noexcept { return *successor_; }
    void next_successor() { successor_ = &make_recorder(); }

    static constexpr ProtocolKind kinds[] = {ProtocolKind::simple, ProtocolKind::buffered};

private:
    Recorder* successor_ = &make_recorder();
};

INSTANTIATE_TEST_SUITE_P(Every, ProtocolSwitch, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(ProtocolSwitch, null_is_refused) {
    open_quietly();
    EXPECT_THROW(transport().set_protocol(nullptr), std::invalid_argument);
    EXPECT_NE(transport().get_protocol(), nullptr);
}

TEST_P(ProtocolSwitch, get_protocol_gives_the_new_one_and_no_callback_announces_it) {
    open_quietly();
    StreamProtocol* const before = transport().get_protocol();
    switch_now(ProtocolKind::simple);
    EXPECT_NE(transport().get_protocol(), before);
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    EXPECT_EQ(successor().trace(), "");
    EXPECT_EQ(recorder().destroyed(), 1U);
}

TEST_P(ProtocolSwitch, the_old_protocol_is_destroyed_between_iterations_and_not_in_its_callback) {
    std::size_t destroyed_inside = 99;
    recorder().on_data = [&](Bytes) {
        switch_now(ProtocolKind::simple);
        destroyed_inside = recorder().destroyed();
    };
    open_quietly();
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abc"; }));
    run_idle();
    EXPECT_EQ(destroyed_inside, 0U);
    EXPECT_EQ(recorder().destroyed(), 1U);
}

TEST_P(ProtocolSwitch, in_data_received_the_next_bytes_go_to_the_new_protocol_of_either_kind) {
    for (const ProtocolKind kind : kinds) {
        SCOPED_TRACE(kind == ProtocolKind::simple ? "simple" : "buffered");
        Recorder& events = make_recorder();
        Recorder& after = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        events.clear_trace();
        events.on_data = [&](Bytes) {
            after.take_over(connection.transport());
            connection.transport().set_protocol(make_recording_protocol(kind, after));
        };
        connection.peer().send("first");
        ASSERT_TRUE(run_until([&] { return events.received() == "first"; }));
        connection.peer().send("second");
        ASSERT_TRUE(run_until([&] { return after.received() == "second"; }));
        connection.peer().shutdown_write();
        ASSERT_TRUE(run_until([&] { return after.lost(); }));
        EXPECT_EQ(events.trace(), "D5");
        EXPECT_EQ(after.trace(), "D6 E L(None)");
        EXPECT_EQ(after.hints().empty(), kind == ProtocolKind::simple);
    }
}

TEST_P(ProtocolSwitch, in_the_middle_of_a_long_read_nothing_is_lost_or_doubled) {
    const std::string sent = pattern(1'000'000);
    std::array<std::byte, 1000> memory{};
    recorder().on_get_buffer = [&](std::size_t) { return MutableBytes(memory); };
    recorder().on_data = [&](Bytes) {
        switch_now(buffered() ? ProtocolKind::simple : ProtocolKind::buffered);
    };
    open_quietly();
    peer_sends(sent);
    ASSERT_TRUE(run_until([&] {
        return recorder().received().size() + successor().received().size() >= sent.size();
    }));
    EXPECT_EQ(recorder().count('D'), 1U);
    EXPECT_TRUE(recorder().received() + successor().received() == sent);
}

TEST_P(ProtocolSwitch, back_and_forth_with_every_chunk_nothing_is_lost) {
    const std::string sent = pattern(200'000);
    std::string received;
    std::vector<std::array<std::byte, 777>> memories(1);
    std::function<void(Recorder&)> arm = [&](Recorder& events) {
        events.on_get_buffer = [&](std::size_t) { return MutableBytes(memories[0]); };
        events.on_data = [&](Bytes bytes) {
            received += as_text(bytes);
            next_successor();
            arm(successor());
            switch_now(received.size() % 2 == 0 ? ProtocolKind::simple : ProtocolKind::buffered);
        };
    };
    arm(recorder());
    open_quietly();
    peer_sends(sent);
    ASSERT_TRUE(run_until([&] { return received.size() >= sent.size(); }));
    EXPECT_TRUE(received == sent);
}

TEST_P(ProtocolSwitch, in_connection_made_the_new_protocol_gets_the_data) {
    for (const ProtocolKind kind : kinds) {
        Recorder& events = make_recorder();
        Recorder& after = make_recorder();
        events.on_made = [&](Transport& transport) {
            after.take_over(transport);
            transport.set_protocol(make_recording_protocol(kind, after));
        };
        TransportPair& connection = another(events);
        connection.start({.via = Via::server});
        connection.peer().send("abc");
        connection.peer().shutdown_write();
        ASSERT_TRUE(run_until([&] { return after.lost(); }));
        EXPECT_EQ(events.trace(), "M");
        EXPECT_EQ(after.merged_trace(), "D3 E L(None)");
    }
}

TEST_P(ProtocolSwitch, in_eof_received_the_loss_goes_to_the_new_protocol) {
    recorder().on_eof = [&] {
        switch_now(ProtocolKind::simple);
        return false;
    };
    open_quietly();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return successor().lost(); }));
    EXPECT_EQ(recorder().trace(), "E");
    EXPECT_EQ(successor().trace(), "L(None)");
}

TEST_P(ProtocolSwitch, while_paused_the_resume_goes_to_the_new_protocol) {
    open_quietly({.small_buffers = true});
    transport().write(pattern(1'000'000));
    EXPECT_EQ(recorder().trace(), "P");
    switch_now(ProtocolKind::buffered);
    successor().pause();
    successor().clear_trace();
    peer_receives(1'000'000);
    EXPECT_EQ(recorder().trace(), "P");
    EXPECT_EQ(successor().trace(), "R");
}

TEST_P(ProtocolSwitch, while_reading_is_paused_the_bytes_go_to_the_new_protocol) {
    open_quietly();
    transport().pause_reading();
    peer().send("abc");
    ASSERT_TRUE(wait_for_arrival(fd_of(transport()), 3));
    run_idle();
    switch_now(ProtocolKind::simple);
    run_idle();
    EXPECT_EQ(successor().trace(), "") << "a new protocol does not resume reading";
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return successor().received() == "abc"; }));
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(ProtocolSwitch, after_close_the_loss_goes_to_the_new_protocol) {
    open_quietly();
    transport().close();
    switch_now(ProtocolKind::simple);
    ASSERT_TRUE(run_until([&] { return successor().lost(); }));
    EXPECT_EQ(recorder().trace(), "");
}

class BufferedSwitch : public ProtocolSwitch {};

INSTANTIATE_TEST_SUITE_P(Every, BufferedSwitch,
                         testing::ValuesIn(conformance_cases(ProtocolKind::buffered)), case_name);

TEST_P(BufferedSwitch, in_get_buffer_no_byte_is_lost) {
    for (const ProtocolKind kind : kinds) {
        Recorder& events = make_recorder();
        Recorder& after = make_recorder();
        std::array<std::byte, 64> memory{};
        TransportPair& connection = another(events);
        open(connection, {});
        events.clear_trace();
        events.on_get_buffer = [&](std::size_t) {
            after.take_over(connection.transport());
            connection.transport().set_protocol(make_recording_protocol(kind, after));
            return MutableBytes(memory);
        };
        connection.peer().send("abc");
        connection.peer().shutdown_write();
        ASSERT_TRUE(run_until([&] { return after.lost(); }));
        EXPECT_EQ(events.trace(), "");
        EXPECT_EQ(after.merged_trace(), "D3 E L(None)");
        EXPECT_EQ(after.received(), "abc");
    }
}

}  // namespace
}  // namespace sluice::test
