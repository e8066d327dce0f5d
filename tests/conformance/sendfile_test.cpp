// Group L of semantics.md, sending files: what arrives, what counts and what is refused. Also F6, F8,
// F9 and F10 of reliability.md. How it ends otherwise is in sendfile_ending_test.cpp, what needs a
// system call to misbehave (L210, L215, L217, F11) in sendfile_faults_test.cpp.
//
// Not here: L204 and L224 are about Python's file objects, L205 and L206 about sockets that a loop
// of ours is never given. L223, no native path, is the TLS columns.
#include "support/patience.hpp"
#include "support/raw_descriptors.hpp"
#include "support/relay_transport.hpp"
#include "support/sendfile_fixture.hpp"
#include "support/system.hpp"

#include <array>
#include <chrono>
#include <limits>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class Sendfile : public SendfileTest {
protected:
    /// A connection whose kernel is full.
    void open_plugged() {
        open_quietly({.small_buffers = true});
        plugged_ = plug();
    }

    std::size_t plugged_ = 0;  // bytes
};
INSTANTIATE_TEST_SUITE_P(Every, Sendfile, testing::ValuesIn(conformance_cases()), case_name);

class SendfileTls : public SendfileTest {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileTls, testing::ValuesIn(conformance_cases_with_tls()),
                         case_name);

class SendfileTcp : public SendfileTest {};
INSTANTIATE_TEST_SUITE_P(Every, SendfileTcp, testing::ValuesIn(conformance_cases_over_tcp()),
                         case_name);

// ---- what arrives ----

TEST_P(Sendfile, L198_the_whole_file_is_sent_and_its_size_is_the_result) {
    open_quietly();
    const std::string content = pattern(3 * mebibyte + 17);
    const TempFile file(content);
    Task<std::uint64_t> sending = loop().sendfile(Ref<Transport>(&transport()), file.fd());
    EXPECT_EQ(finish(std::move(sending)), content.size());
    peer_receives(content.size());
    EXPECT_TRUE(peer().received() == content);
}

