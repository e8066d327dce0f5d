// Group A of semantics.md: what a transport is when it is born, and what is left when it is lost.
//
// Cases carry the numbers of the list. Not here: A10 and A11 (contextvars) and A18 (repr) are
// Python's; A7's Unix half comes with that transport.
#include "support/conformance.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluice::test {
namespace {

constexpr Via every_via[] = {Via::connect, Via::adopt, Via::accept_socket, Via::server};

// A server has no awaiting caller.
std::string with_return(Via via, const std::string& before, const std::string& after) {
    return before + (via == Via::server ? "" : " returns") + after;
}

class Construction : public ConformanceTest {
protected:
    // TLS ends with an exchange, so that the awaiting caller runs first.
    [[nodiscard]] std::string closed_in_made(Via via) const {
        return uses_tls() ? with_return(via, "M", " L(None)") : with_return(via, "M L(None)", "");
    }
    // After start_tls, connection_made is the pair's own, called by the awaiting caller.
    [[nodiscard]] std::string aborted_in_made(Via via) const {
        return is_direct(GetParam().transport) ? with_return(via, "M L(None)", "")
                                               : with_return(via, "M", " L(None)");
    }
};

INSTANTIATE_TEST_SUITE_P(Every, Construction, testing::ValuesIn(conformance_cases()), case_name);

TEST_P(Construction, A001_made_comes_first_then_create_returns_then_data_arrives) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        connection.start({.via = via});
        ASSERT_TRUE(run_until([&] { return via != Via::connect || connection.ready(); }));
        connection.peer().send("hello");
        ASSERT_TRUE(run_until([&] { return events.received() == "hello"; }));
        EXPECT_EQ(events.merged_trace(), with_return(via, "M", " D5"));
    }
}

TEST_P(Construction, A001_made_never_comes_inside_the_call_that_makes_the_transport) {
    auto [ours, theirs] = connected_peers();
    auto making =
        loop().connect_accepted_socket<RecordingProtocol>(Descriptor(ours.release()), &recorder());
    EXPECT_EQ(recorder().trace(), "");
    auto handle = loop().create_task(std::move(making));
    EXPECT_EQ(recorder().trace(), "");
    ASSERT_TRUE(run_until([&] { return handle.done(); }));
    EXPECT_EQ(recorder().trace(), "M");
}

TEST_P(Construction, A004_rel_A4_close_in_made_gives_one_clean_loss_and_create_still_returns) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        bool closing_inside = false;
        events.on_made = [&](Transport& transport) {
            transport.close();
            closing_inside = transport.is_closing();
        };
        TransportPair& connection = another(events);
        connection.start({.via = via});
        ASSERT_TRUE(run_until([&] { return connection.ready() && events.lost(); }));
        run_idle();
        EXPECT_TRUE(closing_inside);
        EXPECT_EQ(events.trace(), closed_in_made(via));
    }
}

TEST_P(Construction, A004_close_in_made_lets_no_data_through_that_has_arrived_already) {
    for (const Via via : {Via::adopt, Via::accept_socket, Via::server}) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        events.on_made = [](Transport& transport) { transport.close(); };
        TransportPair& connection = another(events);
        connection.start({.via = via});
        connection.peer().send("hello");
        ASSERT_TRUE(run_until([&] { return connection.ready() && events.lost(); }));
        run_idle();
        EXPECT_EQ(events.trace(), closed_in_made(via));
    }
}

TEST_P(Construction, A005_abort_in_made_gives_one_clean_loss) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        events.on_made = [](Transport& transport) { transport.abort(); };
        TransportPair& connection = another(events);
        connection.start({.via = via});
        ASSERT_TRUE(run_until([&] { return connection.ready() && events.lost(); }));
        run_idle();
        EXPECT_EQ(events.trace(), aborted_in_made(via));
    }
}

TEST_P(Construction, a_write_in_made_is_sent) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        Recorder& events = make_recorder();
        events.on_made = [](Transport& transport) {
            transport.write("greeting");
            transport.close();
        };
        TransportPair& connection = another(events);
        connection.start({.via = via});
        ASSERT_TRUE(run_until([&] { return connection.ready(); }));
        ASSERT_TRUE(run_until([&] {
            connection.peer().receive_available();
            return connection.peer().saw_end() && events.lost();
        }));
        EXPECT_EQ(connection.peer().received(), "greeting");
        EXPECT_EQ(events.trace(), closed_in_made(via));
    }
}

TEST_P(Construction, A007_delayed_small_packets_are_switched_off_on_every_tcp_stream) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        TransportPair& connection = another(make_recorder());
        open(connection, {.via = via});
        if (over_unix()) {
            const int fd = fd_of(connection.transport());
            EXPECT_THROW(static_cast<void>(socket_option(fd, IPPROTO_TCP, TCP_NODELAY)),
                         std::system_error)
                << "there is nothing to switch off";
        } else {
            EXPECT_NE(socket_option(fd_of(connection.transport()), IPPROTO_TCP, TCP_NODELAY), 0);
        }
    }
}

