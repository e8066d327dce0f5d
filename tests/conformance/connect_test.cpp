// create_connection and connect_accepted_socket: the ways to a connection. Group M of asyncio's
// behaviour; what goes wrong is in connect_failures_test.cpp, several addresses in
// connect_sim_test.cpp.
#include "support/loop_fixture.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Connect : public BackendTest {
protected:
    // Aborts what create_* gave and waits for the loss.
    void end(Recorder& told) {
        told.transport().abort();
        ASSERT_TRUE(run_until([&] { return told.lost(); }));
        told.forget_transport();
    }
    Task<Connection<RecordingProtocol>> to(std::string host, Port port, Recorder& told,
                                           ConnectOptions options = ConnectOptions()) {
        return loop().create_connection<RecordingProtocol>(std::move(host), std::move(port),
                                                           std::move(options), &told);
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Connect, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Connect, M227_by_host_and_port) {
    Listener listener;
    Recorder& told = make_recorder();
    const auto connection = run(to("127.0.0.1", listener.port(), told));
    EXPECT_EQ(connection.transport.get(), &told.transport());
    EXPECT_EQ(connection.protocol, told.transport().get_protocol());
    EXPECT_TRUE(told.made());
    const SocketAddress peername = connection.transport->get_extra_info(extra::peername);
    const SocketAddress sockname = connection.transport->get_extra_info(extra::sockname);
    EXPECT_EQ(peername.to_string(), "127.0.0.1:" + std::to_string(listener.port()));
    std::optional<Peer> accepted = listener.accept();
    ASSERT_TRUE(accepted);
    EXPECT_EQ(address_of(fd_of(told.transport())), sockname);
    connection.transport->write("hello");
    ASSERT_TRUE(run_until([&] {
        accepted->receive_available();
        return accepted->received() == "hello";
    }));
    end(told);
}

