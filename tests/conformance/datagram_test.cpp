// Datagram endpoints over every wire: group P of asyncio's behaviour, and what goes beyond it.
#include "support/datagram_fixture.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

namespace sluice::test {
namespace {

class Datagrams : public DatagramTest, public testing::WithParamInterface<DatagramWire> {
protected:
    void SetUp() override { require(GetParam()); }
};
std::string wire_case_name(const testing::TestParamInfo<DatagramWire>& of) {
    return wire_name(of.param);
}
INSTANTIATE_TEST_SUITE_P(Every, Datagrams,
                         testing::Values(DatagramWire::ipv4, DatagramWire::ipv6,
                                         DatagramWire::unix_domain),
                         wire_case_name);

// ---- sending and receiving ----

TEST_P(Datagrams, P308_an_endpoint_with_a_local_address_receives_and_answers) {
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(GetParam());
    told_.on_datagram = [&](const std::string& data, const SocketAddress& sender) {
        transport.sendto("re: " + data, sender);
    };
    ASSERT_EQ(peer.send_to(address(transport), "hello"), 0);
    SocketAddress sender;
    EXPECT_EQ(next(peer, sender), "re: hello");
    EXPECT_EQ(sender, address(transport));
    EXPECT_EQ(told_.senders.at(0), peer.address());
    EXPECT_EQ(told_.trace, "MD");
    EXPECT_FALSE(transport.get_extra_info(extra::peername)) << "it is not connected";
}

TEST_P(Datagrams, P308_P309_an_endpoint_with_a_remote_address_needs_none_to_send) {
    DatagramPeer peer(GetParam());
    DatagramOptions options = bound();
    DatagramTransport& transport = open(options.remote_address(peer.address()));
    EXPECT_EQ(transport.get_extra_info(extra::peername), peer.address());
    transport.sendto("one");
    transport.sendto("two", peer.address());
    SocketAddress sender;
    EXPECT_EQ(next(peer, sender), "one");
    EXPECT_EQ(next(peer), "two");
    ASSERT_EQ(peer.send_to(sender, "three"), 0);
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 1; }));
    EXPECT_EQ(told_.received[0], "three");
}

TEST_P(Datagrams, P309_datagrams_keep_their_order_and_their_boundaries) {
    DatagramPeer peer(GetParam());
    peer.set_option(SOL_SOCKET, SO_RCVBUF, 1 << 20);
    DatagramTransport& transport = open(bound());
    std::vector<std::string> sent;
    in_callback([&] {
        for (std::size_t i = 0; i < 100; ++i) {
            sent.push_back(pattern(i * 37 % 1400, static_cast<unsigned>(i)));
            transport.sendto(sent.back(), peer.address());
        }
    });
    for (const std::string& datagram : sent) {
        ASSERT_EQ(next(peer), datagram);
    }
    EXPECT_EQ(counters(transport).sent, 100U);
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
}

TEST_P(Datagrams, P310_what_is_gathered_is_a_copy) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    in_callback([&] {
        std::string text = "as it was";
        transport.sendto(text, peer.address());
        text = "changed!!";
    });
    EXPECT_EQ(next(peer), "as it was");
}

TEST_P(Datagrams, P331_an_empty_datagram_is_sent_and_delivered) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    transport.sendto("", peer.address());
    in_callback([&] {
        transport.sendto("", peer.address());
        EXPECT_EQ(transport.get_write_buffer_size(), 8U) << "a header counts, not only bytes";
    });
    EXPECT_EQ(next(peer), "");
    EXPECT_EQ(next(peer), "");
    ASSERT_EQ(peer.send_to(address(transport), ""), 0);
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 1; }));
    EXPECT_EQ(told_.received[0], "");
}

TEST_P(Datagrams, P331_the_buffer_counts_eight_bytes_for_each_datagram) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    in_callback([&] {
        transport.sendto("12345", peer.address());
        EXPECT_EQ(transport.get_write_buffer_size(), 13U);
        transport.sendto("1", peer.address());
        EXPECT_EQ(transport.get_write_buffer_size(), 22U);
        transport.flush();
        EXPECT_EQ(transport.get_write_buffer_size(), 0U);
    });
    EXPECT_EQ(next(peer), "12345");
}

