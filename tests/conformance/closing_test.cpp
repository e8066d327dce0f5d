// Group H of semantics.md: close, abort and errors, from every callback there is.
//
// H122's context is Python's; that a server's transport closed by hand is lost like any other is
// covered by running every case over the ways a connection can be made. Not here: what a fault of
// the kernel does (faults_test.cpp).
#include "support/conformance.hpp"

#include <stdexcept>

namespace sluice::test {
namespace {

class Closing : public ConformanceTest {};

INSTANTIATE_TEST_SUITE_P(Every, Closing, testing::ValuesIn(conformance_cases()), case_name);

class ClosingOurs : public Closing {};

INSTANTIATE_TEST_SUITE_P(Every, ClosingOurs, testing::ValuesIn(conformance_cases_over_our_own()),
                         case_name);

class ClosingHalves : public Closing {};

INSTANTIATE_TEST_SUITE_P(Every, ClosingHalves,
                         testing::ValuesIn(conformance_cases_with_half_close()), case_name);

TEST_P(Closing, H114_close_with_pending_data_flushes_then_reports_a_clean_loss) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().close();
    EXPECT_TRUE(transport().is_closing());
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    EXPECT_EQ(peer_receives_everything().size(), written);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H114_close_stops_reading_at_once_also_while_it_flushes) {
    open_quietly({.small_buffers = true});
    plug();
    transport().close();
    peer().send("not for us any more");
    ASSERT_TRUE(wait_for_arrival(fd_of(transport()), 19));
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return recorder().lost();
    }));
    // How much of it the peer gets is out of our hands: closing a socket with unread bytes makes
    // the kernel reset the connection (RFC 1122, 4.2.2.13), as under asyncio.
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H114_a_peer_that_ends_while_we_flush_gets_everything) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().close();
    peer().shutdown_write();
    run_idle();
    EXPECT_EQ(peer_receives_everything().size(), written);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H114_a_peer_that_resets_while_we_flush_ends_the_flushing) {
    open_quietly({.small_buffers = true});
    plug();
    transport().close();
    run_idle();
    peer_resets();
    run_until_lost();
    EXPECT_EQ(recorder().count('L'), 1U);
    EXPECT_EQ(recorder().count('E'), 0U);
    EXPECT_TRUE(recorder().reason() == std::errc::connection_reset ||
                recorder().reason() == std::errc::broken_pipe)
        << recorder().trace();
}

TEST_P(Closing, H115_however_often_and_in_whatever_order_there_is_one_loss) {
    using Call = void (Transport::*)();
    const std::vector<std::vector<Call>> orders{
        {&Transport::close, &Transport::close},
        {&Transport::abort, &Transport::abort},
        {&Transport::close, &Transport::abort},
        {&Transport::abort, &Transport::close},
        {&Transport::close, &Transport::abort, &Transport::close, &Transport::abort},
    };
    for (const bool with_backlog : {false, true}) {
        for (const std::vector<Call>& order : orders) {
            Recorder& events = make_recorder();
            TransportPair& connection = another(events);
            open(connection, {.small_buffers = true});
            if (with_backlog) {
                connection.transport().set_write_buffer_limits(16 * 1024 * 1024);
                connection.transport().write(pattern(500'000));
            }
            events.clear_trace();
            for (const Call call : order) {
                (connection.transport().*call)();
                EXPECT_TRUE(connection.transport().is_closing());
                EXPECT_EQ(events.trace(), "");
            }
            ASSERT_TRUE(run_until([&] {
                connection.peer().receive_available();
                return events.lost();
            }));
            for (const Call call : order) {
                (connection.transport().*call)();
            }
            run_idle();
            EXPECT_EQ(events.trace(), "L(None)");
        }
    }
}

TEST_P(Closing, H116_close_with_nothing_pending_never_calls_lost_inside) {
    open_quietly();
    transport().close();
    EXPECT_EQ(recorder().trace(), "");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H116_close_from_any_loop_callback_calls_lost_in_a_later_one) {
    open_quietly();
    in_callback([&] {
        transport().close();
        EXPECT_EQ(recorder().trace(), "");
    });
    run_until_lost();
}

TEST_P(ClosingOurs, H116_the_descriptor_is_open_in_connection_lost_and_closed_after_it) {
    open_quietly();
    const int fd = fd_of(transport());
    bool open_inside = false;
    bool lost_seen = false;
    recorder().on_lost = [&](std::error_code) {
        open_inside = descriptor_is_open(fd);
        loop().call_soon([&] {
            lost_seen = true;
            EXPECT_FALSE(descriptor_is_open(fd));
        });
    };
    transport().close();
    ASSERT_TRUE(run_until([&] { return lost_seen; }));
    EXPECT_TRUE(open_inside);
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(Closing, H117_abort_drops_what_is_pending_at_once) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().abort();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_EQ(recorder().trace(), "");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return peer().saw_end() || peer().error() != 0;
    }));
    EXPECT_LT(peer().received().size(), written);
}