TEST_P(SendfileTcp, a_small_file_counts_as_one_send) {
    open_quietly();
    const TempFile file(pattern(10'000));
    const std::uint64_t before = loop().counters().send_calls;
    expect_sent(send(file.fd()), 10'000);
    EXPECT_EQ(loop().counters().send_calls, before + 1);
}

TEST_P(Sendfile, L199_offset_and_count_choose_the_part_and_the_position_stays) {
    open_quietly();
    const std::string content = pattern(500'000);
    const TempFile file(content);
    file.set_position(4321);
    expect_sent(send(file.fd(), 1000, 300'000), 300'000);
    expect_sent(send(file.fd(), 0, 1), 1);
    expect_sent(send(file.fd(), 499'999, 1), 1);
    peer_receives(300'002);
    EXPECT_TRUE(peer().received() ==
                content.substr(1000, 300'000) + content.front() + content.back());
    EXPECT_EQ(file.position(), 4321);
}

TEST_P(Sendfile, L200_F6_nothing_to_send_is_a_success_with_no_bytes) {
    open_quietly();
    const TempFile empty;
    const TempFile file("five!");
    expect_sent(send(empty.fd()), 0);
    expect_sent(send(empty.fd(), 0, 100), 0);
    expect_sent(send(file.fd(), 5), 0);
    expect_sent(send(file.fd(), 6, 1), 0);
    expect_sent(send(file.fd(), 5'000'000'000), 0);
    Task<std::uint64_t> sending = loop().sendfile(Ref<Transport>(&transport()), empty.fd());
    EXPECT_EQ(finish(std::move(sending)), 0U);
    transport().write("on");
    peer_receives(2);
}

TEST_P(Sendfile, L201_F6_no_count_is_to_the_end_and_a_larger_one_stops_there) {
    open_quietly();
    const TempFile file("0123456789");
    expect_sent(send(file.fd(), 4), 6);
    expect_sent(send(file.fd(), 8, 1'000'000), 2);
    expect_sent(send(file.fd(), 0, std::numeric_limits<std::int64_t>::max()), 10);
    peer_receives(18);
    EXPECT_EQ(peer().received(),
              "456789"
              "89"
              "0123456789");
}

TEST_P(Sendfile, F6_of_a_file_that_grows_only_what_there_was_at_the_call_is_sent) {
    open_quietly({.small_buffers = true});
    const std::string content = pattern(400'000);
    const TempFile file(content);
    const Sending& sending = send(file.fd());
    file.write_at(static_cast<std::int64_t>(content.size()), "more");
    expect_sent(sending, content.size());
    transport().write("end");
    peer_receives(content.size() + 3);
    EXPECT_TRUE(peer().received() == content + "end");
}

TEST_P(Sendfile, F6_the_end_of_a_sparse_file_of_5_GiB_is_sent_exactly) {
    open_quietly();
    constexpr std::int64_t size = 5LL * 1024 * 1024 * 1024;
    const TempFile file;
    file.resize(size);
    file.write_at(size - 4, "last");
    expect_sent(send(file.fd(), size - 100'000), 100'000);
    expect_sent(send(file.fd(), size - 6, 5), 5);
    peer_receives(100'005);
    EXPECT_TRUE(peer().received() ==
                std::string(99'996, '\0') + "last" + std::string(2, '\0') + "las");
}

TEST_P(Sendfile, F6_a_count_above_2_GiB_is_counted_exactly) {
    open_plugged();
    constexpr std::int64_t size = (1LL << 31) + 5;
    const TempFile file;
    file.resize(size + 100);
    const std::size_t before = transport().get_write_buffer_size();
    const Sending& sending = send(file.fd(), 7, size);
    EXPECT_EQ(transport().get_write_buffer_size(), before + static_cast<std::size_t>(size));
    transport().abort();
    ASSERT_TRUE(wait_for(sending, false));
    EXPECT_EQ(sending.result.error, std::errc::connection_aborted);
    EXPECT_EQ(sending.result.sent, 0U);
}

TEST_P(Sendfile, L208_L219_F9_bytes_and_files_arrive_in_the_order_of_the_calls) {
    open_quietly({.small_buffers = true});
    const std::string one = pattern(200'000, 1);
    const std::string two = pattern(10, 2);
    const std::string large = pattern(100'000, 3);
    const TempFile first(one);
    const TempFile second(two);
    std::vector<const Sending*> lasts;
    const auto write_all = [&] {
        transport().write("before ");
        send(first.fd());
        transport().write(Buffer(std::string(large)));
        send(second.fd());
        send(second.fd(), 5);
        transport().write_static(" between ");
        transport().writelines({as_bytes("a"), as_bytes("b")});
        lasts.push_back(&send(first.fd(), 199'999));
        transport().write(" behind");
    };
    const std::string whole =
        "before " + one + large + two + two.substr(5) + " between ab" + one.back() + " behind";
    write_all();
    peer_receives(whole.size());
    EXPECT_TRUE(peer().take_received() == whole);
    in_callback(write_all);
    peer_receives(whole.size());
    EXPECT_TRUE(peer().take_received() == whole);
    for (const Sending* sending : lasts) {
        expect_sent(*sending, 1);
    }
}

TEST_P(Sendfile, the_descriptor_may_be_closed_right_after_the_call) {
    open_quietly({.small_buffers = true});
    const std::string content = pattern(300'000);
    TempFile file(content);
    const Sending& sending = send(file.fd());
    in_callback([&] { send(file.fd(), 299'000); });
    file.close();
    // Whatever takes its number now is not what is sent.
    const TempFile other(pattern(300'000, 9));
    expect_sent(sending, content.size());
    peer_receives(content.size() + 1000);
    EXPECT_TRUE(peer().received() == content + content.substr(299'000));
}

TEST_P(Sendfile, many_small_files_in_one_callback_arrive_in_order) {
    open_quietly();
    const std::string content = pattern(100'000);
    const TempFile file(content);
    std::string expected;
    in_callback([&] {
        for (std::int64_t i = 0; i < 300; ++i) {
            const std::string header = "part " + std::to_string(i) + ": ";
            transport().write(header);
            send(file.fd(), i * 300, i + 1);
            expected += header + content.substr(static_cast<std::size_t>(i * 300),
                                                static_cast<std::size_t>(i + 1));
        }
    });
    peer_receives(expected.size());
    EXPECT_TRUE(peer().received() == expected);
}

TEST_P(Sendfile, chunks_of_any_size_give_the_same_bytes) {
    open_quietly();
    const std::string content = pattern(40'000);
    const TempFile file(content);
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{100}, std::size_t{16'384},
                                    std::size_t{65'536}, limits::file_chunk_max_bytes}) {
        SCOPED_TRACE(chunk);
        const std::int64_t size = chunk == 1 ? 500 : 40'000;
        expect_sent(send(file.fd(), 0, size, chunks(chunk)), static_cast<std::uint64_t>(size));
        peer_receives(static_cast<std::size_t>(size));
        EXPECT_TRUE(peer().take_received() == content.substr(0, static_cast<std::size_t>(size)));
    }
}

TEST_P(Sendfile, a_file_does_not_keep_the_loop_from_other_connections) {
    open_quietly();
    Recorder& events = make_recorder();
    TransportPair& neighbour = another(events);
    open(neighbour, {});
    const TempFile file;
    file.resize(16 * mebibyte);
    // A peer that takes everything at once: its reading runs whenever the loop would wait.
    const Sending& sending = send(file.fd());
    neighbour.peer().send("hello");
    ASSERT_TRUE(wait_readable(fd_of(neighbour.transport())));
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        static_cast<void>(peer().take_received());
        return events.received() == "hello";
    }));
    EXPECT_FALSE(sending.done());
    ASSERT_TRUE(run_until([&] {
        peer().receive_available();
        static_cast<void>(peer().take_received());
        return sending.done();
    }));
    EXPECT_EQ(sending.result.sent, 16U * mebibyte);
}

// ---- what counts ----

TEST_P(Sendfile, F10_the_rest_of_a_file_counts_for_the_water_marks) {
    open_quietly({.small_buffers = true});
    constexpr std::size_t low = 50'000;
    transport().set_write_buffer_limits(150'000, low);
    std::size_t size_at_resume = low + 1;
    recorder().on_resume = [&] { size_at_resume = transport().get_write_buffer_size(); };
    const std::string content = pattern(700'000);
    const TempFile file(content);
    const Sending& sending = send(file.fd());
    ASSERT_TRUE(run_until([&] { return recorder().count('P') > 0; }));
    EXPECT_GT(transport().get_write_buffer_size(), 150'000U);
    ASSERT_TRUE(run_until([&] {
        if (transport().get_write_buffer_size() > low) {
            EXPECT_EQ(recorder().count('R'), 0U);
        }
        peer().receive_at_most(16 * 1024);
        return recorder().count('R') > 0;
    }));
    EXPECT_LE(size_at_resume, low);
    expect_sent(sending, content.size());
    peer_receives(content.size());
    EXPECT_TRUE(peer().received() == content);
    EXPECT_EQ(recorder().trace(), "P R");
}

TEST_P(Sendfile, the_size_counts_a_file_from_the_call_on) {
    open_plugged();
    const TempFile file(pattern(70'000));
    const std::size_t before = transport().get_write_buffer_size();
    send(file.fd());
    EXPECT_EQ(transport().get_write_buffer_size(), before + 70'000);
    in_callback([&] {
        send(file.fd(), 30'000);
        EXPECT_EQ(transport().get_write_buffer_size(), before + 110'000);
        transport().write("x");
        EXPECT_EQ(transport().get_write_buffer_size(), before + 110'001);
    });
    peer_receives(plugged_ + 110'001);
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
}

TEST_P(Sendfile, a_file_does_not_count_for_the_hard_cap) {
    open_plugged();
    const TempFile file(pattern(100'000));
    transport().set_write_buffer_cap(transport().get_write_buffer_size() + 1000,
                                     OverflowPolicy::refuse_write);
    send(file.fd());
    transport().write(pattern(1000));
    EXPECT_THROW(transport().write("x"), std::system_error);
    peer_receives(plugged_ + 101'000);
}

TEST_P(Sendfile, a_high_mark_of_zero_pauses_for_a_file) {
    open_plugged();
    transport().set_write_buffer_limits(0);
    run_idle();
    recorder().clear_trace();
    const TempFile file(pattern(1000));
    in_callback([&] { send(file.fd()); });
    peer_receives(plugged_ + 1000);
    // Where the backend sends files, the end of that is told after they have arrived.
    EXPECT_TRUE(run_until([&] { return recorder().trace() == "R"; }));
}

TEST_P(Sendfile, the_counter_of_bytes_sent_counts_files) {
    open_quietly();
    const std::uint64_t before = transport().get_extra_info(extra::counters).bytes_sent;
    const TempFile file(pattern(300'000));
    expect_sent(send(file.fd()), 300'000);
    EXPECT_EQ(transport().get_extra_info(extra::counters).bytes_sent, before + 300'000);
    peer_receives(300'000);
}

// ---- what is refused ----

TEST_P(Sendfile, L203_wrong_numbers_are_refused_naming_them_and_nothing_is_queued) {
    open_quietly();
    const TempFile file("content");
    const auto message = [&](std::int64_t offset, std::optional<std::int64_t> count,
                             std::size_t chunk) -> std::string {
        try {
            send(file.fd(), offset, count, chunks(chunk));
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "";
    };
    using testing::HasSubstr;
    EXPECT_THAT(message(0, 0, 1), HasSubstr("count 0"));
    EXPECT_THAT(message(0, -1, 1), HasSubstr("count -1"));
    EXPECT_THAT(message(-2, {}, 1), HasSubstr("offset -2"));
    EXPECT_THAT(message(0, {}, 0), HasSubstr("fallback_chunk_size 0"));
    EXPECT_THAT(message(0, {}, limits::file_chunk_max_bytes + 1),
                HasSubstr("fallback_chunk_size 16777217"));
    EXPECT_THROW(static_cast<void>(loop().sendfile(Ref<Transport>(), file.fd())),
                 std::invalid_argument);
    EXPECT_THROW(static_cast<void>(loop().sendfile(Ref<Transport>(&transport()), file.fd(), -1)),
                 std::invalid_argument);
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    transport().write("on");
    peer_receives(2);
}

TEST_P(Sendfile, L225_F8_what_is_no_readable_regular_file_is_refused_saying_why) {
    open_quietly();
    const TempFile file("content");
    const auto [reading, writing] = make_pipe();
    const Descriptor pipe_out(reading);
    const Descriptor pipe_in(writing);
    const Descriptor socket(make_socket(AF_INET, SOCK_STREAM));
    const Descriptor folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Descriptor write_only(file.reopen(O_WRONLY));
    const Descriptor path_only(file.reopen(open_without_access()));
    const Descriptor device(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Descriptor closed(file.reopen(O_RDONLY));
    const int closed_number = closed.get();
    closed.reset();
    const auto expect_refused = [&](int fd, std::errc code, const std::string& why) {
        SCOPED_TRACE(why);
        try {
            send(fd);
            ADD_FAILURE() << "accepted";
        } catch (const std::system_error& error) {
            EXPECT_EQ(error.code(), code);
            EXPECT_THAT(error.what(), testing::HasSubstr("descriptor " + std::to_string(fd)));
            EXPECT_THAT(error.what(), testing::HasSubstr(why));
        }
    };
    expect_refused(pipe_out.get(), std::errc::invalid_argument, "is no regular file");
    expect_refused(socket.get(), std::errc::invalid_argument, "is no regular file");
    expect_refused(device.get(), std::errc::invalid_argument, "is no regular file");
    expect_refused(folder.get(), std::errc::is_a_directory, "is a directory");
    expect_refused(write_only.get(), std::errc::bad_file_descriptor, "not open for reading");
    expect_refused(path_only.get(), std::errc::bad_file_descriptor, "not open for reading");
    expect_refused(closed_number, std::errc::bad_file_descriptor, "is not open");
    expect_refused(-1, std::errc::bad_file_descriptor, "is not open");
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    const Descriptor both(file.reopen(O_RDWR));
    expect_sent(send(both.get()), 7);
    peer_receives(7);
}

TEST_P(Sendfile, L207_a_closing_or_lost_transport_refuses) {
    open_quietly({.small_buffers = true});
    const TempFile file("content");
    transport().write(pattern(mebibyte));
    transport().close();
    EXPECT_THROW(send(file.fd()), std::logic_error);
    transport().abort();
    EXPECT_THROW(send(file.fd()), std::logic_error);
    run_until_lost();
    EXPECT_THROW(send(file.fd()), std::logic_error);
    EXPECT_THROW(static_cast<void>(loop().sendfile(Ref<Transport>(&transport()), file.fd())),
                 std::logic_error);
}

TEST_P(SendfileTls, a_transport_that_start_tls_has_taken_over_refuses) {
    open_quietly();
    Recorder& events = make_recorder();
    auto [ours, theirs] = connected_peers();
    Task<Connection<StreamProtocol>> adopting = loop().create_connection(
        [&events] { return make_recording_protocol(ProtocolKind::simple, events); },
        Descriptor(ours.release()));
    const auto adopted = loop().create_task(std::move(adopting));
    ASSERT_TRUE(run_until([&] { return adopted.done(); }));
    Task<Ref<Transport>> upgrading =
        loop().start_tls(Ref<Transport>(&events.transport()), test_client_context(),
                         StartTlsOptions().server_hostname("a.test"));
    auto upgraded = loop().create_task(std::move(upgrading));
    run_idle();
    const TempFile file("content");
    EXPECT_THROW(send(events.transport(), file.fd()), std::logic_error);
    upgraded.cancel();
    ASSERT_TRUE(run_until([&] { return events.lost(); }));
}

TEST_P(SendfileTls, L211_without_the_fallback_TLS_refuses_at_once_unless_the_kernel_seals) {
    open_quietly();
    const TempFile file("content");
    if (transport().get_extra_info(extra::tls).ktls_send()) {
        send(file.fd(), 0, {}, {.fallback = false});
        peer_receives(7);
        return;
    }
    try {
        send(file.fd(), 0, {}, {.fallback = false});
        ADD_FAILURE() << "accepted";
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::operation_not_supported);
        EXPECT_THAT(error.what(), testing::HasSubstr("fallback is disabled"));
    }
    EXPECT_EQ(transport().get_write_buffer_size(), 0U);
    transport().write("on");
    peer_receives(2);
}

TEST_P(SendfileTcp, L211_without_the_fallback_the_kernel_sends_one_file_after_the_other) {
    open_quietly();
    const std::string content = pattern(300'000);
    const TempFile file(content);
    for (const bool reading : {true, false, false}) {
        // Not reading, it wants nothing of its socket between two files.
        reading ? transport().resume_reading() : transport().pause_reading();
        expect_sent(send(file.fd(), 0, {}, {.fallback = false}), content.size());
        peer_receives(content.size());
        EXPECT_TRUE(peer().take_received() == content);
        run_idle();
    }
    transport().resume_reading();
}

TEST_P(SendfileTcp, a_time_limit_sees_a_large_file_move) {
    open_quietly({.small_buffers = true});
    constexpr std::size_t size = 2 * mebibyte;
    const TempFile file(pattern(size));
    transport().set_write_timeout(patient(std::chrono::minutes(1)));
    const Sending& sending = send(file.fd());
    bool moved = false;
    EXPECT_TRUE(run_until([&] {
        peer().receive_available();
        const std::size_t left = transport().get_write_buffer_size();
        moved = moved || (0 < left && left < size);
        return sending.done();
    }));
    EXPECT_TRUE(moved);
    EXPECT_EQ(sending.result.sent, size);
}

TEST_P(Sendfile, L212_a_transport_of_somebody_else_refuses_unless_it_can) {
    open_quietly();
    const Ref<Transport> relay = RelayTransport::wrap(
        loop(), transport(), make_recording_protocol(ProtocolKind::simple, recorder()));
    const TempFile file("content");
    try {
        send(*relay, file.fd());
        ADD_FAILURE() << "accepted";
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), std::errc::operation_not_supported);
    }
    relay->write("on");
    peer_receives(2);
}

}  // namespace
}  // namespace sluice::test