TEST_P(Datagrams, a_burst_is_delivered_without_loss_when_the_socket_holds_it) {
    DatagramTransport& transport = open(bound());
    const int fd = transport.get_extra_info(extra::socket).fd();
    const int room = 4 << 20;
    ASSERT_EQ(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    DatagramPeer peer(GetParam());
    std::size_t accepted = 0;
    for (std::size_t i = 0; i < 300; ++i) {
        // A Unix receiver's queue is short (net.unix.max_dgram_qlen): what is refused was not sent.
        accepted += peer.send_to(address(transport), std::to_string(i)) == 0 ? 1 : 0;
    }
    ASSERT_TRUE(run_until([&] { return told_.received.size() == accepted; }));
    for (std::size_t i = 0; i < accepted; ++i) {
        ASSERT_EQ(told_.received[i], std::to_string(i));
    }
    EXPECT_EQ(counters(transport).received, accepted);
}

TEST_P(Datagrams, one_endpoint_does_not_keep_the_others_waiting) {
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(GetParam());
    std::size_t answered = 0;
    // Every datagram causes the next one: without a bound this would never leave on_ready.
    told_.on_datagram = [&](const std::string&, const SocketAddress&) {
        transport.sendto("x", address(transport));
        transport.flush();
        ++answered;
    };
    ASSERT_EQ(peer.send_to(address(transport), "x"), 0);
    bool timer_ran = false;
    loop().call_later(std::chrono::milliseconds(1), [&] { timer_ran = true; });
    ASSERT_TRUE(run_until([&] { return timer_ran; }));
    EXPECT_GT(answered, 0U);
    transport.abort();
}

// ---- addresses ----

TEST_P(Datagrams, P315_a_connected_endpoint_refuses_another_address) {
    DatagramPeer peer(GetParam());
    DatagramPeer other(GetParam());
    DatagramOptions options = bound();
    DatagramTransport& transport = open(options.remote_address(peer.address()));
    EXPECT_THAT(message_of<std::invalid_argument>([&] { transport.sendto("x", other.address()); }),
                testing::AllOf(testing::HasSubstr("Invalid address"),
                               testing::HasSubstr(peer.address().to_string()),
                               testing::HasSubstr(other.address().to_string())));
    EXPECT_FALSE(transport.is_closing());
    transport.sendto("fine", peer.address());
    EXPECT_EQ(next(peer), "fine");
    EXPECT_EQ(other.receive(), std::nullopt);
}

TEST_P(Datagrams, P317_an_endpoint_without_a_peer_needs_an_address) {
    DatagramTransport& transport = open(bound());
    EXPECT_THAT(message_of<std::invalid_argument>([&] { transport.sendto("x"); }),
                testing::HasSubstr("needs one"));
}

TEST_P(Datagrams, P317_an_address_of_another_family_is_refused_and_named) {
    DatagramTransport& transport = open(bound());
    const DatagramWire wrong =
        GetParam() == DatagramWire::ipv4 ? DatagramWire::unix_domain : DatagramWire::ipv4;
    const SocketAddress target = free_address(wrong);
    EXPECT_THAT(message_of<std::invalid_argument>([&] { transport.sendto("x", target); }),
                testing::AllOf(testing::HasSubstr("family mismatch"),
                               testing::HasSubstr(target.to_string())));
    EXPECT_FALSE(transport.is_closing());
}

TEST_P(Datagrams, a_connected_endpoint_hears_nobody_else) {
    DatagramPeer peer(GetParam());
    DatagramPeer other(GetParam());
    DatagramOptions options = bound();
    DatagramTransport& transport = open(options.remote_address(peer.address()));
    static_cast<void>(other.send_to(address(transport), "stranger"));
    ASSERT_EQ(peer.send_to(address(transport), "friend"), 0);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    run_idle();
    EXPECT_EQ(told_.received, std::vector<std::string>{"friend"});
}

// ---- errors ----

TEST_P(Datagrams, P312_P320_a_datagram_that_is_too_long_is_an_error_and_the_endpoint_lives) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    in_callback([&] {
        transport.sendto("before", peer.address());
        transport.sendto(std::string(8UL << 20, 'x'), peer.address());
        EXPECT_TRUE(told_.errors.empty()) << "never inside the call that caused it";
        transport.sendto("behind", peer.address());
    });
    ASSERT_TRUE(run_until([&] { return !told_.errors.empty(); }));
    ASSERT_EQ(told_.errors.size(), 1U);
    EXPECT_EQ(told_.errors[0], std::errc::message_size);
    EXPECT_EQ(next(peer), "before");
    EXPECT_EQ(next(peer), "behind");
    EXPECT_EQ(counters(transport).send_errors, 1U);
    EXPECT_EQ(counters(transport).sent, 2U);
}

