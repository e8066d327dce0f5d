// Datagram endpoints whose receivers do not read: Unix sockets, the only ones over which a real system
// makes the sender wait. And connected sockets that somebody else made.
#include "support/datagram_fixture.hpp"

namespace sluice::test {
namespace {

class DatagramFlow : public DatagramTest {
protected:
    /// Sends numbers until something waits; the count.
    std::size_t fill(DatagramTransport& transport, const SocketAddress& to) {
        std::size_t sent = 0;
        while (transport.get_write_buffer_size() == 0 && sent < 10'000) {
            transport.sendto(std::to_string(sent++), to);
        }
        EXPECT_GT(transport.get_write_buffer_size(), 0U);
        return sent;
    }
};

TEST_F(DatagramFlow, P309_a_connected_unix_sender_waits_for_the_receiver_in_order) {
    require(DatagramWire::unix_domain);
    DatagramPeer peer(DatagramWire::unix_domain);
    DatagramTransport& transport = open(DatagramOptions().remote_address(peer.address()));
    transport.set_write_buffer_limits(0);
    const std::size_t sent = fill(transport, {});
    EXPECT_EQ(told_.trace, "MP");
    for (std::size_t i = 0; i < sent; ++i) {
        ASSERT_EQ(next(peer), std::to_string(i));
    }
    ASSERT_TRUE(run_until([&] { return told_.trace == "MPR"; }));
    EXPECT_EQ(transport.get_write_buffer_size(), 0U);
}

TEST_F(DatagramFlow, a_full_unix_receiver_is_tried_again_without_spinning) {
    require(DatagramWire::unix_domain);
    DatagramPeer peer(DatagramWire::unix_domain);
    DatagramTransport& transport = open(bound());
    const std::size_t sent = fill(transport, peer.address());
    // poll(2) calls the socket writable all the time, since it does not know for whom.
    const std::uint64_t before = loop().counters().iterations;
    bool timer_ran = false;
    loop().call_later(std::chrono::milliseconds(20), [&] { timer_ran = true; });
    ASSERT_TRUE(run_until([&] { return timer_ran; }));
    EXPECT_LT(loop().counters().iterations - before, 200U);
    for (std::size_t i = 0; i < sent; ++i) {
        ASSERT_EQ(next(peer), std::to_string(i));
    }
}

TEST_F(DatagramFlow, P322_close_waits_for_a_receiver_that_reads_late) {
    require(DatagramWire::unix_domain);
    DatagramPeer peer(DatagramWire::unix_domain);
    DatagramTransport& transport = open(bound());
    const std::size_t sent = fill(transport, peer.address());
    transport.close();
    run_idle();
    EXPECT_FALSE(told_.lost);
    for (std::size_t i = 0; i < sent; ++i) {
        ASSERT_EQ(next(peer), std::to_string(i));
    }
    run_until_lost();
    EXPECT_EQ(told_.lost, std::error_code());
}

TEST_F(DatagramFlow, P322_abort_does_not_wait_and_does_not_resume) {
    require(DatagramWire::unix_domain);
    DatagramPeer peer(DatagramWire::unix_domain);
    DatagramTransport& transport = open(bound());
    transport.set_write_buffer_limits(0);
    fill(transport, peer.address());
    transport.abort();
    run_until_lost();
    EXPECT_EQ(told_.trace, "MPL");
}

TEST_F(DatagramFlow, a_loop_that_ends_while_datagrams_wait_leaves_nothing_open) {
    require(DatagramWire::unix_domain);
    DatagramPeer peer(DatagramWire::unix_domain);
    DatagramTransport& transport = open(bound());
    const int fd = transport.get_extra_info(extra::socket).fd();
    fill(transport, peer.address());
    run_idle();
    endpoints_.clear();
    destroy_loop();
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_F(DatagramFlow, P327_an_adopted_connected_socket_checks_addresses_like_any_other) {
    DatagramPeer peer(DatagramWire::ipv4);
    DatagramPeer other(DatagramWire::ipv4);
    DatagramPeer mine(DatagramWire::ipv4);
    mine.connect(peer.address());
    DatagramTransport& transport = adopt(std::move(mine));
    EXPECT_EQ(transport.get_extra_info(extra::peername), peer.address());
    transport.sendto("no address needed");
    EXPECT_EQ(next(peer), "no address needed");
    EXPECT_THROW(transport.sendto("x", other.address()), std::invalid_argument);
}

}  // namespace
}  // namespace sluice::test