TEST_P(Construction, A008_lost_comes_once_and_then_the_protocol_is_destroyed) {
    open_quietly();
    transport().close();
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(None)");
    EXPECT_EQ(recorder().destroyed(), 0U) << "it lives as long as the transport";
    EXPECT_EQ(transport().get_protocol(), nullptr);
    recorder().forget_transport();
    run_idle();
    EXPECT_EQ(recorder().destroyed(), 1U);
}

TEST_P(Construction,
       A008_dropping_the_last_reference_inside_lost_destroys_nothing_before_it_returns) {
    std::size_t destroyed_inside = 99;
    open_quietly();
    recorder().on_lost = [&](std::error_code) {
        recorder().forget_transport();
        destroyed_inside = recorder().destroyed();
    };
    transport().close();
    run_until_lost();
    run_idle();
    EXPECT_EQ(destroyed_inside, 0U);
    EXPECT_EQ(recorder().destroyed(), 1U);
}

TEST_P(Construction, A009_lost_that_throws_is_reported_and_the_descriptor_is_closed_nevertheless) {
    recorder().on_lost = [](std::error_code) { throw std::runtime_error("lost"); };
    open_quietly();
    const int fd = fd_of(transport());
    transport().abort();
    run_until_lost();
    run_idle();
    EXPECT_FALSE(descriptor_is_open(fd));
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "lost");
}