TEST_P(Datagrams, P319_I1_a_peer_that_is_not_there_any_more_is_told_as_refused) {
    auto peer = std::make_unique<DatagramPeer>(GetParam());
    const SocketAddress there = peer->address();
    DatagramOptions options = bound();
    DatagramTransport& transport = open(options.remote_address(there));
    peer.reset();
    transport.sendto("is anybody there?");
    ASSERT_TRUE(run_until([&] { return !told_.errors.empty(); }));
    EXPECT_EQ(told_.errors[0], std::errc::connection_refused);
    EXPECT_FALSE(transport.is_closing());
    // Unix sockets stay with the peer that is gone; others find the next one at its place.
    if (GetParam() != DatagramWire::unix_domain) {
        DatagramPeer again(GetParam(), there);
        transport.sendto("now?");
        EXPECT_EQ(next(again), "now?");
    }
}

TEST_P(Datagrams, P325_an_exception_in_datagram_received_is_reported_and_the_next_one_arrives) {
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(GetParam());
    told_.on_datagram = [](const std::string& data, const SocketAddress&) {
        if (data == "bad") {
            throw std::runtime_error("cannot stand it");
        }
    };
    for (const char* data : {"bad", "good", "bad", "bad", "good"}) {
        ASSERT_EQ(peer.send_to(address(transport), data), 0);
    }
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 5; }));
    EXPECT_EQ(told_.trace, "MDDDDD");
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 3U);
    EXPECT_EQ(reports[0].what, "cannot stand it");
    EXPECT_THAT(reports[0].message, testing::HasSubstr("datagrams_received"));
    EXPECT_TRUE(reports[0].has_protocol);
    EXPECT_FALSE(transport.is_closing());
}

TEST_P(Datagrams, P325_an_exception_in_error_received_and_others_is_reported_only) {
    told_.on_made = [] { throw std::runtime_error("made"); };
    told_.on_error = [](std::error_code) { throw std::runtime_error("error"); };
    told_.on_lost = [] { throw std::runtime_error("lost"); };
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    transport.sendto(std::string(8UL << 20, 'x'), peer.address());
    ASSERT_TRUE(run_until([&] { return !told_.errors.empty(); }));
    transport.sendto("alive", peer.address());
    EXPECT_EQ(next(peer), "alive");
    transport.close();
    run_until_lost();
    std::vector<std::string> said;
    for (const Report& report : take_reports()) {
        said.push_back(report.what);
    }
    EXPECT_EQ(said, (std::vector<std::string>{"made", "error", "lost"}));
}

TEST_P(Datagrams, stop_loop_out_of_a_callback_leaves_the_loop_and_loses_nothing) {
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(GetParam());
    told_.on_datagram = [](const std::string& data, const SocketAddress&) {
        if (data == "stop") {
            throw StopLoop();
        }
    };
    for (const char* data : {"one", "stop", "two"}) {
        ASSERT_EQ(peer.send_to(address(transport), data), 0);
    }
    EXPECT_THROW(loop().run_forever(), StopLoop);
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 3; }));
}

// ---- closing ----

