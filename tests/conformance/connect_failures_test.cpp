// create_connection that fails, is cancelled or is given wrong things: the error is clear and every
// descriptor is closed at once.
#include "support/loop_fixture.hpp"
#include "support/raw_descriptors.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class ConnectFailures : public BackendTest {
protected:
    Task<Connection<RecordingProtocol>> to(std::string host, Port port,
                                           ConnectOptions options = ConnectOptions()) {
        return loop().create_connection<RecordingProtocol>(std::move(host), std::move(port),
                                                           std::move(options), &told_);
    }
    Task<Connection<RecordingProtocol>> over(int fd) {
        return loop().create_connection<RecordingProtocol>(Descriptor(fd), &told_);
    }
    // For cases that make many connections, none of which they look at.
    class Deaf : public Protocol {
        void data_received(Bytes) override {}
    };
    Recorder& told_ = make_recorder();
};
INSTANTIATE_TEST_SUITE_P(Every, ConnectFailures, testing::ValuesIn(backends()), backend_case_name);

TEST_P(ConnectFailures, M228_A10_refused_is_an_address_error_with_errno_and_address) {
    const ClosedPort closed;
    const std::string address = "127.0.0.1:" + std::to_string(closed.port());
    const std::vector<int> before = open_descriptors();
    const auto error = caught<AddressError>([&] { run(to("127.0.0.1", closed.port())); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::connection_refused);
    EXPECT_EQ(error->address(), address);
    EXPECT_THAT(error->what(), testing::HasSubstr("Connect call failed"));
    EXPECT_THAT(error->what(), testing::HasSubstr(address));
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(told_.created(), 0U) << "a protocol was made for a connection that never was";
}

TEST_P(ConnectFailures, M235_all_errors_gives_every_failure) {
    const ClosedPort closed;
    const auto error = caught<ConnectErrors>(
        [&] { run(to("127.0.0.1", closed.port(), ConnectOptions().all_errors(true))); });
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), testing::HasSubstr("create_connection"));
    ASSERT_EQ(error->errors().size(), 1U);
    EXPECT_EQ(error->errors()[0].code(), std::errc::connection_refused);
}

TEST_P(ConnectFailures, M229_a_socket_closed_behind_the_back_is_a_clean_error) {
    auto [peer, ours] = connected_peers();
    const int fd = ours.release();
    ::close(fd);
    EXPECT_THAT(message_of<std::invalid_argument>([&] { auto task = over(fd); }),
                testing::AllOf(testing::HasSubstr("create_connection"),
                               testing::HasSubstr(std::to_string(fd))));
    EXPECT_THROW(auto task = over(-1), std::invalid_argument);
}

TEST_P(ConnectFailures, M230_M255_A10_cancelling_while_connecting_closes_the_socket_promptly) {
    const BlackHole hole;
    const std::vector<int> before = open_descriptors();
    auto connecting = loop().create_task(to("127.0.0.1", hole.port()));
    run_idle();
    EXPECT_EQ(open_descriptors().size(), before.size() + 1);
    EXPECT_TRUE(connecting.cancel());
    ASSERT_TRUE(run_until([&] { return connecting.done(); }));
    EXPECT_TRUE(connecting.cancelled());
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
    EXPECT_EQ(told_.created(), 0U);
}

