// What the io_uring backend does itself for stream transports: receiving into shared buffers, sending in
// batches. That the transports behave as on every backend is what the conformance suites say; here are
// the ways in which only this one could lose bytes, their order, or memory.
#include "support/loop_fixture.hpp"
#include "support/patience.hpp"
#include "support/transport_pair.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>

namespace sluice::test {
namespace {

// More than the backend has (limits::ring_buffers).
constexpr std::size_t more_than_buffers = 600;

class Completions : public LoopTest {
protected:
    Completions() : LoopTest(Backend::io_uring) {}

    void SetUp() override {
        if (loop().backend_report().find("buffer ring of") == std::string::npos) {
            GTEST_SKIP() << loop().backend_report();
        }
    }

    /// A transport over TCP, started, and the peer it talks to.
    std::unique_ptr<TransportPair> connect(Recorder& recorder, PairOptions options = {},
                                           TransportKind transport = TransportKind::tcp) {
        auto pair =
            std::make_unique<TransportPair>(loop(), transport, ProtocolKind::simple, recorder);
        pair->start(options);
        EXPECT_TRUE(run_until([&] {
            pair->serve_peer();
            return pair->ready();
        }));
        return pair;
    }
    void fill_a_socket(TransportKind transport);
    void end(TransportPair& pair, const Recorder& recorder) {
        pair.transport().abort();
        EXPECT_TRUE(run_until([&] { return recorder.lost(); }));
    }
};

std::string numbered_lines(std::size_t first, std::size_t count) {
    std::string lines;
    for (std::size_t number = first; number < first + count; ++number) {
        lines += std::to_string(number) + "\n";
    }
    return lines;
}

Bytes bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

// ---- sending ----

TEST_F(Completions, what_a_callback_wrote_before_it_stopped_the_loop_has_left) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    recorder.on_data = [&](Bytes) {
        pair->transport().write(bytes_of("answer"));
        loop().stop();
    };
    pair->peer().send("question");
    loop().run_forever();
    EXPECT_TRUE(wait_readable(pair->peer().fd())) << "the loop does not run";
    pair->peer().receive_available();
    EXPECT_EQ(pair->peer().received(), "answer");
    end(*pair, recorder);
}

TEST_F(Completions, what_a_callback_wrote_leaves_with_each_run_once_of_an_embedded_loop) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    recorder.on_data = [&](Bytes) { pair->transport().write(bytes_of("answer")); };
    pair->peer().send("question");
    while (recorder.count('D') == 0) {
        loop().run_once();
    }
    EXPECT_TRUE(wait_readable(pair->peer().fd()));
    end(*pair, recorder);
}

TEST_F(Completions,
       abort_and_close_in_the_same_callback_leave_what_was_written_before_as_on_epoll) {
    for (const bool abort : {true, false}) {
        Recorder& recorder = make_recorder();
        const auto pair = connect(recorder);
        recorder.on_data = [&](Bytes) {
            pair->transport().write(bytes_of("farewell"));
            pair->transport().flush();
            abort ? pair->transport().abort() : pair->transport().close();
        };
        pair->peer().send("x");
        EXPECT_TRUE(run_until([&] {
            pair->peer().receive_available();
            return recorder.lost() && pair->peer().saw_end();
        }));
        EXPECT_EQ(pair->peer().received(), "farewell");
    }
}

TEST_F(Completions, what_two_callbacks_of_one_turn_wrote_keeps_its_order) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    const std::string large(100'000, 'L');
    loop().call_soon([&] { pair->transport().write(bytes_of("one ")); });
    loop().call_soon([&] { pair->transport().write(bytes_of("two ")); });
    loop().call_soon([&] { pair->transport().write(bytes_of(large)); });
    loop().call_soon([&] {
        pair->transport().write(bytes_of(" end"));
        pair->transport().write_eof();
    });
    EXPECT_TRUE(run_until([&] {
        pair->peer().receive_available();
        return pair->peer().saw_end();
    }));
    EXPECT_EQ(pair->peer().received(), "one two " + large + " end");
    end(*pair, recorder);
}

TEST_F(Completions, flush_sends_what_another_callback_of_the_turn_wrote) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    bool arrived = false;
    loop().call_soon([&] { pair->transport().write(bytes_of("at once")); });
    loop().call_soon([&] {
        pair->transport().flush();
        arrived = wait_readable(pair->peer().fd());
    });
    loop().run_once(std::chrono::nanoseconds(0));
    EXPECT_TRUE(arrived) << "while the turn lasts";
    end(*pair, recorder);
}