TEST_P(Closing, H117_abort_drops_what_was_gathered_in_the_same_callback) {
    open_quietly();
    in_callback([&] {
        transport().write("never sent");
        transport().abort();
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    });
    run_until_lost();
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(Closing, H117_writes_after_abort_are_dropped) {
    open_quietly({.small_buffers = true});
    plug();
    transport().abort();
    transport().write("dropped");
    transport().writelines({as_bytes("dropped")});
    transport().write(pattern(100'000));
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H117_abort_after_close_cuts_the_flushing_short) {
    open_quietly({.small_buffers = true});
    const std::size_t written = plug();
    transport().close();
    run_idle();
    EXPECT_EQ(recorder().trace(), "");
    transport().abort();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
    peer().receive_available();
    EXPECT_LT(peer().received().size(), written);
}

TEST_P(ClosingHalves, H117_abort_after_write_eof_with_a_backlog_is_a_clean_loss) {
    open_quietly({.small_buffers = true});
    plug();
    transport().write_eof();
    transport().abort();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(Closing, H120_errors_of_the_network_are_not_worth_a_report) {
    open_quietly();
    peer_resets();
    run_until_lost();
    EXPECT_TRUE(take_reports().empty());
}

TEST_P(Closing, H121_is_closing_is_true_from_the_call_on) {
    open_quietly();
    EXPECT_FALSE(transport().is_closing());
    transport().close();
    EXPECT_TRUE(transport().is_closing());
    run_until_lost();
    EXPECT_TRUE(transport().is_closing());
}

TEST_P(Closing, H122_a_transport_of_a_server_closed_by_hand_is_lost_like_any_other) {
    open_quietly({.via = Via::server});
    EXPECT_EQ(pair().server().connection_count(), 1U);
    transport().write("goodbye");
    transport().close();
    EXPECT_EQ(peer_receives_everything(), "goodbye");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
    EXPECT_EQ(pair().server().connection_count(), 0U);
}

TEST_P(Closing, H123_writing_on_after_a_reset_gives_exactly_one_loss) {
    open_quietly();
    peer_resets();
    ASSERT_TRUE(wait_for_hang_up(fd_of(transport())));
    for (int i = 0; i < 4; ++i) {
        EXPECT_NO_THROW(transport().write("x"));
    }
    EXPECT_EQ(recorder().trace(), "");
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().count('L'), 1U);
    EXPECT_EQ(recorder().count('E'), 0U);
    EXPECT_NE(recorder().reason(), std::error_code());
}

TEST_P(Closing, H123_the_first_reason_is_kept_whatever_is_called_after_it) {
    recorder().on_data = [&](Bytes) {
        peer_resets();
        throw std::runtime_error("first");
    };
    open_quietly();
    peer().send("abc");
    ASSERT_TRUE(run_until([&] { return transport().is_closing(); }));
    transport().write("x");
    transport().close();
    transport().abort();
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "D3 L(callback_failed)");
    EXPECT_EQ(take_reports().size(), 1U);
}

TEST_P(Closing,
       H125_rel_A12_a_loop_destroyed_with_open_transports_closes_their_descriptors_silently) {
    std::vector<int> descriptors;
    for (const Via via : {Via::connect, Via::adopt, Via::accept_socket, Via::server}) {
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {.via = via, .small_buffers = true});
        connection.transport().write(pattern(500'000));
        descriptors.push_back(fd_of(connection.transport()));
        events.forget_transport();
        events.clear_trace();
    }
    loop().stop();
    loop().run_forever();
    destroy_loop();
    for (const int fd : descriptors) {
        EXPECT_FALSE(descriptor_is_open(fd));
    }
}

TEST_P(Closing, H125_a_loop_destroyed_in_the_middle_of_every_stage_calls_nobody) {
    open_quietly({.small_buffers = true});
    plug();
    Recorder& aborted = make_recorder();
    TransportPair& second = another(aborted);
    open(second, {});
    transport().close();
    second.transport().abort();
    Recorder& fresh = make_recorder();
    another(fresh).start({.via = Via::adopt});
    aborted.clear_trace();
    destroy_loop();
    EXPECT_EQ(recorder().trace(), "");
    EXPECT_EQ(aborted.trace(), "");
    EXPECT_EQ(fresh.trace(), "");
}

TEST_P(Closing, H125_a_closed_loop_leaves_handles_harmless) {
    open_quietly();
    loop().close();
    EXPECT_TRUE(loop().is_closed());
    transport().write("x");
    transport().close();
    EXPECT_TRUE(transport().is_closing());
    EXPECT_EQ(recorder().trace(), "");
    ASSERT_TRUE(wait_readable(peer().fd()));
    peer().receive_available();
    EXPECT_TRUE(peer().saw_end());
}

// What a callback can do to its own connection, in each callback.
class InsideCallbacks : public ConformanceTest {
protected:
    /// The events of a connection that goes through every callback, `act` being called in `where`.
    void walk(char where, const std::function<void(Transport&)>& act) {
        Recorder& events = make_recorder();
        events_ = &events;
        const auto act_in = [&events, act, where](char here) {
            if (here == where) {
                act(events.transport());
            }
        };
        events.on_made = [act_in](Transport&) { act_in('M'); };
        events.on_data = [act_in](Bytes) { act_in('D'); };
        events.on_eof = [act_in] {
            act_in('E');
            return true;
        };
        events.on_pause = [act_in] { act_in('P'); };
        events.on_resume = [act_in] { act_in('R'); };
        events.on_lost = [act_in](std::error_code) { act_in('L'); };
        TransportPair& connection = another(events);
        open(connection, {.small_buffers = true});
        connection.transport().write(pattern(500'000));
        // A Unix socket whose other end is closed takes nothing any more.
        if (!events.lost()) {
            connection.peer().send("abc");
            connection.peer().shutdown_write();
        }
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            const bool everything = events.count('E') + events.count('R') == 2;
            return events.lost() || everything;
        }));
        connection.transport().close();
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return events.lost();
        })) << events.trace();
        run_idle();
    }
    Recorder* events_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Every, InsideCallbacks, testing::ValuesIn(conformance_cases()), case_name);

