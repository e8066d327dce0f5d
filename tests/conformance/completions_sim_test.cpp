// The io_uring backend over the fake ring: what a kernel may do with operations, one thing at a time. The
// seeds of the simulation do all of it at once.
#include <sluice/limits.hpp>

#include "support/sim_server_fixture.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class RingTest : public SimServerTest {
protected:
    explicit RingTest(SimKernel::RingSizes rings = {}) : SimServerTest(Backend::io_uring, rings) {}

    void SetUp() override {
        ASSERT_STREQ(loop().backend_name(), "io_uring");
        serve(ServerOptions());
    }
    /// Clients whose connections have been made, in their order.
    std::vector<SimPeer> clients(std::size_t count) {
        std::vector<SimPeer> made;
        for (std::size_t i = 0; i < count; ++i) {
            made.push_back(client());
            EXPECT_TRUE(run_until([&] { return connections().size() == i + 1; }));
        }
        run_idle();
        return made;
    }
    Transport& transport(std::size_t index = 0) { return connection(index).transport(); }
    /// Without leaving the loop in between, which would send what it holds.
    void run_for(Duration time) {
        loop().call_later(time, [this] { loop().stop(); });
        loop().run_forever();
    }
    /// The next entry into the kernel meets this fault, and no other does.
    void once(unsigned SimFaults::* fault) {
        kernel().faults = {};
        kernel().faults.*fault = 1000;
        kernel().faults.most = kernel().fault_count() + 1;
    }
    [[nodiscard]] bool happened() { return kernel().fault_count() == kernel().faults.most; }
    static std::string received_by(SimPeer& peer) {
        const std::vector<std::byte> bytes = peer.receive(1 << 20);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }
    /// An entry into the kernel from inside a callback: its work is done, and nobody has looked yet.
    void enter_the_kernel(std::size_t spare) { transport(spare).abort(); }
    /// Connection 0 gets a buffered protocol, which receives for itself when a poll says that it may.
    Recorder& read_by_poll() {
        Recorder& buffered = make_recorder();
        buffered.take_over(transport());
        connection().transport().set_protocol(
            make_recording_protocol(ProtocolKind::buffered, buffered));
        run_for(1ms);
        return buffered;
    }
    /// Connection 0 receives `words`, meets `fault`, and stops reading before it has been told of either.
    void stop_reading_at(unsigned SimFaults::* fault, SimPeer& peer, const std::string& words) {
        loop().call_soon([this, fault, &peer, &words] {
            once(fault);
            say(peer, words);
            enter_the_kernel(1);
            EXPECT_TRUE(happened());
            transport(0).pause_reading();
        });
        run_for(1ms);
        EXPECT_EQ(connection(0).received(), "");
    }
};

class RingOfTwoBuffers : public RingTest {
protected:
    RingOfTwoBuffers() : RingTest({.buffers = 2}) {}
};

class RingOfOneBuffer : public RingTest {
protected:
    RingOfOneBuffer() : RingTest({.buffers = 1}) {}
};

class SmallQueues : public RingTest {
protected:
    SmallQueues() : RingTest({.completions = 2, .entries = 3}) {}
};

// ---- sending ----

TEST_F(RingTest, a_send_of_the_batch_that_fails_ends_the_connection_with_its_error) {
    for (const bool by_the_wait : {true, false}) {
        const std::size_t index = connections().size();
        static_cast<void>(client());
        pass(1ms);
        Recorder& recorder = connection(index);
        loop().call_soon([&] {
            recorder.transport().write("lost");
            kernel().fail_call(SimCall::send, 1, EHOSTUNREACH);
        });
        by_the_wait ? run_for(1ms) : loop().run_once();
        run_idle();
        EXPECT_TRUE(kernel().failure_hit());
        EXPECT_TRUE(recorder.lost());
        EXPECT_EQ(recorder.reason(), std::errc::host_unreachable);
        EXPECT_EQ(recorder.count('L'), 1U);
        EXPECT_EQ(recorder.transport().get_extra_info(extra::counters).bytes_sent, 0U);
    }
}

TEST_F(RingTest, what_a_send_of_the_batch_left_comes_before_what_is_written_next) {
    kernel().set_capacity(1000, 1000);
    SimPeer peer = clients(1).front();
    for (const char letter : {'a', 'b', 'c', 'd'}) {
        loop().call_later(10us * (letter - 'a' + 1),
                          [this, letter] { transport().write(std::string(700, letter)); });
    }
    run_for(1ms);
    EXPECT_EQ(transport().get_write_buffer_size(), 1800U);
    std::string received;
    while (received.size() < 2800) {
        received += received_by(peer);
        run_for(1ms);
    }
    EXPECT_EQ(received, std::string(700, 'a') + std::string(700, 'b') + std::string(700, 'c') +
                            std::string(700, 'd'));
    EXPECT_EQ(transport().get_extra_info(extra::counters).bytes_sent, 2800U);
}

