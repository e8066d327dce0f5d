// Group G of semantics.md: the water marks (also reliability.md G1 and G3).
//
// G108 (waiting writers are woken by a loss) belongs to streams; here its premise is a case: a loss
// while paused comes without a resume. G113 comes with TLS. What DESIGN.md adds: the judgement
// comes after the kernel has been asked, and callbacks caused by flush() or
// set_write_buffer_limits() come from the loop.
#include "support/conformance.hpp"

namespace sluice::test {
namespace {

class FlowControl : public ConformanceTest {
protected:
    // A connection whose kernel is full, with limits relative to what is unsent.
    void open_plugged() {
        open_quietly({.small_buffers = true});
        written_ = plug();
        base_ = transport().get_write_buffer_size();
    }
    // Pauses above base + room; resumes at base + low.
    void set_room(std::size_t room, std::size_t low = 0) {
        transport().set_write_buffer_limits(base_ + room, base_ + low);
    }
    // The peer reads whatever comes until everything written is there.
    void drain(std::size_t more = 0) { peer_receives(written_ + more); }

    std::size_t written_ = 0;
    std::size_t base_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Every, FlowControl, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(FlowControl, G094_G095_defaults_and_derived_marks) {
    using Limits = WriteBufferLimits;
    open_quietly();
    const auto after = [&](std::optional<std::size_t> high, std::optional<std::size_t> low) {
        transport().set_write_buffer_limits(high, low);
        return transport().get_write_buffer_limits();
    };
    EXPECT_EQ(transport().get_write_buffer_limits(), (Limits{16 * 1024, 64 * 1024}));
    EXPECT_EQ(after(1000, {}), (Limits{250, 1000}));
    EXPECT_EQ(after({}, 100), (Limits{100, 400}));
    EXPECT_EQ(after(100, 100), (Limits{100, 100}));
    EXPECT_EQ(after(0, 0), (Limits{0, 0}));
    EXPECT_EQ(after(0, {}), (Limits{0, 0}));
    EXPECT_EQ(after({}, 0), (Limits{0, 0}));
    EXPECT_EQ(after({}, {}), (Limits{16 * 1024, 64 * 1024}));
}

TEST_P(FlowControl, G096_rel_G3_low_above_high_is_refused_naming_both_and_changes_nothing) {
    open_quietly();
    transport().set_write_buffer_limits(1000, 500);
    try {
        transport().set_write_buffer_limits(7, 11);
        ADD_FAILURE() << "accepted";
    } catch (const std::invalid_argument& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find("7"), std::string::npos) << text;
        EXPECT_NE(text.find("11"), std::string::npos) << text;
    }
    EXPECT_EQ(transport().get_write_buffer_limits(), (WriteBufferLimits{500, 1000}));
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(FlowControl, G098_resume_comes_at_the_low_mark_and_not_before) {
    open_quietly({.small_buffers = true});
    constexpr std::size_t low = 100'000;
    transport().set_write_buffer_limits(400'000, low);
    std::size_t size_at_resume = 99;
    recorder().on_resume = [&] { size_at_resume = transport().get_write_buffer_size(); };
    constexpr std::size_t total = 1'000'000;
    transport().write(pattern(total));
    EXPECT_EQ(recorder().trace(), "P");
    ASSERT_TRUE(run_until([&] {
        if (transport().get_write_buffer_size() > low) {
            EXPECT_EQ(recorder().count('R'), 0U);
        }
        peer().receive_at_most(8192);
        return recorder().count('R') > 0;
    }));
    EXPECT_LE(size_at_resume, low);
    peer_receives(total);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, G099_each_crossing_is_reported_once) {
    open_plugged();
    set_room(1000);
    for (int i = 0; i < 10; ++i) {
        transport().write(pattern(500));
        run_idle();
    }
    EXPECT_EQ(recorder().trace(), "P");
    drain(5000);
    run_idle();
    EXPECT_EQ(recorder().trace(), "P R");
    // And again from the start.
    static_cast<void>(peer().take_received());
    transport().set_write_buffer_limits();
    transport().write(pattern(1'000'000));
    EXPECT_EQ(recorder().trace(), "P R P");
    peer_receives(1'000'000);
    EXPECT_EQ(recorder().trace(), "P R P R");
}

TEST_P(FlowControl, G099_pause_comes_inside_the_write_that_crosses_the_mark) {
    open_plugged();
    set_room(1000);
    transport().write(pattern(1000));
    EXPECT_EQ(recorder().trace(), "");
    transport().write("x");
    EXPECT_EQ(recorder().trace(), "P");
}

TEST_P(FlowControl, G099_inside_a_callback_pause_comes_at_its_end_at_the_latest) {
    open_plugged();
    set_room(1000);
    std::string inside;
    bool ran = false;
    loop().call_soon([&] {
        for (int i = 0; i < 20; ++i) {
            transport().write(pattern(100));
        }
        ran = true;
    });
    ASSERT_TRUE(run_until([&] { return ran; }));
    EXPECT_EQ(recorder().trace(), "P");
    EXPECT_EQ(transport().get_write_buffer_size(), base_ + 2000);
}

TEST_P(FlowControl, G099_bytes_the_kernel_takes_never_pause) {
    open_quietly();
    transport().set_write_buffer_limits(1000);
    in_callback([&] {
        for (int i = 0; i < 100; ++i) {
            transport().write(pattern(100));
        }
    });
    transport().write(pattern(20'000));
    peer_receives(30'000);
    EXPECT_EQ(recorder().trace(), "") << "judged before the kernel was asked";
}

TEST_P(FlowControl, G101_lowering_the_limits_below_the_size_pauses_from_the_loop) {
    open_plugged();
    ASSERT_GT(base_, 10U);
    transport().set_write_buffer_limits(10);
    EXPECT_EQ(recorder().trace(), "") << "called inside set_write_buffer_limits()";
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    drain();
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, G101_limits_changed_back_and_forth_leave_no_stale_callback) {
    open_plugged();
    in_callback([&] {
        transport().set_write_buffer_limits(10);
        transport().set_write_buffer_limits(base_ + 100'000);
    });
    run_idle();
    EXPECT_TRUE(recorder().trace().empty() || recorder().trace() == "P R") << recorder().trace();
    recorder().clear_trace();
    transport().set_write_buffer_limits(10);
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    in_callback([&] {
        transport().set_write_buffer_limits(base_ + 100'000, base_ + 50'000);
        transport().set_write_buffer_limits(10);
    });
    run_idle();
    EXPECT_TRUE(recorder().trace() == "P" || recorder().trace() == "P R P") << recorder().trace();
    drain();
    run_idle();
    EXPECT_EQ(recorder().trace().back(), 'R');
}

TEST_P(FlowControl, G101_raising_the_limits_without_reaching_the_low_mark_does_not_resume) {
    open_plugged();
    set_room(1000);
    transport().write(pattern(1001));
    EXPECT_EQ(recorder().trace(), "P");
    set_room(50'000, 500);
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    set_room(50'000, 1001);
    run_idle();
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, rel_G3_limits_changed_inside_pause_writing_miss_no_resume) {
    open_plugged();
    recorder().on_pause = [&] { set_room(100'000, 50'000); };
    set_room(1000);
    transport().write(pattern(2000));
    EXPECT_EQ(recorder().trace(), "P");
    run_idle();
    EXPECT_EQ(recorder().trace(), "P R") << "the size is below the new low mark";
    drain(2000);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, rel_G3_a_high_mark_of_zero_pauses_whenever_anything_is_unsent) {
    open_plugged();
    transport().set_write_buffer_limits(0);
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    transport().write("x");
    drain(1);
    EXPECT_EQ(recorder().trace(), "P R");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    // Nothing unsent, nothing to pause for.
    in_callback([&] { transport().write("taken at once"); });
    peer_receives(written_ + 14);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, G102_exceptions_in_the_callbacks_are_reported_and_change_nothing) {
    open_plugged();
    recorder().on_pause = [] { throw std::runtime_error("in pause"); };
    recorder().on_resume = [] { throw std::runtime_error("in resume"); };
    set_room(100);
    EXPECT_NO_THROW(transport().write(pattern(1000)));
    drain(1000);
    EXPECT_EQ(recorder().trace(), "P R");
    EXPECT_FALSE(transport().is_closing());
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 2U);
    EXPECT_EQ(reports[0].what, "in pause");
    EXPECT_EQ(reports[1].what, "in resume");
    transport().write("still alive");
    drain(1011);
}

TEST_P(FlowControl, G107_abort_inside_pause_writing_loses_without_a_resume) {
    open_plugged();
    recorder().on_pause = [&] { transport().abort(); };
    set_room(100);
    transport().write(pattern(1000));
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    transport().write("no more");
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "P L(None)");
}

TEST_P(FlowControl, G107_close_inside_pause_writing_sends_everything) {
    open_plugged();
    recorder().on_pause = [&] { transport().close(); };
    set_room(100);
    transport().write(pattern(1000));
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    EXPECT_EQ(peer_receives_everything().size(), written_ + 1000);
    run_until_lost();
    EXPECT_EQ(recorder().count('L'), 1U);
    EXPECT_EQ(recorder().reason(), std::error_code());
}

TEST_P(FlowControl, G107_a_write_inside_pause_writing_is_accepted_and_sent) {
    open_plugged();
    recorder().on_pause = [&] { transport().write("inside"); };
    set_room(100);
    transport().write(pattern(1000));
    transport().write("after");
    drain(1011);
    EXPECT_EQ(recorder().trace(), "P R");
    EXPECT_EQ(peer().received().substr(written_ + 1000), "insideafter");
}

TEST_P(FlowControl, G108_a_loss_while_paused_comes_without_a_resume) {
    open_plugged();
    set_room(100);
    transport().write(pattern(1000));
    peer_resets();
    run_until_lost();
    EXPECT_EQ(recorder().count('R'), 0U);
    EXPECT_EQ(recorder().count('P'), 1U);
    EXPECT_NE(recorder().reason(), std::error_code());
}

TEST_P(FlowControl, G110_the_size_counts_the_backlog_and_what_is_gathered) {
    open_quietly({.small_buffers = true});
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    in_callback([&] {
        transport().write("abc");
        EXPECT_EQ(transport().get_write_buffer_size(), 3U);
        transport().writelines({as_bytes("de"), as_bytes("f")});
        EXPECT_EQ(transport().get_write_buffer_size(), 6U);
        transport().flush();
        EXPECT_EQ(transport().get_write_buffer_size(), 0U);
        transport().write("ghi");
    });
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    peer_receives(9);
    EXPECT_EQ(peer().take_received(), "abcdefghi");
    const std::size_t size_written = plug();
    const std::size_t base = transport().get_write_buffer_size();
    EXPECT_GT(base, 0U);
    in_callback([&] {
        transport().write(pattern(10));
        EXPECT_EQ(transport().get_write_buffer_size(), base + 10);
    });
    EXPECT_EQ(transport().get_write_buffer_size(), base + 10);
    peer_receives(size_written + 10);
    ASSERT_TRUE(run_until([&] { return transport().get_write_buffer_size() == 0; }));
}

TEST_P(FlowControl, G110_flush_in_a_callback_defers_the_pause_it_causes) {
    open_plugged();
    set_room(1000);
    in_callback([&] {
        transport().write(pattern(900));
        transport().write(pattern(900));
        const std::string before = recorder().trace();
        transport().flush();
        EXPECT_EQ(recorder().trace(), before) << "pause_writing inside flush()";
    });
    run_idle();
    EXPECT_EQ(recorder().trace(), "P");
    drain(1800);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(FlowControl, rel_G1_a_writer_that_honours_the_callbacks_stays_within_the_marks) {
    for (const bool lines : {false, true}) {
        SCOPED_TRACE(lines ? "writelines" : "write");
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {.small_buffers = true});
        events.clear_trace();
        constexpr std::size_t total = 2'000'000;
        constexpr std::size_t step = 1'000;
        const std::string bytes = pattern(total);
        std::size_t at = 0;
        bool paused = false;
        std::size_t largest = 0;
        const auto fill = [&] {
            while (!paused && at < total) {
                const Bytes piece = as_bytes(std::string_view(bytes).substr(at, step));
                at += step;
                if (lines) {
                    connection.transport().writelines({piece.first(10), piece.subspan(10)});
                } else {
                    connection.transport().write(piece);
                }
                largest = std::max(largest, connection.transport().get_write_buffer_size());
            }
        };
        events.on_pause = [&] { paused = true; };
        events.on_resume = [&] {
            paused = false;
            fill();
        };
        fill();
        ASSERT_TRUE(paused);
        run_idle();
        EXPECT_EQ(events.trace(), "P");
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().received().size() >= total;
        }));
        EXPECT_TRUE(connection.peer().received() == bytes);
        EXPECT_EQ(events.count('P'), events.count('R'));
        EXPECT_GT(events.count('P'), 1U);
        // Gathering may add one block before it finds the kernel refusing.
        EXPECT_LE(largest, limits::write_high_water_bytes + limits::gather_block_bytes);
    }
}

TEST_P(FlowControl, resume_writing_may_write_to_another_transport) {
    open_plugged();
    Recorder& other_events = make_recorder();
    TransportPair& other = another(other_events);
    open(other, {});
    recorder().on_resume = [&] {
        other.transport().write("woken");
        other.transport().write(pattern(10'000));
    };
    set_room(100);
    transport().write(pattern(1000));
    drain(1000);
    ASSERT_TRUE(run_until([&] {
        other.peer().receive_available();
        return other.peer().received().size() == 10'005;
    }));
}

TEST_P(FlowControl, resume_writing_may_close_another_transport_or_its_own) {
    open_plugged();
    Recorder& other_events = make_recorder();
    TransportPair& other = another(other_events);
    open(other, {});
    other_events.clear_trace();
    recorder().on_resume = [&] {
        other.transport().abort();
        transport().abort();
    };
    set_room(100);
    transport().write(pattern(1000));
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return recorder().lost() && other_events.lost();
    }));
    EXPECT_EQ(recorder().trace(), "P R L(None)");
    EXPECT_EQ(other_events.trace(), "L(None)");
}

TEST_P(FlowControl, resume_writing_that_fills_the_buffer_again_is_paused_again) {
    open_plugged();
    int rounds = 3;
    recorder().on_resume = [&] {
        if (rounds-- > 0) {
            transport().write(pattern(1'000'000));
        }
    };
    transport().set_write_buffer_limits();
    run_idle();
    transport().write(pattern(1'000'000));
    drain(4'000'000);
    EXPECT_EQ(recorder().trace(), "P R P R P R P R");
}

}  // namespace
}  // namespace sluice::test
