// Group L of semantics.md, how sending a file ends before its time or with it: peers that go away,
// close() and abort(), files that shrink, callbacks, tasks and loops. Also F5 of reliability.md.
#include "support/sendfile_fixture.hpp"

#include <csignal>
#include <stdexcept>

#include <gmock/gmock.h>

namespace sluice::test {
namespace {

class SendfileEnding : public SendfileTest {
protected:
    /// A connection whose kernel holds a part of `file` and takes no more.
    Sending& open_amid_file(const TempFile& file) {
        open_quietly({.small_buffers = true});
        transport().set_write_buffer_limits(16 * mebibyte);
        Sending& sending = send(file.fd());
        // Until the kernel is full and nothing moves any more.
        std::size_t before = 0;
        do {
            before = transport().get_write_buffer_size();
            run_idle();
        } while (transport().get_write_buffer_size() != before);
        EXPECT_GT(before, 0U);
        EXPECT_FALSE(sending.done());
        return sending;
    }
};
INSTANTIATE_TEST_SUITE_P(Every, SendfileEnding, testing::ValuesIn(conformance_cases()), case_name);

class SendfileEndingPlain : public SendfileEnding {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileEndingPlain,
                         testing::ValuesIn(conformance_cases_without_tls()), case_name);

// ---- by us ----

TEST_P(SendfileEnding, close_sends_every_queued_file_before_the_connection_ends) {
    const std::string content = pattern(700'000);
    const TempFile file(content);
    const Sending& first = open_amid_file(file);
    transport().write("between");
    const Sending& second = send(file.fd(), 1000);
    transport().close();
    EXPECT_TRUE(transport().is_closing());
    EXPECT_TRUE(peer_receives_everything() == content + "between" + content.substr(1000));
    run_until_lost();
    expect_sent(first, content.size());
    expect_sent(second, content.size() - 1000);
    EXPECT_EQ(recorder().trace(), "L(None)");
}

TEST_P(SendfileEnding, close_inside_the_callback_that_queued_the_file_sends_it) {
    open_quietly();
    const std::string content = pattern(mebibyte);
    const TempFile file(content);
    in_callback([&] {
        transport().write("header");
        send(file.fd());
        transport().close();
    });
    EXPECT_TRUE(peer_receives_everything() == "header" + content);
    run_until_lost();
}

TEST_P(SendfileEndingPlain, write_eof_comes_behind_the_file_and_refuses_others) {
    const std::string content = pattern(700'000);
    const TempFile file(content);
    const Sending& sending = open_amid_file(file);
    transport().write_eof();
    EXPECT_THROW(send(file.fd()), std::logic_error);
    EXPECT_TRUE(peer_receives_everything() == content);
    expect_sent(sending, content.size());
}

TEST_P(SendfileEnding, abort_drops_the_files_and_tells_how_much_went) {
    const std::string content = pattern(4 * mebibyte);
    const TempFile file(content);
    const Sending& first = open_amid_file(file);
    const Sending& second = send(file.fd());
    const std::uint64_t sent = transport().get_extra_info(extra::counters).bytes_sent;
    transport().abort();
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    EXPECT_FALSE(first.done());
    ASSERT_TRUE(wait_for(second, false));
    ASSERT_TRUE(first.done());
    EXPECT_EQ(first.result.error, std::errc::connection_aborted);
    EXPECT_EQ(first.result.sent, sent);
    EXPECT_GT(sent, 0U);
    EXPECT_EQ(second.result.error, std::errc::connection_aborted);
    EXPECT_EQ(second.result.sent, 0U);
    run_until_lost();
    EXPECT_EQ(recorder().trace(), "L(None)");
    // What arrived is the beginning of the file and nothing else.
    peer().receive_available();
    EXPECT_TRUE(content.starts_with(peer().received()));
}

TEST_P(SendfileEnding, a_connection_on_a_reused_descriptor_number_gets_no_byte_of_the_file) {
    const TempFile file(pattern(4 * mebibyte));
    open_amid_file(file);
    const int number = fd_of(transport());
    transport().abort();
    run_until_lost();
    recorder().forget_transport();
    Recorder& events = make_recorder();
    TransportPair& next = another(events);
    open(next, {.via = Via::adopt});
    // The lowest free number is given first (open(2)): one of the new descriptors has it.
    EXPECT_TRUE(descriptor_is_open(number));
    end_reads();
    events.transport().write("mine");
    ASSERT_TRUE(run_until([&] {
        next.peer().receive_available();
        return next.peer().received().size() >= 4;
    }));
    EXPECT_EQ(next.peer().received(), "mine");
}

// ---- by the peer ----

TEST_P(SendfileEnding, L213_a_peer_that_closes_after_the_last_byte_leaves_a_success) {
    open_quietly();
    const std::string content = pattern(mebibyte);
    const TempFile file(content);
    Task<std::uint64_t> sending = loop().sendfile(Ref<Transport>(&transport()), file.fd());
    const auto task = loop().create_task(std::move(sending));
    peer_receives(content.size());
    peer().shutdown_write();
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    EXPECT_EQ(task.result(), content.size());
    run_until_lost();
}

TEST_P(SendfileEnding, L215_a_peer_that_resets_amid_the_file_ends_it_with_that_error) {
    const TempFile file(pattern(4 * mebibyte));
    const Sending& first = open_amid_file(file);
    const Sending& second = send(file.fd());
    Task<std::uint64_t> sending = loop().sendfile(Ref<Transport>(&transport()), file.fd());
    const auto task = loop().create_task(std::move(sending));
    peer_resets();
    ASSERT_TRUE(wait_for(first, false));
    ASSERT_TRUE(wait_for(second, false));
    run_until_lost();
    EXPECT_TRUE(first.result.error == std::errc::connection_reset ||
                first.result.error == std::errc::broken_pipe)
        << first.result.error.message();
    EXPECT_EQ(first.result.error, recorder().reason());
    EXPECT_GT(first.result.sent, 0U);
    EXPECT_LT(first.result.sent, 4U * mebibyte);
    EXPECT_EQ(second.result.error, first.result.error);
    EXPECT_EQ(second.result.sent, 0U);
    ASSERT_TRUE(run_until([&] { return task.done(); }));
    try {
        task.result();
        ADD_FAILURE() << "a success";
    } catch (const SendfileError& error) {
        EXPECT_EQ(error.code(), first.result.error);
        EXPECT_EQ(error.sent(), 0U);
        EXPECT_THAT(error.what(), testing::HasSubstr("after 0 bytes"));
    }
}

TEST_P(SendfileEnding, a_peer_that_is_gone_costs_no_signal) {
    // The default action of SIGPIPE ends the program, which would be noticed.
    struct sigaction action{};
    struct sigaction before{};
    action.sa_handler = SIG_DFL;
    ASSERT_EQ(::sigaction(SIGPIPE, &action, &before), 0);
    open_quietly({.small_buffers = true});
    transport().pause_reading();
    const TempFile file(pattern(4 * mebibyte));
    peer_resets();
    ASSERT_TRUE(wait_for_error(fd_of(transport())));
    const Sending& first = send(file.fd());
    if (!transport().is_closing()) {
        send(file.fd());
    }
    ASSERT_TRUE(wait_for(first, false));
    EXPECT_TRUE(first.result.error);
    run_until_lost();
    sigset_t pending;
    ASSERT_EQ(::sigpending(&pending), 0);
    EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
    ASSERT_EQ(::sigaction(SIGPIPE, &before, nullptr), 0);
}

// ---- by the file ----

TEST_P(SendfileEnding, F5_a_file_that_shrinks_ends_the_connection_and_tells_how_much_went) {
    const std::string content = pattern(4 * mebibyte);
    const TempFile file(content);
    const Sending& first = open_amid_file(file);
    transport().write("behind");
    const Sending& second = send(file.fd());
    // To nothing, because the kernel sends out of the page cache: what was cut off within a page would
    // arrive as zeros.
    file.resize(0);
    ASSERT_TRUE(wait_for(first, true));
    EXPECT_EQ(first.result.error, Error::file_truncated);
    EXPECT_GT(first.result.sent, 1000U);
    EXPECT_LT(first.result.sent, content.size());
    ASSERT_TRUE(wait_for(second, true));
    EXPECT_EQ(second.result.error, Error::file_truncated);
    EXPECT_EQ(second.result.sent, 0U);
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        return recorder().lost();
    }));
    EXPECT_EQ(recorder().reason(), Error::file_truncated);
    EXPECT_TRUE(content.starts_with(peer().received()));
    EXPECT_LE(peer().received().size(), first.result.sent);
}

TEST_P(SendfileEnding, F5_a_file_emptied_before_its_turn_is_truncated_with_no_byte_sent) {
    open_quietly();
    const TempFile file("0123456789");
    Task<std::uint64_t> sending;
    in_callback([&] {
        sending = loop().sendfile(Ref<Transport>(&transport()), file.fd());
        file.resize(0);
    });
    try {
        finish(std::move(sending));
        ADD_FAILURE() << "a success";
    } catch (const SendfileError& error) {
        EXPECT_EQ(error.code(), Error::file_truncated);
        EXPECT_EQ(error.sent(), 0U);
    }
    run_until_lost();
    EXPECT_EQ(recorder().reason(), Error::file_truncated);
}

// ---- callbacks, tasks, loops ----

TEST_P(SendfileEnding, what_the_callback_writes_comes_behind_what_was_written_before) {
    open_quietly();
    const std::string content = pattern(300'000);
    const TempFile file(content);
    transport().sendfile(file.fd(), 0, {}, {}, [&](const SendfileResult& result) {
        EXPECT_EQ(result.sent, content.size());
        transport().write(" third");
        transport().sendfile(file.fd(), 0, 10, {}, {});
        transport().close();
    });
    transport().write(" second");
    EXPECT_TRUE(peer_receives_everything() == content + " second third" + content.substr(0, 10));
    run_until_lost();
}

TEST_P(SendfileEnding, a_callback_that_throws_is_reported_and_harms_nobody) {
    open_quietly();
    const TempFile file("content");
    transport().sendfile(file.fd(), 0, {}, {},
                         [](const SendfileResult&) { throw std::runtime_error("my mistake"); });
    expect_sent(send(file.fd()), 7);
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_THAT(reports[0].message, testing::HasSubstr("sendfile() callback"));
    EXPECT_EQ(reports[0].what, "my mistake");
    peer_receives(14);
}

TEST_P(SendfileEnding, cancelling_the_task_leaves_the_file_queued) {
    open_quietly({.small_buffers = true});
    const std::string content = pattern(700'000);
    const TempFile file(content);
    Task<std::uint64_t> sending = loop().sendfile(Ref<Transport>(&transport()), file.fd());
    auto task = loop().create_task(std::move(sending));
    run_idle();
    ASSERT_FALSE(task.done());
    task.cancel();
    run_idle();
    EXPECT_TRUE(task.done());
    EXPECT_THROW(task.result(), Cancelled);
    transport().write("end");
    peer_receives(content.size() + 3);
    EXPECT_TRUE(peer().received() == content + "end");
}

TEST_P(SendfileEnding, a_task_that_nobody_awaits_sends_its_file_all_the_same) {
    open_quietly();
    const std::string content = pattern(300'000);
    const TempFile file(content);
    {
        const Task<std::uint64_t> dropped =
            loop().sendfile(Ref<Transport>(&transport()), file.fd());
    }
    peer_receives(content.size());
    EXPECT_TRUE(peer().received() == content);
}

TEST_P(SendfileEnding, H125_a_destroyed_loop_drops_the_files_and_calls_nobody) {
    const TempFile file(pattern(4 * mebibyte));
    const Sending& first = open_amid_file(file);
    const Sending& second = send(file.fd());
    const auto captured = std::make_shared<int>(1);
    transport().sendfile(file.fd(), 0, {}, {},
                         [captured](const SendfileResult&) { ADD_FAILURE() << "called"; });
    end_reads();
    const Ref<Transport> kept(&transport());
    EXPECT_EQ(file.descriptors(), 4U);
    destroy_loop();
    EXPECT_FALSE(first.done());
    EXPECT_FALSE(second.done());
    EXPECT_EQ(captured.use_count(), 1) << "the callback was kept";
    EXPECT_EQ(file.descriptors(), 1U) << "a duplicate was kept";
    EXPECT_THROW(kept->sendfile(file.fd(), 0, {}, {}, {}), std::logic_error);
}

}  // namespace
}  // namespace sluice::test
