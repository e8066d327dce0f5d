// Gathering, proven by counting system calls (DESIGN.md: never one call per small write).
//
// The program is linked with wrapped socket calls; see support/syscall_counter.hpp. Counts are of
// the transport's own descriptor, so what the test's peer does is not in them.
#include "support/conformance.hpp"
#include "support/syscall_counter.hpp"

namespace sluice::test {
namespace {

class Gathering : public ConformanceTest {
protected:
    void open_counted(PairOptions options = {}) {
        open_quietly(options);
        fd_ = fd_of(transport());
        count_anew();
    }
    void count_anew() {
        counter_.clear();
        sends_before_ = loop().counters().send_calls;
    }
    [[nodiscard]] std::size_t sends() { return sends(fd_); }
    /// What a backend sends is no system call of its own; it is counted for all connections of the loop.
    [[nodiscard]] std::size_t sends(int fd) {
        return backend_sends() ? loop().counters().send_calls - sends_before_ : counter_.sends(fd);
    }
    [[nodiscard]] std::vector<SystemCall> sent() const { return counter_.sent(fd_); }
    /// The call took these bytes and nothing else but what records add, at most 1 % here.
    void expect_bytes(const SystemCall& call, std::size_t byte_count) const {
        const auto taken = static_cast<std::size_t>(call.result);
        EXPECT_GE(taken, byte_count);
        EXPECT_LE(taken, uses_tls() ? byte_count + byte_count / 100 + 200 : byte_count);
    }

