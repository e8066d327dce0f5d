// docs/lifecycle.md, sentence by sentence: a case for each number. The details of asyncio behind
// the sentences are in tests/conformance.
#include "support/conformance.hpp"
#include "support/peer.hpp"

#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace sluice::test {
namespace {

class Lifecycle : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Lifecycle, testing::ValuesIn(conformance_cases()), case_name);

class LifecycleHalves : public Lifecycle {};

INSTANTIATE_TEST_SUITE_P(Every, LifecycleHalves,
                         testing::ValuesIn(conformance_cases_with_half_close()), case_name);

TEST_P(Lifecycle, L1_connection_made_comes_first_from_the_loop_and_what_it_does_holds) {
    recorder().on_made = [](Transport& transport) { transport.pause_reading(); };
    pair().start({.via = Via::adopt});
    EXPECT_FALSE(recorder().made()) << "connection_made inside the call";
    ASSERT_TRUE(run_until([&] { return pair().ready(); }));
    peer().send("early");
    ASSERT_TRUE(wait_for_arrival(fd_of(transport()), 5));
    run_idle();
    EXPECT_EQ(recorder().trace(), "M returns");
    transport().resume_reading();
    ASSERT_TRUE(run_until([&] { return recorder().received() == "early"; }));
}

TEST_P(Lifecycle, L2_the_awaiting_caller_runs_before_the_first_data_arrives) {
    auto [peer, ours] = connected_peers();
    peer.send("waiting already");
    Recorder& told = make_recorder();
    std::size_t received_at_return = 1;
    auto connecting = [](EventLoop& loop, Recorder& recorder, Descriptor socket,
                         std::size_t& received) -> Task<void> {
        auto making = loop.create_connection<RecordingProtocol>(std::move(socket), &recorder);
        const auto connection = co_await making;
        received = recorder.received().size();
    };
    loop().create_task(connecting(loop(), told, Descriptor(ours.release()), received_at_return));
    ASSERT_TRUE(run_until([&] { return told.received() == "waiting already"; }));
    EXPECT_EQ(received_at_return, 0U);
    told.transport().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    told.forget_transport();
}

TEST_P(Lifecycle, L3_data_arrives_in_order_in_pieces_of_at_most_256_kib) {
    open_quietly();
    const std::string sent = pattern(3'000'000);
    peer_sends(sent);
    ASSERT_TRUE(run_until([&] { return recorder().received().size() == sent.size(); }));
    EXPECT_TRUE(recorder().received() == sent);
    for (const std::size_t size : recorder().chunks()) {
        ASSERT_GE(size, 1U);
        ASSERT_LE(size, 256U * 1024);
    }
}

TEST_P(Lifecycle, L4_eof_received_comes_once_and_closes_unless_it_returns_true) {
    open_quietly();
    peer().shutdown_write();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(LifecycleHalves, L4_eof_received_returning_true_keeps_the_writing_half_open) {
    recorder().on_eof = [] { return true; };
    open_quietly();
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return recorder().count('E') == 1; }));
    run_idle();
    transport().write("still here");
    peer_receives(10);
    EXPECT_EQ(recorder().trace(), "E");
    transport().close();
    EXPECT_EQ(peer_receives_everything(), "still here");
    EXPECT_EQ(recorder().trace(), "E L(None)");
}

TEST_P(Lifecycle, L5_connection_lost_is_last_and_gives_the_first_reason) {
    open_quietly();
    peer_resets();
    run_until_lost();
    transport().abort();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(ECONNRESET)");
}

TEST_P(Lifecycle, L6_no_callback_runs_inside_a_call_except_pause_writing_in_write) {
    open_quietly({.small_buffers = true});
    bool inside_write = false;
    bool paused_inside_write = false;
    recorder().on_pause = [&] { paused_inside_write = inside_write; };
    inside_write = true;
    transport().write(pattern(1'000'000));
    inside_write = false;
    EXPECT_TRUE(paused_inside_write);
    transport().abort();
    EXPECT_EQ(recorder().count('L'), 0U) << "connection_lost inside abort()";
    run_until_lost();
}