class InsideDirectCallbacks : public InsideCallbacks {};

INSTANTIATE_TEST_SUITE_P(Every, InsideDirectCallbacks,
                         testing::ValuesIn(conformance_cases_made_directly()), case_name);

TEST_P(InsideCallbacks, close_and_abort_in_every_callback_end_in_one_clean_loss) {
    for (const char where : std::string_view("MDEPRL")) {
        for (const bool abort : {false, true}) {
            SCOPED_TRACE(testing::Message() << where << (abort ? " abort" : " close"));
            walk(where, [abort](Transport& transport) {
                abort ? transport.abort() : transport.close();
                EXPECT_TRUE(transport.is_closing());
            });
            EXPECT_EQ(events_->count('L'), 1U);
            EXPECT_EQ(events_->reason(), std::error_code());
        }
    }
}

TEST_P(InsideCallbacks, rel_A6_an_exception_in_every_callback_is_reported_and_harms_nobody_else) {
    open_quietly();
    for (const char where : std::string_view("MDEPRL")) {
        SCOPED_TRACE(where);
        walk(where, [](Transport&) { throw std::runtime_error("thrown"); });
        const bool fatal = where == 'D' || where == 'E';
        EXPECT_EQ(events_->reason(),
                  fatal ? make_error_code(Error::callback_failed) : std::error_code());
        const std::vector<Report> reports = take_reports();
        ASSERT_EQ(reports.size(), 1U);
        EXPECT_EQ(reports[0].what, "thrown");
        EXPECT_TRUE(reports[0].has_protocol);
    }
    // The neighbour is none the worse.
    peer().send("hello");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "hello"; }));
}

TEST_P(InsideDirectCallbacks, StopLoop_from_every_callback_leaves_the_run_and_harms_nobody) {
    for (const char where : std::string_view("MDERL")) {
        SCOPED_TRACE(where);
        int stopped = 0;
        // The walk goes on after each interruption.
        Recorder& events = make_recorder();
        const auto stop_in = [where](char here) {
            if (here == where) {
                throw StopLoop();
            }
        };
        events.on_made = [&](Transport&) { stop_in('M'); };
        events.on_data = [&](Bytes) { stop_in('D'); };
        events.on_eof = [&] {
            stop_in('E');
            return false;
        };
        events.on_resume = [&] { stop_in('R'); };
        events.on_lost = [&](std::error_code) { stop_in('L'); };
        TransportPair& connection = another(events);
        connection.start({.via = Via::adopt, .small_buffers = true});
        connection.peer().send("abc");
        const auto run_through = [&](const std::function<bool()>& done) {
            for (bool interrupted = true; interrupted;) {
                interrupted = false;
                try {
                    run_until([&] {
                        connection.ready();
                        connection.peer().receive_available();
                        return done();
                    });
                } catch (const StopLoop&) {
                    interrupted = true;
                    ++stopped;
                }
            }
        };
        run_through([&] { return events.received() == "abc" && connection.ready(); });
        connection.transport().write(pattern(500'000));
        run_through([&] { return events.count('R') == 1; });
        connection.peer().shutdown_write();
        run_through([&] { return events.lost(); });
        EXPECT_EQ(events.merged_trace(), "M returns D3 P R E L(None)");
        EXPECT_EQ(stopped, 1);
        EXPECT_TRUE(take_reports().empty()) << "StopLoop is not an error";
    }
}

TEST_P(InsideCallbacks, StopLoop_ends_run_forever_and_the_loop_can_run_again) {
    recorder().on_data = [](Bytes) { throw StopLoop(); };
    open_quietly();
    peer().send("abc");
    EXPECT_THROW(loop().run_forever(), StopLoop);
    EXPECT_FALSE(loop().is_running());
    recorder().on_data = nullptr;
    peer().send("def");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "abcdef"; }));
    EXPECT_FALSE(transport().is_closing());
}

}  // namespace
}  // namespace sluice::test