TEST_P(Datagrams, P322_close_sends_what_was_gathered_and_then_connection_lost_comes) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    const Ref<DatagramTransport> kept(&transport);
    const int fd = transport.get_extra_info(extra::socket).fd();
    in_callback([&] {
        transport.sendto("last words", peer.address());
        transport.close();
        EXPECT_TRUE(transport.is_closing());
        EXPECT_FALSE(told_.lost) << "from the loop only";
        transport.close();
    });
    run_until_lost();
    EXPECT_EQ(next(peer), "last words");
    EXPECT_EQ(told_.trace, "ML");
    EXPECT_EQ(told_.lost, std::error_code());
    EXPECT_FALSE(descriptor_is_open(fd));
    EXPECT_EQ(kept->get_protocol(), nullptr);
    EXPECT_EQ(kept->get_extra_info(extra::socket).fd(), -1);
    EXPECT_TRUE(kept->get_extra_info(extra::sockname)) << "it survives";
}

TEST_P(Datagrams, P322_abort_drops_what_was_gathered) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    const Ref<DatagramTransport> kept(&transport);
    in_callback([&] {
        transport.sendto("never", peer.address());
        transport.abort();
        EXPECT_EQ(transport.get_write_buffer_size(), 0U);
        transport.abort();
    });
    run_until_lost();
    EXPECT_EQ(peer.receive(), std::nullopt);
    EXPECT_EQ(counters(*kept).dropped, 1U);
    EXPECT_EQ(told_.trace, "ML");
}

TEST_P(Datagrams, P323_what_is_sent_after_close_is_dropped_silently) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    const Ref<DatagramTransport> kept(&transport);
    transport.close();
    transport.sendto("too late", peer.address());
    run_until_lost();
    kept->sendto("far too late", peer.address());
    kept->send_segments(as_bytes("much too late"), 4, peer.address());
    kept->flush();
    kept->close();
    kept->abort();
    kept->pause_reading();
    kept->resume_reading();
    kept->set_write_buffer_limits(10);
    kept->set_write_buffer_cap(10);
    run_idle();
    EXPECT_EQ(peer.receive(), std::nullopt);
    EXPECT_EQ(counters(*kept).dropped, 2U + 4U);
    EXPECT_EQ(told_.trace, "ML");
}

TEST_P(Datagrams, P323_in_debug_mode_the_sixth_time_is_reported_once) {
    loop().set_debug(true);
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    transport.close();
    for (int i = 0; i < 20; ++i) {
        transport.sendto("x", peer.address());
    }
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_THAT(reports[0].message, testing::HasSubstr("closed endpoint"));
    run_until_lost();
}

TEST_P(Datagrams, P324_nothing_is_delivered_after_close_not_even_of_the_same_batch) {
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(GetParam());
    told_.on_datagram = [&](const std::string&, const SocketAddress&) { transport.close(); };
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(peer.send_to(address(transport), "x"), 0);
    }
    run_until_lost();
    EXPECT_EQ(told_.trace, "MDL");
}

TEST_P(Datagrams, abort_or_close_inside_any_callback_ends_it_once) {
    for (const bool abort : {true, false}) {
        DatagramRecorder& told = another_recorder();
        told.on_made = [&] { abort ? told.transport->abort() : told.transport->close(); };
        told.on_lost = [&] {
            told.transport->close();
            told.transport->abort();
            told.transport->sendto("x", free_address(GetParam()));
        };
        open(bound(), told);
        ASSERT_TRUE(run_until([&] { return told.lost.has_value(); }));
        endpoints_.clear();
        run_idle();
        EXPECT_EQ(told.trace, "ML");
        EXPECT_EQ(told.destroyed, 1);
    }
}

TEST_P(Datagrams, the_last_reference_may_go_inside_a_callback) {
    auto kept = std::make_shared<Ref<DatagramTransport>>();
    DatagramTransport& transport = open(bound());
    *kept = Ref<DatagramTransport>(&transport);
    endpoints_.clear();
    DatagramPeer peer(GetParam());
    told_.on_datagram = [&](const std::string&, const SocketAddress&) {
        transport.abort();
        kept->reset();
    };
    told_.on_lost = [] {};
    ASSERT_EQ(peer.send_to(address(transport), "x"), 0);
    ASSERT_EQ(peer.send_to(address(transport), "y"), 0);
    run_until_lost();
    run_idle();
    EXPECT_EQ(told_.trace, "MDL");
    EXPECT_EQ(told_.destroyed, 1);
}