    SyscallCounter counter_;
    std::uint64_t sends_before_ = 0;
    int fd_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Every, Gathering, testing::ValuesIn(conformance_cases()), case_name);

class GatheringOurs : public Gathering {};

INSTANTIATE_TEST_SUITE_P(Every, GatheringOurs, testing::ValuesIn(conformance_cases_over_our_own()),
                         case_name);

class GatheringPlain : public Gathering {};

INSTANTIATE_TEST_SUITE_P(Every, GatheringPlain, testing::ValuesIn(conformance_cases_without_tls()),
                         case_name);

TEST_P(Gathering, fifty_pipelined_requests_answered_by_fifty_writes_make_one_call) {
    recorder().on_data = [&](Bytes bytes) {
        for (std::size_t i = 0; i < bytes.size() / 64; ++i) {
            transport().write(bytes.subspan(i * 64, 64));
        }
    };
    open_counted();
    const std::string requests = pattern(50 * 64);
    transport().pause_reading();
    peer().send(requests);
    ASSERT_TRUE(wait_for_arrival(fd_, requests.size()));
    count_anew();
    transport().resume_reading();
    peer_receives(requests.size());
    EXPECT_EQ(peer().received(), requests);
    EXPECT_EQ(recorder().count('D'), 1U);
    EXPECT_EQ(sends(), 1U);
    // The end of a message is known from the short read: no second call to hear "would block".
    if (!backend_receives()) {
        EXPECT_EQ(counter_.count("recv", fd_), 1U);
    }
}

TEST_P(GatheringOurs, ping_pong_takes_one_receive_one_send_and_one_wait_per_message) {
    recorder().on_data = [&](Bytes bytes) { transport().write(bytes); };
    open_counted();
    constexpr std::size_t rounds = 100;
    const std::string message = pattern(64);
    for (std::size_t i = 0; i < rounds; ++i) {
        peer().send(message);
        ASSERT_TRUE(wait_readable(fd_));
        loop().run_once();
        ASSERT_TRUE(wait_readable(peer().fd()));
        peer().receive_available();
        ASSERT_EQ(peer().received().size(), (i + 1) * message.size());
    }
    EXPECT_EQ(sends(), rounds);
    EXPECT_EQ(counter_.count("recv", fd_), backend_receives() ? 0U : rounds);
    EXPECT_EQ(counter_.count("epoll_ctl", fd_), 0U) << "interest changes only when it must";
}

TEST_P(Gathering, headers_and_body_in_two_writes_of_one_callback_leave_in_one_call) {
    open_counted();
    in_callback([&] {
        transport().write("HTTP/1.1 200 OK\r\n\r\n");
        transport().write("hello");
        EXPECT_EQ(sends(), 0U) << "sent before the callback ended";
    });
    EXPECT_EQ(sends(), 1U);
    peer_receives(24);
    EXPECT_EQ(peer().received(), "HTTP/1.1 200 OK\r\n\r\nhello");
}

TEST_P(Gathering, headers_and_body_through_writelines_leave_in_one_call) {
    open_counted();
    const std::string body = pattern(20'000);
    const std::vector<Bytes> pieces{as_bytes("header\r\n\r\n"), as_bytes(body)};
    in_callback([&] { transport().writelines(std::span(pieces)); });
    ASSERT_EQ(sends(), 1U) << "inside a callback";
    expect_bytes(sent()[0], 20'010);
    count_anew();
    transport().writelines(std::span(pieces));
    ASSERT_EQ(sends(), 1U) << "outside";
    EXPECT_TRUE(uses_tls() || sent()[0].name == "sendmsg") << "copied together";
    expect_bytes(sent()[0], 20'010);
    peer_receives(40'020);
}

TEST_P(Gathering, a_write_of_4_KiB_leaves_at_once_in_one_call_with_what_was_gathered) {
    open_counted();
    const std::string body = pattern(limits::gather_span_bytes);
    in_callback([&] {
        transport().write("header ");
        transport().write("more header ");
        EXPECT_EQ(sends(), 0U);
        transport().write(body);
        ASSERT_EQ(sends(), 1U) << "a large write must leave inside the call";
        expect_bytes(sent()[0], 19 + body.size());
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    });
    EXPECT_EQ(sends(), 1U);
    peer_receives(19 + body.size());
    EXPECT_EQ(peer().received(), "header more header " + body);
}

TEST_P(GatheringPlain, a_large_write_joins_what_was_gathered_without_being_copied) {
    open_counted();
    in_callback([&] {
        transport().write("header ");
        transport().write(pattern(limits::gather_span_bytes));
        ASSERT_EQ(sends(), 1U);
        EXPECT_EQ(sent()[0].name, "sendmsg");
        EXPECT_EQ(sent()[0].segments, 2U) << "the gathered bytes, and the body where it lies";
    });
}

TEST_P(Gathering, a_write_just_below_4_KiB_is_gathered) {
    open_counted();
    in_callback([&] {
        transport().write(pattern(limits::gather_span_bytes - 1));
        EXPECT_EQ(sends(), 0U);
        EXPECT_EQ(transport().get_write_buffer_size(), limits::gather_span_bytes - 1);
    });
    EXPECT_EQ(sends(), 1U);
}

TEST_P(Gathering, every_ownership_form_is_gathered_when_small) {
    open_counted();
    in_callback([&] {
        transport().write("a");
        transport().write(Buffer::copy("b"));
        transport().write_static("c");
        transport().writelines({as_bytes("d"), as_bytes("e")});
        const std::vector<Buffer> buffers{Buffer::copy("f"), Buffer::copy("g")};
        transport().writelines(std::span(buffers));
    });
    EXPECT_EQ(sends(), 1U);
    peer_receives(7);
    EXPECT_EQ(peer().received(), "abcdefg");
}

TEST_P(Gathering, what_is_gathered_leaves_at_the_latest_when_64_KiB_are_full) {
    open_counted();
    std::size_t largest = 0;
    in_callback([&] {
        for (int i = 0; i < 300; ++i) {
            transport().write(pattern(1000));
            largest = std::max(largest, transport().get_write_buffer_size());
        }
    });
    EXPECT_LE(largest, limits::gather_block_bytes);
    peer_receives(300'000);
    EXPECT_LE(sends(), 300'000 / limits::gather_block_bytes + 2);
}

TEST_P(Gathering, a_high_mark_below_64_KiB_sends_earlier) {
    open_counted();
    transport().set_write_buffer_limits(3000);
    in_callback([&] {
        for (int i = 0; i < 10; ++i) {
            transport().write(pattern(1000));
            EXPECT_LE(transport().get_write_buffer_size(), 3000U);
        }
    });
    EXPECT_GE(sends(), 3U);
    EXPECT_LE(sends(), 5U);
    peer_receives(10'000);
    EXPECT_EQ(recorder().trace(), "") << "the kernel took everything: no reason to pause";
}

TEST_P(Gathering, a_high_mark_of_zero_turns_gathering_off) {
    open_counted();
    transport().set_write_buffer_limits(0);
    in_callback([&] {
        transport().write("a");
        EXPECT_EQ(sends(), 1U);
        transport().write("b");
        EXPECT_EQ(sends(), 2U);
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    });
    EXPECT_EQ(sends(), 2U);
    peer_receives(2);
}

TEST_P(Gathering, outside_the_loops_callbacks_every_write_is_sent_at_once) {
    open_counted();
    transport().write("a");
    EXPECT_EQ(sends(), 1U);
    transport().write("b");
    EXPECT_EQ(sends(), 2U);
    transport().writelines({as_bytes("c"), as_bytes("d")});
    EXPECT_EQ(sends(), 3U);
    run_idle();
    EXPECT_EQ(sends(), 3U);
    peer_receives(4);
    EXPECT_EQ(peer().received(), "abcd");
}

TEST_P(Gathering, every_kind_of_callback_gathers) {
    Recorder& events = make_recorder();
    TransportPair& connection = another(events);
    const auto write_twice = [&] {
        connection.transport().write("x");
        connection.transport().write("y");
    };
    events.on_made = [&](Transport& made) {
        count_anew();
        made.write("x");
        made.write("y");
    };
    open(connection, {});
    const int fd = fd_of(connection.transport());
    EXPECT_EQ(sends(fd), 1U) << "connection_made";

    count_anew();
    bool done = false;
    loop().call_later(std::chrono::microseconds(1), [&] {
        write_twice();
        done = true;
    });
    ASSERT_TRUE(run_until([&] { return done; }));
    EXPECT_EQ(sends(fd), 1U) << "call_later";

    count_anew();
    done = false;
    auto [reader, writer] = connected_peers();
    loop().add_reader(reader.fd(), [&, descriptor = reader.fd()] {
        write_twice();
        loop().remove_reader(descriptor);
        done = true;
    });
    writer.send("z");
    ASSERT_TRUE(run_until([&] { return done; }));
    EXPECT_EQ(sends(fd), 1U) << "add_reader";

    count_anew();
    loop().call_soon_threadsafe([&] {
        write_twice();
        done = false;
    });
    ASSERT_TRUE(run_until([&] { return !done; }));
    EXPECT_EQ(sends(fd), 1U) << "call_soon_threadsafe";

    count_anew();
    events.on_data = [&](Bytes) { write_twice(); };
    connection.peer().send("z");
    ASSERT_TRUE(run_until([&] { return events.count('D') == 1; }));
    EXPECT_EQ(sends(fd), 1U) << "data_received";
}

TEST_P(GatheringPlain, eof_received_gathers) {
    recorder().on_eof = [&] {
        transport().write("x");
        transport().write("y");
        return true;
    };
    open_counted();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    EXPECT_EQ(sends(), 1U);
}

Task<void> write_in_steps(Transport& transport) {
    transport.write("a");
    transport.write("b");
    auto pause = sluice::sleep(std::chrono::nanoseconds(0));
    co_await pause;
    transport.write("c");
    transport.write("d");
}

TEST_P(Gathering, a_step_of_a_coroutine_is_a_callback) {
    open_counted();
    loop().run_until_complete(write_in_steps(transport()));
    EXPECT_EQ(sends(), 2U);
    peer_receives(4);
    EXPECT_EQ(peer().received(), "abcd");
}

TEST_P(Gathering, several_transports_written_in_one_callback_make_one_call_each) {
    open_counted();
    Recorder& other_events = make_recorder();
    TransportPair& other = another(other_events);
    open(other, {});
    count_anew();
    in_callback([&] {
        for (int i = 0; i < 20; ++i) {
            transport().write("x");
            other.transport().write("y");
        }
    });
    if (backend_sends()) {
        EXPECT_EQ(sends(), 2U) << "of both";
    } else {
        EXPECT_EQ(sends(), 1U);
        EXPECT_EQ(sends(fd_of(other.transport())), 1U);
    }
}

TEST_P(Gathering, flush_sends_once_and_again_only_for_new_bytes) {
    open_counted();
    in_callback([&] {
        transport().flush();
        EXPECT_EQ(sends(), 0U);
        transport().write("a");
        transport().write("b");
        transport().flush();
        EXPECT_EQ(sends(), 1U);
        transport().flush();
        EXPECT_EQ(sends(), 1U);
        transport().write("c");
    });
    EXPECT_EQ(sends(), 2U);
    peer_receives(3);
}

TEST_P(Gathering, a_thousand_tiny_pieces_of_writelines_make_one_call_inside_and_outside) {
    open_counted();
    const std::string bytes = pattern(10'000);
    std::vector<Bytes> pieces;
    for (std::size_t at = 0; at < bytes.size(); at += 10) {
        pieces.push_back(as_bytes(std::string_view(bytes).substr(at, 10)));
    }
    in_callback([&] { transport().writelines(std::span(pieces)); });
    EXPECT_EQ(sends(), 1U) << "inside";
    count_anew();
    transport().writelines(std::span(pieces));
    EXPECT_EQ(sends(), 1U) << "outside";
    std::vector<Buffer> buffers;
    for (const Bytes piece : pieces) {
        buffers.push_back(Buffer::copy(piece));
    }
    count_anew();
    transport().writelines(std::span(buffers));
    EXPECT_EQ(sends(), 1U) << "owned";
    peer_receives(30'000);
    EXPECT_EQ(peer().received(), bytes + bytes + bytes);
}

TEST_P(Gathering, a_thousand_larger_pieces_of_writelines_make_few_calls) {
    open_counted();
    const std::string piece = pattern(1000);
    const std::vector<Bytes> pieces(1000, as_bytes(piece));
    transport().writelines(std::span(pieces));
    // One call takes up to 64 segments; a full kernel ends it sooner.
    EXPECT_LE(sends(), 1000 / limits::gather_segments + 1);
    peer_receives(1'000'000);
}

TEST_P(Gathering, a_backlog_of_many_small_writes_leaves_in_few_calls) {
    open_counted({.small_buffers = true});
    const std::size_t already = plug();
    constexpr std::size_t count = 10'000;
    in_callback([&] {
        for (std::size_t i = 0; i < count; ++i) {
            transport().write("0123456789");
        }
    });
    count_anew();
    for (std::size_t i = 0; i < count; ++i) {
        transport().write("0123456789");
    }
    EXPECT_EQ(sends(), 0U) << "E062: with a backlog a write only queues";
    peer_receives(already + 20 * count);
    EXPECT_LT(sends(), 200U) << "far fewer than the 20,000 writes";
}

TEST_P(Gathering, with_a_backlog_the_callbacks_end_makes_no_hopeless_call) {
    open_counted({.small_buffers = true});
    plug();
    count_anew();
    in_callback([&] { transport().write("small"); });
    in_callback([&] { transport().write(pattern(10'000)); });
    in_callback([&] { transport().flush(); });
    EXPECT_EQ(sends(), 0U);
}

TEST_P(Gathering, bytes_of_every_size_keep_their_order_inside_one_callback) {
    open_counted();
    std::string expected;
    const std::string large = pattern(5000);
    in_callback([&] {
        for (int i = 0; i < 100; ++i) {
            const std::string small = std::to_string(i) + ",";
            transport().write(small);
            expected += small;
            if (i % 7 == 0) {
                transport().write(Buffer::copy(large));
                expected += large;
            }
            if (i % 11 == 0) {
                transport().writelines({as_bytes(small), as_bytes(large), as_bytes(small)});
                expected += small + large + small;
            }
        }
    });
    peer_receives(expected.size());
    EXPECT_TRUE(peer().received() == expected);
}

TEST_P(Gathering, a_callback_that_throws_has_what_it_wrote_before_sent_if_it_is_not_fatal) {
    open_counted();
    loop().call_soon([&] {
        transport().write("before the exception");
        throw std::runtime_error("not the connection's");
    });
    peer_receives(20);
    EXPECT_EQ(take_reports().size(), 1U);
    EXPECT_EQ(sends(), 1U);
}

}  // namespace
}  // namespace sluice::test