TEST_P(Construction, A012_extra_info_knows_socket_and_addresses_and_gives_the_default_otherwise) {
    for (const Via via : every_via) {
        SCOPED_TRACE(to_string(via));
        TransportPair& connection = another(make_recorder());
        open(connection, {.via = via});
        Transport& ours = connection.transport();
        const SocketAddress peername = ours.get_extra_info(extra::peername);
        const SocketAddress sockname = ours.get_extra_info(extra::sockname);
        if (over_unix()) {
            // Only the end that was connected to has a name.
            const bool connected =
                via == Via::connect || via == Via::adopt || via == Via::accept_socket;
            EXPECT_EQ(peername.path().empty(), !connected);
            EXPECT_EQ(sockname.path().empty(), connected);
            EXPECT_EQ(peername.family(), Family::unix_domain);
        } else {
            EXPECT_EQ(peername.port(), connection.peer().local_port());
            EXPECT_EQ(peername.host(), "127.0.0.1");
            EXPECT_EQ(sockname.host(), "127.0.0.1");
        }
        const SocketView socket = ours.get_extra_info(extra::socket);
        EXPECT_TRUE(descriptor_is_open(socket.fd()));
        EXPECT_EQ(socket.local_address(), ours.get_extra_info(extra::sockname));
        EXPECT_EQ(socket.family(), over_unix() ? Family::unix_domain : Family::ipv4);
        constexpr ExtraKey<int> unknown{0xFFFF'0001};
        EXPECT_EQ(ours.get_extra_info(unknown, 42), 42);
        EXPECT_EQ(ours.get_extra_info(unknown), 0);
    }
}

TEST_P(Construction, A014_a_peer_that_is_gone_already_has_no_name_and_that_is_no_error) {
    auto [ours, theirs] = connected_peers();
    theirs.reset();
    ASSERT_TRUE(wait_for_hang_up(ours.fd()));
    auto making =
        loop().connect_accepted_socket<RecordingProtocol>(Descriptor(ours.release()), &recorder());
    auto handle = loop().create_task(std::move(making));
    run_until_lost();
    ASSERT_TRUE(run_until([&] { return handle.done(); }));
    EXPECT_EQ(handle.exception(), nullptr);
    EXPECT_EQ(recorder().trace(), "M L(ECONNRESET)");
    EXPECT_EQ(transport().get_extra_info(extra::peername), SocketAddress());
}

void call_everything(Transport& transport) {
    const std::vector<Bytes> pieces{as_bytes("a"), as_bytes("b")};
    const std::vector<Buffer> buffers{Buffer::copy("c")};
    transport.write("x");
    transport.write(Buffer::copy("y"));
    transport.write_static("z");
    transport.writelines(std::span(pieces));
    transport.writelines(std::span(buffers));
    transport.flush();
    if (transport.can_write_eof()) {
        transport.write_eof();
    } else {
        // Misuse stays misuse.
        EXPECT_THROW(transport.write_eof(), std::logic_error);
    }
    transport.close();
    transport.abort();
    transport.pause_reading();
    transport.resume_reading();
    transport.set_write_buffer_limits(10, 5);
    transport.set_write_buffer_cap(100);
}

TEST_P(Construction, A015_every_method_is_harmless_after_the_loss) {
    for (const bool by_reset : {false, true}) {
        SCOPED_TRACE(by_reset ? "reset" : "closed");
        Recorder& events = make_recorder();
        TransportPair& connection = another(events);
        open(connection, {});
        if (by_reset) {
            connection.peer_resets();
        } else {
            connection.transport().close();
        }
        ASSERT_TRUE(run_until([&] { return events.lost(); }));
        const std::string before = events.trace();
        Transport& lost = connection.transport();
        EXPECT_NO_THROW(call_everything(lost));
        EXPECT_TRUE(lost.is_closing());
        EXPECT_FALSE(lost.is_reading());
        EXPECT_EQ(lost.get_write_buffer_size(), 0U);
        EXPECT_EQ(lost.get_protocol(), nullptr);
        EXPECT_NO_THROW(static_cast<void>(lost.can_write_eof()));
        EXPECT_NO_THROW(static_cast<void>(lost.get_write_buffer_limits()));
        EXPECT_EQ(fd_of(lost), -1);
        Recorder& unused = make_recorder();
        lost.set_protocol(make_recording_protocol(GetParam().protocol, unused));
        run_idle();
        EXPECT_EQ(events.trace(), before);
        EXPECT_EQ(unused.trace(), "");
        EXPECT_EQ(unused.destroyed(), 1U) << "a lost transport only destroys the argument";
    }
}

TEST_P(Construction, A015_every_method_is_harmless_inside_connection_lost) {
    open_quietly();
    recorder().on_lost = [&](std::error_code) { call_everything(transport()); };
    transport().close();
    run_until_lost();
    run_idle();
    EXPECT_EQ(recorder().trace(), "L(None)");
    EXPECT_EQ(peer_receives_everything(), "");
}

TEST_P(Construction, A015_every_method_is_harmless_after_the_loop_is_gone) {
    open_quietly();
    const Ref<Transport> kept(&transport());
    const SocketAddress peername = kept->get_extra_info(extra::peername);
    EXPECT_TRUE(peername);
    destroy_loop();
    EXPECT_NO_THROW(call_everything(*kept));
    EXPECT_TRUE(kept->is_closing());
    EXPECT_EQ(kept->get_write_buffer_size(), 0U);
    EXPECT_EQ(kept->get_extra_info(extra::peername), peername);
    EXPECT_EQ(recorder().trace(), "");
}

TEST_P(Construction,
       A016_a_transport_abandoned_with_its_loop_closes_its_descriptor_without_callbacks) {
    open_quietly();
    const int fd = fd_of(transport());
    recorder().forget_transport();
    loop().set_debug(true);
    loop().set_slow_callback_duration(std::chrono::hours(1));  // the machine may be slow
    destroy_loop();
    EXPECT_FALSE(descriptor_is_open(fd));
    EXPECT_EQ(recorder().trace(), "");
    EXPECT_EQ(recorder().destroyed(), 1U);
    EXPECT_FALSE(take_reports().empty()) << "debug mode reports what is left unclosed";
}

TEST_P(Construction, A016_an_unreferenced_open_transport_stays_open) {
    open_quietly();
    recorder().forget_transport();
    run_idle();
    peer().send("still there");
    ASSERT_TRUE(run_until([&] { return recorder().received() == "still there"; }));
    EXPECT_EQ(recorder().destroyed(), 0U);
}

TEST_P(Construction, A017_calls_from_a_foreign_thread_are_refused_in_debug_mode) {
    loop().set_debug(true);
    loop().set_slow_callback_duration(std::chrono::hours(1));  // the machine may be slow
    open_quietly();
    Transport& ours = transport();
    const std::vector<Bytes> pieces{as_bytes("a")};
    const std::vector<Buffer> buffers{Buffer::copy("c")};
    const std::vector<std::pair<const char*, std::function<void()>>> calls{
        {"write", [&] { ours.write("x"); }},
        {"write Buffer", [&] { ours.write(Buffer::copy("x")); }},
        {"write_static", [&] { ours.write_static("x"); }},
        {"writelines", [&] { ours.writelines(std::span(pieces)); }},
        {"writelines Buffer", [&] { ours.writelines(std::span(buffers)); }},
        {"flush", [&] { ours.flush(); }},
        {"write_eof", [&] { ours.write_eof(); }},
        {"close", [&] { ours.close(); }},
        {"abort", [&] { ours.abort(); }},
        {"pause_reading", [&] { ours.pause_reading(); }},
        {"resume_reading", [&] { ours.resume_reading(); }},
        {"set_write_buffer_limits", [&] { ours.set_write_buffer_limits(10); }},
        {"set_write_buffer_cap", [&] { ours.set_write_buffer_cap(10); }},
        {"set_protocol",
         [&] { ours.set_protocol(make_recording_protocol(GetParam().protocol, make_recorder())); }},
    };
    std::thread([&] {
        for (const auto& [name, call] : calls) {
            EXPECT_THROW(call(), std::logic_error) << name;
        }
    }).join();
    run_idle();
    EXPECT_FALSE(ours.is_closing());
    EXPECT_EQ(recorder().trace(), "");
    // And the connection is none the worse for it.
    ours.write("fine");
    peer_receives(4);
    EXPECT_EQ(peer().received(), "fine");
    ours.close();
    run_until_lost();
}

}  // namespace
}  // namespace sluice::test