TEST_P(ConnectFailures, M233_a_hundred_cancellations_leak_nothing) {
    const BlackHole hole;
    auto [warm_peer, warm] = connected_peers();
    const std::vector<int> before = open_descriptors();
    for (int i = 0; i < 100; ++i) {
        auto connecting = loop().create_task(to("127.0.0.1", hole.port()));
        // At every stage: before the first step, and after a few.
        for (int steps = i % 4; steps > 0; --steps) {
            loop().run_once();
        }
        connecting.cancel();
        ASSERT_TRUE(run_until([&] { return connecting.done(); }));
        EXPECT_TRUE(connecting.cancelled());
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(ConnectFailures, M233_a_hundred_cancelled_adoptions_close_each_socket_exactly_once) {
    for (int i = 0; i < 100; ++i) {
        auto [peer, ours] = connected_peers();
        const int fd = ours.release();
        auto adopting = loop().create_task(loop().create_connection<Deaf>(Descriptor(fd)));
        for (int steps = i % 3; steps > 0; --steps) {
            loop().run_once();
        }
        adopting.cancel();
        ASSERT_TRUE(run_until([&] { return adopting.done(); }));
        if (!adopting.cancelled()) {
            // It was over already: the connection is real and ours to end.
            adopting.result().transport->abort();
        }
        adopting = {};
        run_idle();
        // The number must be free for a stranger, and stay the stranger's.
        const Descriptor stranger(::fcntl(peer.fd(), F_DUPFD_CLOEXEC, fd));
        EXPECT_EQ(stranger.get(), fd) << "the socket is still open";
        run_idle();
        EXPECT_TRUE(descriptor_is_open(fd)) << "the number was closed a second time";
    }
}

TEST_P(ConnectFailures, M230_a_cancel_at_any_step_leaves_no_connection_behind) {
    const Listener listener;
    const std::vector<int> before = open_descriptors();
    bool was_cancelled = false;
    bool was_made = false;
    for (int steps = 0; steps < 12; ++steps) {
        auto connecting =
            loop().create_task(loop().create_connection<Deaf>("127.0.0.1", listener.port()));
        for (int i = 0; i < steps; ++i) {
            loop().run_once();
        }
        connecting.cancel();
        ASSERT_TRUE(run_until([&] { return connecting.done(); }));
        (connecting.cancelled() ? was_cancelled : was_made) = true;
        if (!connecting.cancelled()) {
            connecting.result().transport->abort();
        }
        connecting = {};
        run_idle();
        ASSERT_EQ(open_descriptors(), before) << "cancelled after " << steps << " iterations";
    }
    EXPECT_TRUE(was_cancelled);
    EXPECT_TRUE(was_made) << "twelve iterations are not enough to connect: the case shows nothing";
}

TEST_P(ConnectFailures, M237_A10_a_timeout_is_an_address_error_of_kind_timed_out) {
    const BlackHole hole;
    const std::vector<int> before = open_descriptors();
    const auto error = caught<AddressError>(
        [&] { run(to("127.0.0.1", hole.port(), ConnectOptions().timeout(2ms))); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::timed_out);
    EXPECT_THAT(error->what(), testing::HasSubstr("127.0.0.1:" + std::to_string(hole.port())));
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(loop().next_timeout(), std::nullopt);
}

TEST_P(ConnectFailures, dropping_the_handle_does_not_stop_the_connecting) {
    const Listener listener;
    {
        const auto dropped = loop().create_task(to("127.0.0.1", listener.port()));
    }
    ASSERT_TRUE(run_until([&] { return told_.made(); }));
    told_.transport().abort();
    ASSERT_TRUE(run_until([&] { return told_.lost(); }));
}

TEST_P(ConnectFailures, M239_a_datagram_socket_is_refused_and_closed) {
    const int fd = make_socket(AF_INET, SOCK_DGRAM, IoMode::nonblocking);
    EXPECT_THAT(
        message_of<std::invalid_argument>([&] { auto task = over(fd); }),
        testing::AllOf(testing::HasSubstr("stream"), testing::HasSubstr(std::to_string(fd))));
    EXPECT_FALSE(descriptor_is_open(fd)) << "passing a descriptor passes its ownership, always";
}

TEST_P(ConnectFailures, M239_a_descriptor_that_is_no_socket_is_refused_and_closed) {
    const auto [reading, writing] = make_pipe();
    const Descriptor write_end(writing);
    const int fd = reading;
    EXPECT_THROW(auto task = over(fd), std::invalid_argument);
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_P(ConnectFailures, an_adoption_that_is_never_awaited_closes_the_socket) {
    auto [peer, ours] = connected_peers();
    const int fd = ours.release();
    {
        const auto dropped = over(fd);
    }
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_P(ConnectFailures, a_peer_that_resets_before_the_adoption_is_lost_in_the_usual_way) {
    auto [peer, ours] = connected_peers();
    peer.reset();
    ASSERT_TRUE(wait_for_hang_up(ours.fd()));
    run(over(ours.release()));
    EXPECT_FALSE(told_.transport().get_extra_info(extra::peername))
        << "getpeername fails for a peer that is gone, and that is tolerated";
    ASSERT_TRUE(run_until([&] { return told_.lost(); }));
    EXPECT_EQ(told_.trace(), "M L(ECONNRESET)");
}

}  // namespace
}  // namespace sluice::test