TEST_F(Completions, what_TLS_has_sealed_leaves_with_the_turn_or_with_flush) {
    for (const bool flushed : {false, true}) {
        Recorder& recorder = make_recorder();
        const auto pair = connect(recorder, {}, TransportKind::tls);
        pair->peer().receive_available();
        bool arrived = false;
        loop().call_soon([&] { pair->transport().write(bytes_of("sealed")); });
        loop().call_soon([&] {
            if (flushed) {
                pair->transport().flush();
            }
            pollfd entry{pair->peer().fd(), POLLIN, 0};
            arrived = ::poll(&entry, 1, 0) == 1;
        });
        loop().run_once(std::chrono::nanoseconds(0));
        EXPECT_EQ(arrived, flushed) << "while the turn lasts";
        EXPECT_TRUE(run_until([&] {
            pair->peer().receive_available();
            return pair->peer().received() == "sealed";
        }));
        end(*pair, recorder);
    }
}

TEST_F(Completions, what_is_written_while_the_loop_runs_on_leaves_with_its_waits) {
    // run_until() returns from run_once() after each turn, which sends by itself what is held.
    std::string expected;
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder, {.via = Via::connect, .small_buffers = true});
    pair->transport().set_write_buffer_limits(1 << 20, 1 << 16);
    std::size_t turn = 0;
    std::function<void()> step = [&] {
        // Two callbacks: the second finds the bytes of the first held.
        for (const std::size_t half : {0U, 1U}) {
            if (turn < 400) {
                const std::string lines = numbered_lines(turn * 100, 50 + half * 50);
                expected += lines;
                loop().call_soon([&pair, lines] { pair->transport().write(bytes_of(lines)); });
            }
        }
        ++turn;
        pair->peer().receive_at_most(turn % 3 == 0 ? 2000 : 100);
        if (turn > 400 && pair->peer().received().size() == expected.size()) {
            loop().stop();
        } else {
            loop().call_soon([&] { step(); });
        }
    };
    loop().call_soon([&] { step(); });
    const TimerHandle watchdog = loop().call_later(patience(), [&] { loop().stop(); });
    loop().run_forever();
    EXPECT_TRUE(pair->peer().received() == expected) << pair->peer().received().size();
    end(*pair, recorder);
}

TEST_F(Completions, a_wake_from_another_thread_is_not_lost_in_a_turn_that_writes) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    for (int round = 0; round < 20; ++round) {
        bool called = false;
        bool late = false;
        loop().call_soon([&] {
            pair->transport().write(bytes_of("x"));
            std::thread([&] { loop().call_soon_threadsafe([&] { called = true; }); }).join();
        });
        loop().run_once(std::chrono::nanoseconds(0));
        // So that a loss shows as a failure, not as a test that hangs.
        TimerHandle watchdog = loop().call_later(patience(), [&] { late = true; });
        while (!called && !late) {
            loop().run_once(std::nullopt);
        }
        watchdog.cancel();
        ASSERT_FALSE(late);
    }
    end(*pair, recorder);
}

TEST_F(Completions, an_embedded_server_that_speaks_first_hears_the_answer) {
    const int pollable = loop().pollable_fd();
    Recorder& recorder = make_recorder();
    recorder.on_made = [](Transport& transport) { transport.write(bytes_of("220 welcome")); };
    const auto server =
        run(loop().create_server<RecordingProtocol>("127.0.0.1", 0, ServerOptions(), &recorder));
    Peer client = Peer::connect(server->local_address().port());
    // As a foreign loop does it.
    const auto run_shown = [&](const std::function<bool()>& done) {
        while (!done() &&
               (loop().next_timeout() == std::chrono::nanoseconds(0) || wait_readable(pollable))) {
            loop().run_once(std::chrono::nanoseconds(0));
        }
        return done();
    };
    EXPECT_TRUE(run_shown([&] { return recorder.made(); }));
    EXPECT_TRUE(wait_readable(client.fd()));
    client.send("HELO");
    EXPECT_TRUE(run_shown([&] { return recorder.received() == "HELO"; }));
    recorder.transport().abort();
    EXPECT_TRUE(run_shown([&] { return recorder.lost(); }));
    server->close();
    run_idle();
}