TEST_F(RingTest, held_bytes_that_a_full_socket_refuses_go_back_before_what_is_gathered) {
    kernel().set_capacity(1000, 1000);
    SimPeer peer = clients(1).front();
    // Of one turn: the second has the first sent by a call, the third finds what that refused of the
    // second while it has gathered something itself.
    for (const char letter : {'a', 'b', 'c'}) {
        loop().call_soon([this, letter] { transport().write(std::string(700, letter)); });
    }
    run_for(1ms);
    EXPECT_EQ(transport().get_write_buffer_size(), 1100U);
    std::string received;
    while (received.size() < 2100) {
        received += received_by(peer);
        run_for(1ms);
    }
    EXPECT_EQ(received, std::string(700, 'a') + std::string(700, 'b') + std::string(700, 'c'));
}

TEST_F(RingTest, a_send_for_which_the_queue_has_no_room_leaves_by_itself_and_in_order) {
    SimPeer peer = clients(1).front();
    loop().call_soon([this] {
        transport().write("one ");
        once(&SimFaults::ring_full);
    });
    loop().call_later(1us, [this] { transport().write("two"); });
    run_for(1ms);
    EXPECT_TRUE(happened());
    EXPECT_EQ(received_by(peer), "one two");
}

TEST_F(RingTest, sends_that_the_kernel_did_not_see_leave_through_another_ring) {
    std::vector<SimPeer> peers = clients(5);
    loop().call_soon([this] {
        for (std::size_t i = 0; i < 5; ++i) {
            transport(i).write("to " + std::to_string(i));
        }
        kernel().faults.ring_partial = 1000;
    });
    loop().call_later(1us, [this] { kernel().faults = {}; });
    run_for(20ms);
    EXPECT_GT(kernel().fault_count(), 1U);
    for (std::size_t i = 0; i < peers.size(); ++i) {
        EXPECT_EQ(received_by(peers[i]), "to " + std::to_string(i));
    }
    for (SimPeer& peer : peers) {
        say(peer, "answer");
    }
    run_for(1ms);
    for (std::size_t i = 0; i < peers.size(); ++i) {
        EXPECT_EQ(connection(i).received(), "answer");
    }
}

TEST_F(RingTest, sends_that_the_kernel_did_not_see_leave_once_although_a_file_is_being_read) {
    std::vector<SimPeer> peers = clients(6);
    const Descriptor file(kernel().open_file(
        1000, [](std::uint64_t, MutableBytes into) { std::ranges::fill(into, std::byte{'f'}); }));
    kernel().faults = {.delay_most = 10ms, .cold_file = 1000, .unfit_file = 1000};
    transport(5).sendfile(file.get(), 0, std::nullopt, {}, [](const SendfileResult&) {});
    run_for(1us);
    ASSERT_EQ(received_by(peers[5]), "") << "the file has been read";
    kernel().faults = {};
    loop().call_soon([this] {
        for (std::size_t i = 0; i < 5; ++i) {
            transport(i).write("to " + std::to_string(i));
        }
        kernel().faults.ring_partial = 1000;
    });
    loop().call_later(1us, [this] { kernel().faults = {}; });
    run_for(2s);
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(received_by(peers[i]), "to " + std::to_string(i));
    }
    EXPECT_EQ(received_by(peers[5]), std::string(1000, 'f'));
}

// ---- receiving ----

TEST_F(RingTest, receiving_goes_on_where_it_ended_for_want_of_a_buffer) {
    SimPeer peer = clients(1).front();
    once(&SimFaults::ring_no_buffer);
    say(peer, "hello");
    run_for(1ms);
    EXPECT_TRUE(happened());
    EXPECT_EQ(connection().received(), "hello");
}

TEST_F(RingTest, a_receive_that_fails_ends_the_connection_with_its_error) {
    for (const int error : {ECONNRESET, ENOMEM}) {
        const std::size_t index = connections().size();
        SimPeer peer = client();
        pass(1ms);
        kernel().fail_call(SimCall::recv, 1, error);
        say(peer, "x");
        run_for(1ms);
        EXPECT_TRUE(kernel().failure_hit());
        EXPECT_EQ(connection(index).reason(), std::error_code(error, std::system_category()));
        EXPECT_EQ(connection(index).received(), "");
    }
}