TEST_P(Lifecycle, L7_pause_and_resume_alternate_and_pause_comes_first) {
    open_quietly({.small_buffers = true});
    const std::string sent = pattern(400'000);
    for (int round = 0; round < 3; ++round) {
        transport().write(sent);
        EXPECT_EQ(recorder().trace(), "P");
        peer_receives((static_cast<std::size_t>(round) + 1) * sent.size());
        EXPECT_EQ(recorder().trace(), "P R");
        recorder().clear_trace();
    }
}

TEST_P(Lifecycle, L8_close_drains_and_still_takes_a_write_while_data_is_pending) {
    open_quietly({.small_buffers = true});
    transport().set_write_buffer_limits(10'000'000);
    const std::string sent = pattern(1'000'000);
    transport().write(sent);
    transport().close();
    transport().write("tail");
    EXPECT_TRUE(peer_receives_everything() == sent + "tail");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Lifecycle, L8_a_write_after_close_is_dropped_when_nothing_is_pending) {
    open_quietly();
    in_callback([&] {
        transport().write("sent");
        transport().close();
        transport().write("dropped");
    });
    EXPECT_EQ(peer_receives_everything(), "sent");
}

TEST_P(Lifecycle, L8_abort_discards_what_is_pending) {
    open_quietly({.small_buffers = true});
    transport().write(pattern(1'000'000));
    transport().abort();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_LT(peer_receives_everything().size(), 1'000'000U);
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(Lifecycle, L9_writes_of_one_callback_leave_together_and_in_order) {
    open_quietly();
    const std::string body = pattern(5000);
    in_callback([&] {
        transport().write("header ");
        transport().write("and ");
        EXPECT_EQ(transport().get_write_buffer_size(), 11U) << "not gathered";
        transport().write(body);
        EXPECT_EQ(transport().get_write_buffer_size(), 0U) << "a large write leaves at once";
        transport().write("end");
    });
    peer_receives(11 + body.size() + 3);
    EXPECT_EQ(peer().received(), "header and " + body + "end");
}

TEST_P(Lifecycle, L10_an_exception_from_a_read_callback_ends_the_connection_and_is_reported) {
    recorder().on_data = [](Bytes) { throw std::runtime_error("a bug of the user"); };
    open_quietly();
    peer().send("x");
    run_until_lost();
    EXPECT_EQ(recorder().reason(), Error::callback_failed);
    const auto reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "a bug of the user");
}

TEST_P(Lifecycle, L10_an_exception_from_another_callback_is_only_reported) {
    recorder().on_made = [](Transport&) { throw std::runtime_error("in connection_made"); };
    open_quietly();
    ASSERT_EQ(take_reports().size(), 1U);
    peer().send("works");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "works"; }));
}

TEST_P(Lifecycle, L11_a_replaced_protocol_is_destroyed_after_the_callback_that_replaced_it) {
    open_quietly();
    Recorder& second = make_recorder();
    std::size_t destroyed_inside = 99;
    recorder().on_data = [&](Bytes) {
        transport().set_protocol(make_recording_protocol(GetParam().protocol, second));
        destroyed_inside = recorder().destroyed();
    };
    peer().send("x");
    ASSERT_TRUE(run_until([&] { return recorder().destroyed() == 1; }));
    EXPECT_EQ(destroyed_inside, 0U);
}

TEST_P(Lifecycle, L12_a_lost_transport_is_harmless_and_keeps_its_addresses) {
    open_quietly();
    const SocketAddress peername = transport().get_extra_info(extra::peername);
    const int fd = fd_of(transport());
    transport().close();
    run_until_lost();
    EXPECT_FALSE(descriptor_is_open(fd));
    transport().write("x");
    transport().write(Buffer::copy("x"));
    transport().write_static("x");
    transport().writelines({as_bytes("x")});
    transport().flush();
    if (transport().can_write_eof()) {
        transport().write_eof();
    }
    transport().pause_reading();
    transport().resume_reading();
    transport().close();
    transport().abort();
    transport().set_write_buffer_limits(1, 0);
    transport().set_write_buffer_cap(5);
    EXPECT_EQ(transport().get_protocol(), nullptr);
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_TRUE(transport().is_closing());
    EXPECT_FALSE(transport().is_reading());
    EXPECT_TRUE(peername);
    EXPECT_EQ(transport().get_extra_info(extra::peername), peername);
    EXPECT_EQ(transport().get_extra_info(extra::socket).fd(), -1);
    run_idle();
}

TEST_P(Lifecycle, L13_destroying_the_loop_closes_descriptors_without_calling_anybody) {
    open_quietly();
    const int fd = fd_of(transport());
    const Ref<Transport> kept(&transport());
    in_callback([&] { transport().write("gathered"); });
    recorder().forget_transport();
    pair().close_server();
    destroy_loop();
    EXPECT_FALSE(descriptor_is_open(fd));
    EXPECT_EQ(recorder().trace(), "");
    kept->write("x");
    kept->close();
    EXPECT_TRUE(kept->is_closing());
}

TEST_P(Lifecycle, L13_a_lost_transport_may_outlive_the_loop) {
    open_quietly();
    Ref<Transport> kept(&transport());
    transport().close();
    run_until_lost();
    recorder().forget_transport();
    pair().close_server();
    destroy_loop();
    for (int count = 0; count < 10; ++count) {
        kept->write("dropped");
    }
    const Ref<Transport> copy = kept;
    kept.reset();
    EXPECT_TRUE(copy->get_extra_info(extra::peername));
}

TEST_P(Lifecycle, L14_an_idle_connection_counts_no_unsent_bytes_after_each_callback) {
    open_quietly();
    for (int round = 0; round < 10; ++round) {
        in_callback([&] { transport().write("ping"); });
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    }
    peer_receives(40);
}

}  // namespace
}  // namespace sluice::test