void Completions::fill_a_socket(TransportKind transport) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder, {.small_buffers = true}, transport);
    pair->transport().set_write_buffer_limits(1 << 20, 1 << 16);
    std::string expected;
    // Two short writes in each turn, until well past what the kernel takes: where it is the first that is
    // refused, the second has been queued already.
    for (std::size_t turn = 0; turn < 400; ++turn) {
        for (const std::size_t half : {0U, 1U}) {
            const std::string lines = numbered_lines(turn * 200 + half * 100, 100);
            expected += lines;
            loop().call_soon([&pair, lines] { pair->transport().write(bytes_of(lines)); });
        }
        loop().run_once(std::chrono::nanoseconds(0));
    }
    EXPECT_GT(pair->transport().get_write_buffer_size(), 0U) << "it has never been full";
    EXPECT_TRUE(run_until([&] {
        pair->peer().receive_available();
        return pair->peer().received().size() >= expected.size();
    }));
    EXPECT_EQ(pair->peer().received(), expected);
    EXPECT_EQ(pair->transport().get_extra_info(extra::counters).bytes_sent, expected.size());
    end(*pair, recorder);
}

TEST_F(Completions, bytes_that_a_full_socket_refused_come_before_those_written_after) {
    fill_a_socket(TransportKind::tcp);
}

TEST_F(Completions, records_that_a_full_socket_refused_come_before_those_sealed_after) {
    fill_a_socket(TransportKind::tls);
}

TEST_F(Completions, a_reset_peer_is_told_to_whoever_writes_to_it) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    pair->transport().pause_reading();
    loop().run_once(std::chrono::nanoseconds(0));
    pair->peer_resets();
    // Nobody reads, so writing is what meets the error.
    EXPECT_TRUE(run_until([&] {
        loop().call_soon([&] { pair->transport().write(bytes_of("x")); });
        return recorder.lost();
    }));
    EXPECT_THAT(recorder.trace(),
                testing::EndsWith(recorder.reason() == std::errc::broken_pipe ? "L(EPIPE)"
                                                                              : "L(ECONNRESET)"));
}

// ---- receiving ----

TEST_F(Completions, a_stream_keeps_its_order_whether_pieces_are_small_or_large) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    std::string expected;
    // Large pieces are received another way than small ones; there and back, several times.
    for (std::size_t round = 0; round < 6; ++round) {
        for (std::size_t part = 0; part < 40; ++part) {
            const std::string lines = numbered_lines(expected.size(), round % 2 == 0 ? 10 : 10'000);
            expected += lines;
            std::string_view rest = lines;
            EXPECT_TRUE(run_until([&] {
                rest.remove_prefix(pair->peer().send_some(rest));
                return rest.empty() && recorder.received().size() == expected.size();
            }));
        }
    }
    EXPECT_TRUE(recorder.received() == expected);
    end(*pair, recorder);
}

TEST_F(Completions, bytes_that_came_before_the_protocol_changed_reach_the_new_one_in_order) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    Recorder& buffered = make_recorder();
    buffered.on_get_buffer = [space = std::vector<std::byte>(7)](std::size_t) mutable {
        return MutableBytes(space);
    };
    const std::string expected = numbered_lines(0, 3000);
    recorder.on_data = [&](Bytes) {
        if (recorder.received().size() < 100) {
            return;
        }
        buffered.take_over(pair->transport());
        pair->transport().set_protocol(make_recording_protocol(ProtocolKind::buffered, buffered));
    };
    pair->peer().send(expected);
    EXPECT_TRUE(run_until([&] {
        return recorder.received().size() + buffered.received().size() == expected.size();
    }));
    EXPECT_EQ(recorder.received() + buffered.received(), expected);
    EXPECT_FALSE(buffered.received().empty());
    pair->transport().abort();
    EXPECT_TRUE(run_until([&] { return buffered.lost(); }));
}

TEST_F(Completions, connections_that_do_not_read_leave_the_buffers_to_those_that_do) {
    std::vector<Recorder*> recorders;
    std::vector<std::unique_ptr<TransportPair>> pairs;
    std::vector<Descriptor> watched;
    for (std::size_t i = 0; i < more_than_buffers; ++i) {
        recorders.push_back(&make_recorder());
        pairs.push_back(connect(*recorders.back()));
        watched.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        loop().add_reader(watched.back().get(), [] {});
        // To stop watching enters the kernel, which goes on receiving meanwhile: with the second piece there
        // are others behind it.
        recorders.back()->on_data = [this, recorder = recorders.back(), fd = watched.back().get(),
                                     transport = &pairs.back()->transport()](Bytes) {
            recorder->count('D') == 1 ? static_cast<void>(loop().remove_reader(fd))
                                      : transport->pause_reading();
        };
    }
    run_idle();
    const std::string text = numbered_lines(0, 6000);
    for (const auto& pair : pairs) {
        pair->peer().send(text);
    }
    EXPECT_TRUE(run_until([&] {
        return std::ranges::all_of(recorders,
                                   [](const Recorder* each) { return each->count('D') > 1; });
    }));
    Recorder& reading = make_recorder();
    const auto pair = connect(reading);
    pair->peer().send("hello");
    EXPECT_TRUE(run_until([&] { return reading.received() == "hello"; }));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        recorders[i]->on_data = nullptr;
        pairs[i]->transport().resume_reading();
    }
    EXPECT_TRUE(run_until([&] {
        return std::ranges::all_of(recorders,
                                   [&](const Recorder* each) { return each->received() == text; });
    }));
    end(*pair, reading);
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        end(*pairs[i], *recorders[i]);
    }
}