TEST_P(Datagrams, a_loop_that_is_destroyed_detaches_its_endpoints) {
    DatagramPeer peer(GetParam());
    DatagramTransport& transport = open(bound());
    const Ref<DatagramTransport> kept(&transport);
    const int fd = transport.get_extra_info(extra::socket).fd();
    endpoints_.clear();
    destroy_loop();
    EXPECT_FALSE(descriptor_is_open(fd));
    EXPECT_EQ(told_.trace, "M");
    EXPECT_EQ(told_.destroyed, 1);
    kept->sendto("x", peer.address());
    kept->close();
    kept->abort();
    kept->flush();
    EXPECT_TRUE(kept->is_closing());
    EXPECT_EQ(kept->get_protocol(), nullptr);
}

// ---- the protocol ----

TEST_P(Datagrams, connection_made_comes_first_then_the_awaiting_caller_then_datagrams) {
    DatagramPeer peer(GetParam());
    const SocketAddress local = free_address(GetParam());
    bool returned = false;
    told_.on_made = [&] {
        ASSERT_EQ(peer.send_to(told_.transport->get_extra_info(extra::sockname), "early"), 0);
    };
    told_.on_datagram = [&](const std::string&, const SocketAddress&) { EXPECT_TRUE(returned); };
    auto opening = loop().create_datagram_endpoint<RecordingDatagramProtocol>(
        DatagramOptions().local_address(local), &told_);
    const auto waiting = [](Task<DatagramEndpoint<RecordingDatagramProtocol>> task,
                            bool& done) -> Task<Ref<DatagramTransport>> {
        auto endpoint = co_await task;
        done = true;
        co_return endpoint.transport;
    };
    auto handle = loop().create_task(waiting(std::move(opening), returned));
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_EQ(told_.trace, "MD");
    handle.result()->close();
}

TEST_P(Datagrams, set_protocol_takes_effect_with_the_next_datagram_of_the_batch) {
    DatagramTransport& transport = open(bound());
    DatagramRecorder& second = another_recorder();
    DatagramPeer peer(GetParam());
    told_.on_datagram = [&](const std::string&, const SocketAddress&) {
        transport.set_protocol(std::make_unique<RecordingDatagramProtocol>(&second));
        EXPECT_EQ(told_.destroyed, 0) << "it is the one that is calling";
    };
    for (const char* data : {"one", "two", "three"}) {
        ASSERT_EQ(peer.send_to(address(transport), data), 0);
    }
    ASSERT_TRUE(run_until([&] { return second.received.size() == 2; }));
    EXPECT_EQ(told_.received, std::vector<std::string>{"one"});
    EXPECT_EQ(second.received, (std::vector<std::string>{"two", "three"}));
    run_idle();
    EXPECT_EQ(told_.destroyed, 1);
    EXPECT_ANY_THROW(transport.set_protocol(nullptr));
    transport.close();
    ASSERT_TRUE(run_until([&] { return second.lost.has_value(); }));
    EXPECT_FALSE(told_.lost);
}

TEST_P(Datagrams, pause_reading_holds_datagrams_back_until_resume_reading) {
    told_.on_made = [&] { told_.transport->pause_reading(); };
    DatagramTransport& transport = open(bound());
    EXPECT_FALSE(transport.is_reading());
    DatagramPeer peer(GetParam());
    ASSERT_EQ(peer.send_to(address(transport), "waiting"), 0);
    run_idle();
    EXPECT_TRUE(told_.received.empty());
    transport.resume_reading();
    transport.resume_reading();
    EXPECT_TRUE(told_.received.empty()) << "from the loop only";
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 1; }));
}

}  // namespace
}  // namespace sluice::test