TEST_F(RingTest, a_want_of_buffers_that_shows_once_reading_has_stopped_is_made_up_for) {
    SimPeer peer = clients(2).front();
    stop_reading_at(&SimFaults::ring_no_buffer, peer, "hello");
    transport(0).resume_reading();
    run_for(1ms);
    EXPECT_EQ(connection(0).received(), "hello");
}

TEST_F(RingOfOneBuffer, what_lies_in_a_buffer_when_reading_stops_leaves_it_to_others) {
    std::vector<SimPeer> peers = clients(2);
    // Runs between the wait that receives and what it leads to.
    loop().call_soon([this] { transport(0).pause_reading(); });
    say(peers[0], "kept");
    loop().run_once();
    EXPECT_EQ(connection(0).received(), "");
    EXPECT_EQ(kernel().ring_buffers_lent(), 0U);
    say(peers[1], "hello");
    run_for(1ms);
    EXPECT_EQ(connection(1).received(), "hello");
    transport(0).resume_reading();
    say(peers[0], " and more");
    run_for(1ms);
    EXPECT_EQ(connection(0).received(), "kept and more");
}

TEST_F(RingOfOneBuffer, what_arrives_after_reading_has_stopped_leaves_its_buffer_to_others) {
    std::vector<SimPeer> peers = clients(3);
    loop().call_soon([&] {
        say(peers[0], "kept");
        enter_the_kernel(2);
        EXPECT_EQ(kernel().ring_buffers_lent(), 1U);
        transport(0).pause_reading();
    });
    run_for(1ms);
    EXPECT_EQ(connection(0).received(), "");
    EXPECT_EQ(kernel().ring_buffers_lent(), 0U);
    say(peers[1], "hello");
    run_for(1ms);
    EXPECT_EQ(connection(1).received(), "hello");
    transport(0).resume_reading();
    run_for(1ms);
    EXPECT_EQ(connection(0).received(), "kept");
}

TEST_F(RingOfTwoBuffers, many_streams_share_few_buffers_without_a_loss) {
    std::vector<SimPeer> peers = clients(20);
    std::vector<std::string> sent(peers.size());
    for (int round = 0; round < 10; ++round) {
        for (std::size_t i = 0; i < peers.size(); ++i) {
            const std::string text(
                3000 + 100 * i,
                static_cast<char>('a' + (static_cast<std::size_t>(round) + i) % 26));
            say(peers[i], text);
            sent[i] += text;
        }
        run_for(100us);
    }
    run_for(1ms);
    for (std::size_t i = 0; i < peers.size(); ++i) {
        EXPECT_EQ(connection(i).received(), sent[i]) << i;
    }
    EXPECT_EQ(kernel().ring_buffers_lent(), 0U);
}

TEST_F(SmallQueues, completions_that_the_kernel_keeps_back_are_neither_lost_nor_late) {
    std::vector<SimPeer> peers = clients(30);
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < peers.size(); ++i) {
            say(peers[i], std::to_string(i));
        }
        loop().run_once();
        run_idle();
        for (std::size_t i = 0; i < peers.size(); ++i) {
            std::string expected;
            for (int said = 0; said <= round; ++said) {
                expected += std::to_string(i);
            }
            EXPECT_EQ(connection(i).received(), expected);
        }
    }
    for (std::size_t i = 0; i < peers.size(); ++i) {
        loop().call_soon([this, i] { transport(i).write("answer"); });
    }
    run_for(1ms);
    for (SimPeer& peer : peers) {
        EXPECT_EQ(received_by(peer), "answer");
    }
}

TEST_F(SmallQueues, bytes_that_stayed_behind_in_a_ring_end_their_connection) {
    std::vector<SimPeer> peers = clients(4);
    loop().call_soon([&] {
        for (std::size_t i = 0; i < 3; ++i) {
            say(peers[i], "x");
        }
        // More than there is room for, and then the ring is another thread's.
        enter_the_kernel(3);
        kernel().faults.ring_moved = 1000;
        kernel().faults.most = kernel().fault_count() + 1;
    });
    run_for(1ms);
    std::size_t lost = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_NE(connection(i).lost(), connection(i).received() == "x") << i;
        lost += connection(i).lost() ? 1 : 0;
        EXPECT_TRUE(!connection(i).lost() ||
                    connection(i).reason() == std::errc::not_enough_memory);
    }
    EXPECT_GT(lost, 0U);
}

// ---- cancelling and changing ----