TEST_F(Completions, more_pieces_at_a_time_than_there_are_buffers_all_arrive) {
    // Each can fill a hundred buffers before the loop has looked once.
    constexpr int receive_bytes = 1 << 20;
    const std::string expected = numbered_lines(0, 70'000);
    std::vector<Recorder*> recorders;
    std::vector<Peer> peers;
    for (std::size_t i = 0; i < 40; ++i) {
        auto [near_end, far_end] =
            connected_peers({.send_bytes = {}, .receive_bytes = receive_bytes},
                            {.send_bytes = receive_bytes, .receive_bytes = {}});
        recorders.push_back(&make_recorder());
        static_cast<void>(run(loop().create_connection<RecordingProtocol>(
            Descriptor(near_end.release()), recorders.back())));
        peers.push_back(std::move(far_end));
    }
    for (Peer& peer : peers) {
        peer.send(expected);
    }
    EXPECT_TRUE(run_until([&] {
        return std::ranges::all_of(recorders, [&](const auto& each) {
            return each->received().size() == expected.size();
        });
    }));
    for (std::size_t i = 0; i < recorders.size(); ++i) {
        EXPECT_TRUE(recorders[i]->received() == expected) << i;
        EXPECT_FALSE(recorders[i]->lost());
        recorders[i]->transport().abort();
    }
    EXPECT_TRUE(run_until([&] {
        return std::ranges::all_of(recorders, [](const Recorder* each) { return each->lost(); });
    }));
}

TEST_F(Completions, what_was_received_and_not_read_moves_with_the_loop_to_another_thread) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    recorder.on_data = [&](Bytes) { pair->transport().pause_reading(); };
    // Several buffers, of which one is shown.
    const std::string text = numbered_lines(0, 3000);
    pair->peer().send(text);
    EXPECT_TRUE(run_until([&] { return recorder.count('D') > 0; }));
    EXPECT_LT(recorder.received().size(), text.size());
    recorder.on_data = nullptr;
    std::thread([&] {
        pair->transport().resume_reading();
        EXPECT_TRUE(run_until([&] { return recorder.received() == text; }));
        pair->peer().send("there ");
        EXPECT_TRUE(run_until([&] { return recorder.received() == text + "there "; }));
    }).join();
    pair->peer().send("here");
    EXPECT_TRUE(run_until([&] { return recorder.received() == text + "there here"; }));
    end(*pair, recorder);
}

TEST_F(Completions, the_end_that_comes_while_reading_is_paused_is_told_after_the_bytes) {
    Recorder& recorder = make_recorder();
    const auto pair = connect(recorder);
    recorder.on_data = [&](Bytes) { pair->transport().pause_reading(); };
    const std::string text = numbered_lines(0, 3000);
    pair->peer().send(text);
    pair->peer().close();
    EXPECT_TRUE(run_until([&] { return recorder.count('D') == 1; }));
    recorder.on_data = nullptr;
    run_idle();
    EXPECT_EQ(recorder.count('D') + recorder.count('E'), 1U);
    pair->transport().resume_reading();
    EXPECT_TRUE(run_until([&] { return recorder.lost(); }));
    EXPECT_EQ(recorder.merged_trace(), "M returns D" + std::to_string(text.size()) + " E L(None)");
}

TEST_F(Completions, a_loop_can_be_destroyed_with_operations_under_way) {
    Recorder& recorder = make_recorder();
    std::optional<EventLoop> other(std::in_place, Backend::io_uring);
    auto [near_end, far_end] = connected_peers();
    static_cast<void>(other->run_until_complete(
        other->create_connection<RecordingProtocol>(Descriptor(near_end.release()), &recorder)));
    other->call_soon([&] { recorder.transport().write(bytes_of("held")); });
    other->run_once(std::chrono::nanoseconds(0));
    far_end.send("unread");
    other->close();
    other.reset();
    recorder.forget_transport();
    EXPECT_TRUE(wait_readable(far_end.fd()));
    far_end.receive_available();
    EXPECT_EQ(far_end.received(), "held");
}

}  // namespace
}  // namespace sluice::test