TEST_P(Connect, M227_by_socket_which_is_taken_over) {
    auto [peer, ours] = connected_peers();
    const int fd = ours.fd();
    Recorder& told = make_recorder();
    Descriptor socket(ours.release());
    const auto connection =
        run(loop().create_connection<RecordingProtocol>(std::move(socket), &told));
    EXPECT_EQ(fd_of(*connection.transport), fd);
    end(told);
    run_idle();
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_P(Connect, M227_by_name) {
    const Listener listener;
    Recorder& told = make_recorder();
    run(to("localhost", listener.port(), told));
    EXPECT_EQ(told.transport().get_extra_info(extra::peername).port(), listener.port());
    end(told);
}

TEST_P(Connect, M227_over_ipv6) {
    if (!has_ipv6()) {
        GTEST_SKIP() << "no IPv6 loopback here";
    }
    const Peer listener = bound_socket("::1", 0, 5);
    Recorder& told = make_recorder();
    run(to("::1", address_of(listener.fd()).port(), told));
    EXPECT_EQ(told.transport().get_extra_info(extra::peername), address_of(listener.fd()));
    EXPECT_EQ(told.transport().get_extra_info(extra::sockname).family(), Family::ipv6);
    end(told);
}

TEST_P(Connect, M227_with_a_factory_in_every_form) {
    const Listener listener;
    Recorder& told = make_recorder();
    auto [peer, ours] = connected_peers();
    auto [other_peer, accepted] = connected_peers();
    auto factory = [&told] { return std::make_unique<RecordingProtocol>(&told); };
    run(loop().create_connection(factory, "127.0.0.1", listener.port()));
    end(told);
    Recorder& second = make_recorder();
    auto second_factory = [&second] { return std::make_unique<RecordingProtocol>(&second); };
    run(loop().create_connection(second_factory, Descriptor(ours.release())));
    end(second);
    Recorder& third = make_recorder();
    auto third_factory = [&third]() -> std::unique_ptr<StreamProtocol> {
        return make_recording_protocol(ProtocolKind::buffered, third);
    };
    run(loop().connect_accepted_socket(third_factory, Descriptor(accepted.release())));
    end(third);
}

TEST_P(Connect, nothing_happens_before_the_task_is_awaited) {
    Listener listener;
    Recorder& told = make_recorder();
    {
        const auto dropped = to("127.0.0.1", listener.port(), told);
        run_idle();
    }
    EXPECT_FALSE(listener.accept());
    EXPECT_EQ(told.created(), 0U);
}

TEST_P(Connect, M253_connect_accepted_socket_serves_what_another_accepted) {
    Listener listener;
    Peer peer = Peer::connect(listener.port());
    ASSERT_TRUE(wait_readable(listener.fd()));
    std::optional<Peer> accepted = listener.accept();
    ASSERT_TRUE(accepted);
    Recorder& told = make_recorder();
    run(loop().connect_accepted_socket<RecordingProtocol>(Descriptor(accepted->release()), &told));
    peer.send("x");
    ASSERT_TRUE(run_until([&] { return told.received() == "x"; }));
    EXPECT_EQ(told.transport().get_extra_info(extra::peername).port(), peer.local_port());
    end(told);
}

TEST_P(Connect, an_adopted_socket_that_was_blocking_works) {
    auto [peer, ours] = connected_peers();
    const int fd = ours.release();
    // On a blocking socket recv would hang the loop.
    ASSERT_EQ(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    Recorder& told = make_recorder();
    run(loop().create_connection<RecordingProtocol>(Descriptor(fd), &told));
    peer.send("x");
    ASSERT_TRUE(run_until([&] { return told.received() == "x"; }));
    EXPECT_NE(socket_option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
    end(told);
}

TEST_P(Connect, M256_a_socket_that_is_not_connected_can_be_wrapped_without_harm) {
    Recorder& told = make_recorder();
    Peer socket = unconnected_socket();
    run(loop().create_connection<RecordingProtocol>(Descriptor(socket.release()), &told));
    EXPECT_EQ(told.transport().get_extra_info(extra::peername).family(), Family::unspecified);
    told.transport().write("nobody there");
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    EXPECT_TRUE(told.reason());
    told.forget_transport();
}

TEST_P(Connect, M242_literal_addresses_do_not_touch_the_resolver) {
    ASSERT_TRUE(run(loop().shutdown_default_executor()));
    const Listener listener;
    Recorder& told = make_recorder();
    run(to("127.0.0.1", listener.port(), told));
    end(told);
    Recorder& other = make_recorder();
    run(to("127.0.0.1", std::to_string(listener.port()), other,
           ConnectOptions().local_address("127.0.0.1")));
    end(other);
    Recorder& third = make_recorder();
    EXPECT_THROW(run(to("localhost", listener.port(), third)), std::logic_error);
    EXPECT_THROW(run(to("127.0.0.1", "http", third)), std::logic_error);
}

TEST_P(Connect, M243_a_port_may_be_any_integer_or_digits) {
    const Listener listener;
    const std::uint16_t number = listener.port();
    const std::string text = std::to_string(number);
    for (const Port& port :
         {Port(number), Port(static_cast<int>(number)), Port(static_cast<long long>(number)),
          Port(text), Port(text.c_str()), Port(std::string_view(text)), Port("000" + text)}) {
        ASSERT_EQ(port.number(), number);
        Recorder& told = make_recorder();
        run(to("127.0.0.1", port, told));
        end(told);
    }
    EXPECT_EQ(Port().number(), 0);
    EXPECT_EQ(Port("").number(), 0);
}

TEST_P(Connect, M245_local_address_binds_the_near_end) {
    const Listener listener;
    Recorder& told = make_recorder();
    run(to("127.0.0.1", listener.port(), told, ConnectOptions().local_address("127.0.0.2")));
    EXPECT_EQ(told.transport().get_extra_info(extra::sockname).host(), "127.0.0.2");
    end(told);
}

TEST_P(Connect, M246_local_addresses_of_other_families_do_not_match_and_say_so) {
    if (!has_ipv6()) {
        GTEST_SKIP() << "no IPv6 loopback here";
    }
    const Listener listener;
    Recorder& told = make_recorder();
    const auto error = caught<AddressError>([&] {
        run(to("127.0.0.1", listener.port(), told, ConnectOptions().local_address("::1")));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::no_matching_local_address);
    EXPECT_THAT(error->what(), testing::HasSubstr("no matching local address"));
    EXPECT_EQ(told.created(), 0U);
}

TEST_P(Connect, M247_a_local_address_in_use_is_named_in_the_error) {
    const Listener listener;
    const Peer holder = bound_socket("127.0.0.2", 0, 1);
    const std::uint16_t taken = address_of(holder.fd()).port();
    Recorder& told = make_recorder();
    const auto error = caught<AddressError>([&] {
        run(to("127.0.0.1", listener.port(), told,
               ConnectOptions().local_address("127.0.0.2", taken)));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_THAT(error->what(), testing::HasSubstr("error while attempting to bind on address"));
    EXPECT_THAT(error->what(), testing::HasSubstr("127.0.0.2:" + std::to_string(taken)));
}

TEST_P(Connect, family_restricts_the_addresses) {
    const Listener listener;
    Recorder& told = make_recorder();
    run(to("localhost", listener.port(), told, ConnectOptions().family(Family::ipv4)));
    EXPECT_EQ(told.transport().get_extra_info(extra::peername).family(), Family::ipv4);
    end(told);
    Recorder& other = make_recorder();
    EXPECT_THROW(
        run(to("127.0.0.1", listener.port(), other, ConnectOptions().family(Family::ipv6))),
        AddressError);
}

TEST_P(Connect, M252_options_that_do_not_matter_for_one_address_are_accepted) {
    const Listener listener;
    Recorder& told = make_recorder();
    ConnectOptions options;
    options.happy_eyeballs_delay(std::nullopt).interleave(3).all_errors(true).timeout(10s);
    run(to("127.0.0.1", listener.port(), told, options));
    end(told);
    run_idle();
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "the timer of the timeout is left";
}

TEST_P(Connect, a_timeout_of_centuries_does_not_overflow) {
    const Listener listener;
    Recorder& told = make_recorder();
    ConnectOptions options;
    options.timeout(std::chrono::nanoseconds::max())
        .happy_eyeballs_delay(std::chrono::nanoseconds::max());
    run(to("127.0.0.1", listener.port(), told, options));
    end(told);
}

TEST_P(Connect, A6_the_exception_of_a_constructor_or_factory_reaches_the_caller) {
    Listener listener;
    const std::vector<int> before = open_descriptors();
    auto throwing = []() -> std::unique_ptr<StreamProtocol> {
        throw std::runtime_error("no protocol today");
    };
    EXPECT_EQ(message_of<std::runtime_error>(
                  [&] { run(loop().create_connection(throwing, "127.0.0.1", listener.port())); }),
              "no protocol today");
    auto null = []() -> std::unique_ptr<StreamProtocol> { return nullptr; };
    EXPECT_THAT(message_of<std::logic_error>(
                    [&] { run(loop().create_connection(null, "127.0.0.1", listener.port())); }),
                testing::HasSubstr("factory"));
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Connect, A6_an_exception_of_connection_made_is_reported_and_the_caller_gets_the_connection) {
    const Listener listener;
    Recorder& told = make_recorder();
    told.on_made = [](Transport&) { throw std::runtime_error("made"); };
    const auto connection = run(to("127.0.0.1", listener.port(), told));
    EXPECT_FALSE(connection.transport->is_closing());
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].what, "made");
    EXPECT_TRUE(reports[0].has_transport);
    end(told);
}

TEST_P(Connect, a_connection_closed_in_connection_made_still_returns) {
    const Listener listener;
    Recorder& told = make_recorder();
    told.on_made = [](Transport& transport) { transport.close(); };
    const auto connection = run(to("127.0.0.1", listener.port(), told));
    EXPECT_TRUE(connection.transport->is_closing());
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
    EXPECT_FALSE(told.reason());
}

TEST_P(Connect, the_protocol_lives_as_long_as_the_transport_does) {
    const Listener listener;
    Recorder& told = make_recorder();
    auto connection = run(to("127.0.0.1", listener.port(), told));
    end(told);
    run_idle();
    EXPECT_EQ(told.destroyed(), 0U);
    EXPECT_EQ(connection.transport->get_protocol(), nullptr);
    connection.transport.reset();
    run_idle();
    EXPECT_EQ(told.destroyed(), 1U);
}

}  // namespace
}  // namespace sluice::test