TEST_F(RingTest, a_change_that_meets_an_event_is_made_all_the_same) {
    kernel().set_capacity(1000, 1000);
    SimPeer peer = clients(1).front();
    // Waiting for room changes the poll.
    Recorder& buffered = read_by_poll();
    once(&SimFaults::ring_race);
    buffered.transport().write(std::string(1500, 'w'));
    run_for(1ms);
    EXPECT_TRUE(happened());
    EXPECT_EQ(received_by(peer).size(), 1000U);
    run_for(1ms);
    EXPECT_EQ(received_by(peer).size(), 500U);
    say(peer, "still reading");
    run_for(1ms);
    EXPECT_EQ(buffered.received(), "still reading");
}

TEST_F(RingTest, a_poll_that_is_looked_at_while_it_has_an_event_is_not_looked_at_again) {
    SimPeer peer = clients(1).front();
    Recorder& buffered = read_by_poll();
    kernel().faults.ring_race = 1000;
    kernel().faults.most = 1000;
    // A read that is not short does not tell that there is no more.
    std::array<std::byte, 10> buffer;
    buffered.on_get_buffer = [&](std::size_t) { return MutableBytes(buffer); };
    say(peer, "ten bytes.");
    run_for(1ms);
    EXPECT_EQ(buffered.received(), "ten bytes.");
    EXPECT_EQ(kernel().fault_count(), 1U);
    say(peer, "more");
    run_for(1ms);
    EXPECT_EQ(buffered.received(), "ten bytes.more");
    EXPECT_EQ(kernel().fault_count(), 2U) << "once more, since what came may be urgent";
}

TEST_F(RingTest, a_poll_that_has_just_ended_begins_anew) {
    kernel().set_capacity(1000, 1000);
    SimPeer peer = clients(2).front();
    Recorder& buffered = read_by_poll();
    loop().call_soon([&] {
        once(&SimFaults::ring_end);
        say(peer, "x");
        enter_the_kernel(1);
        EXPECT_TRUE(happened());
        buffered.transport().write(std::string(1500, 'w'));
    });
    run_for(1ms);
    EXPECT_EQ(received_by(peer).size(), 1000U);
    say(peer, "y");
    run_for(1ms);
    EXPECT_EQ(received_by(peer).size(), 500U);
    EXPECT_EQ(buffered.received(), "xy");
}

TEST_F(RingTest, a_receive_that_has_just_ended_may_be_cancelled) {
    SimPeer peer = clients(2).front();
    stop_reading_at(&SimFaults::ring_end, peer, "one ");
    say(peer, "two");
    run_for(1ms);
    transport(0).resume_reading();
    run_for(1ms);
    EXPECT_EQ(connection(0).received(), "one two");
}

TEST_F(RingTest, a_descriptor_whose_cancel_found_no_room_is_closed_a_moment_later) {
    SimPeer peer = clients(1).front();
    loop().call_soon([this] {
        once(&SimFaults::ring_full);
        transport(0).abort();
    });
    run_for(1ms);
    EXPECT_TRUE(happened());
    EXPECT_TRUE(connection(0).lost());
    EXPECT_TRUE(peer.at_end());
}

// ---- other rings ----

TEST_F(RingTest, a_ring_that_cannot_be_replaced_at_once_is_replaced_when_it_can_be) {
    std::vector<SimPeer> peers = clients(2);
    loop().call_soon([&] {
        transport(1).write("answer");
        once(&SimFaults::ring_moved);
        kernel().fail_call(SimCall::ring_setup, 1, EMFILE);
        say(peers[0], "hello");
        // Comes just after the wait.
        loop().call_soon([this] {
            EXPECT_EQ(kernel().bytes_sent(fd_of(transport(1))), 6U) << "sent without a ring";
        });
    });
    const Duration before = kernel().elapsed();
    run_for(50ms);
    EXPECT_TRUE(kernel().failure_hit());
    EXPECT_GE(kernel().elapsed() - before, limits::ring_retry_time);
    EXPECT_EQ(connection(0).received(), "hello");
    EXPECT_EQ(received_by(peers[1]), "answer");
}

TEST_F(RingTest, connections_that_count_on_buffers_end_where_another_ring_has_none) {
    std::vector<SimPeer> peers = clients(2);
    transport(1).pause_reading();
    run_for(1ms);
    kernel().faults.ring_moved = 1000;
    kernel().faults.most = kernel().fault_count() + 1;
    kernel().fail_call(SimCall::ring_buffers, 1, ENOMEM);
    run_for(1ms);
    EXPECT_TRUE(connection(0).lost());
    EXPECT_EQ(connection(0).reason(), std::errc::not_enough_memory);
    EXPECT_FALSE(connection(1).lost());
    transport(1).resume_reading();
    run_for(1ms);
    EXPECT_EQ(connection(1).reason(), std::errc::not_enough_memory);
    EXPECT_THAT(loop().backend_report(), testing::HasSubstr("no multishot receive"));
}

}  // namespace
}  // namespace sluice::test
