// create_datagram_endpoint: which arguments go together, adopted sockets, and what the options beyond
// asyncio do: batches, joined datagrams, truncation, what travels beside the data, multicast.
#include "support/datagram_fixture.hpp"
#include "support/raw_descriptors.hpp"
#include "support/temp_dir.hpp"

#include <iostream>

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class DatagramOptionsTest : public DatagramTest {
protected:
    template <class E>
    std::string failure(DatagramOptions options) {
        return message_of<E>([&] { open(std::move(options)); });
    }
};

// ---- addresses ----

TEST_F(DatagramOptionsTest, P308_hosts_and_ports_are_resolved) {
    DatagramTransport& transport = open(DatagramOptions().local_address("localhost", 0));
    EXPECT_NE(address(transport).port(), 0);
    DatagramRecorder& second = another_recorder();
    DatagramTransport& client =
        open(DatagramOptions().remote_address(address(transport).host(), address(transport).port()),
             second);
    client.sendto("by name");
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_EQ(told_.senders[0].port(), address(client).port());
}

TEST_F(DatagramOptionsTest, P328_without_addresses_a_family_is_needed) {
    EXPECT_THAT(failure<std::invalid_argument>(DatagramOptions()),
                testing::HasSubstr("unexpected address family"));
    DatagramTransport& transport = open(DatagramOptions().family(Family::ipv4));
    DatagramPeer peer(DatagramWire::ipv4);
    transport.sendto("from anywhere", peer.address());
    EXPECT_EQ(next(peer), "from anywhere");
}

TEST_F(DatagramOptionsTest, P328_local_and_remote_without_a_common_family_are_refused_by_name) {
    const auto error = caught<AddressError>(
        [&] { open(DatagramOptions().local_address("127.0.0.1", 0).remote_address("::1", 9)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::no_matching_local_address);
    EXPECT_THAT(error->what(),
                testing::AllOf(testing::HasSubstr("127.0.0.1:0"), testing::HasSubstr("::1:9")));
}

TEST_F(DatagramOptionsTest, P328_a_host_that_is_not_known_is_named) {
    const auto error = caught<AddressError>(
        [&] { open(DatagramOptions().remote_address("no.such.host.invalid", 9)); });
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), testing::HasSubstr("no.such.host.invalid"));
    EXPECT_EQ(told_.trace, "");
}

TEST_F(DatagramOptionsTest, P329_an_address_in_use_is_named_and_nothing_stays_open) {
    const DatagramPeer holder(DatagramWire::ipv4);
    const auto error =
        caught<AddressError>([&] { open(DatagramOptions().local_address(holder.address())); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::address_in_use);
    EXPECT_THAT(error->what(), testing::HasSubstr(holder.address().to_string()));
}

TEST_F(DatagramOptionsTest, P328_families_that_do_not_fit_the_addresses_are_refused) {
    EXPECT_THAT(failure<std::invalid_argument>(
                    DatagramOptions().family(Family::unix_domain).local_address("127.0.0.1", 0)),
                testing::HasSubstr("no Unix address"));
    EXPECT_THAT(
        failure<std::invalid_argument>(
            DatagramOptions().family(Family::ipv6).local_address(free_address(DatagramWire::ipv4))),
        testing::HasSubstr("127.0.0.1"));
    EXPECT_THAT(failure<std::invalid_argument>(
                    DatagramOptions().local_address(std::string("nul\0host", 8), 0)),
                testing::HasSubstr("host"));
}

TEST_F(DatagramOptionsTest, P330_reuse_port_lets_two_endpoints_share_one) {
    DatagramTransport& first = open(bound().reuse_port(true));
    DatagramTransport& second =
        open(DatagramOptions().local_address(address(first)).reuse_port(true), another_recorder());
    EXPECT_EQ(address(first), address(second));
}

TEST_F(DatagramOptionsTest, P318_broadcast_is_sent_only_with_allow_broadcast) {
    const SocketAddress everybody = SocketAddress::parse("127.255.255.255", 9).value();
    DatagramTransport& plain = open(bound());
    plain.sendto("x", everybody);
    ASSERT_TRUE(run_until([&] { return !told_.errors.empty(); }));
    EXPECT_EQ(told_.errors[0], std::errc::permission_denied);

    DatagramPeer peer(DatagramWire::ipv4, SocketAddress::parse("0.0.0.0", 0).value());
    const SocketAddress target = everybody.with_port(peer.address().port());
    DatagramRecorder& told = another_recorder();
    DatagramTransport& allowed = open(
        DatagramOptions().local_address("0.0.0.0", 0).remote_address(target).allow_broadcast(true),
        told);
    EXPECT_FALSE(allowed.get_extra_info(extra::peername)) << "answers come from other addresses";
    allowed.sendto("to all");
    EXPECT_EQ(next(peer), "to all");
    EXPECT_THROW(allowed.sendto("x", everybody.with_port(1)), std::invalid_argument);
    ASSERT_EQ(
        peer.send_to(free_address(DatagramWire::ipv4).with_port(address(allowed).port()), "me"), 0);
    ASSERT_TRUE(run_until([&] { return !told.received.empty(); }));
}

TEST_F(DatagramOptionsTest, v6_only_decides_whether_an_ipv6_socket_takes_ipv4) {
    if (!has_wire(DatagramWire::ipv6)) {
        GTEST_SKIP() << "this machine has no ipv6";
    }
    DatagramPeer peer(DatagramWire::ipv4);
    const SocketAddress any = SocketAddress::parse("::", 0).value();
    DatagramTransport& both = open(DatagramOptions().local_address(any).v6_only(false));
    ASSERT_EQ(peer.send_to(free_address(DatagramWire::ipv4).with_port(address(both).port()), "old"),
              0);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_EQ(told_.senders[0].host(), "::ffff:127.0.0.1");
    both.sendto("answer", told_.senders[0]);
    EXPECT_EQ(next(peer), "answer");

    DatagramRecorder& told = another_recorder();
    DatagramTransport& only = open(DatagramOptions().local_address(any).v6_only(true), told);
    static_cast<void>(
        peer.send_to(free_address(DatagramWire::ipv4).with_port(address(only).port()), "old"));
    run_idle();
    EXPECT_TRUE(told.received.empty());
}

TEST_F(DatagramOptionsTest, a_stale_unix_socket_is_removed_and_anything_else_is_not) {
    const std::string path = testing::TempDir() + "sluice-" + std::to_string(::getpid()) + ".sock";
    {
        const DatagramPeer stale(DatagramWire::unix_domain, SocketAddress::unix_path(path));
    }
    DatagramTransport& transport =
        open(DatagramOptions().local_address(SocketAddress::unix_path(path)));
    EXPECT_EQ(address(transport).path(), path);
    DatagramPeer peer(DatagramWire::unix_domain);
    ASSERT_EQ(peer.send_to(SocketAddress::unix_path(path), "found"), 0);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    ::unlink(path.c_str());

    ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
    EXPECT_THAT(
        failure<AddressError>(DatagramOptions().local_address(SocketAddress::unix_path(path))),
        testing::HasSubstr(path));
    EXPECT_EQ(::rmdir(path.c_str()), 0) << "it must still be there";
}

// ---- adopted sockets ----

TEST_F(DatagramOptionsTest, P327_an_existing_socket_is_taken_over) {
    DatagramPeer peer(DatagramWire::ipv4);
    DatagramPeer mine(DatagramWire::ipv4);
    const int fd = mine.fd();
    DatagramTransport& transport = adopt(std::move(mine));
    EXPECT_EQ(transport.get_extra_info(extra::socket).fd(), fd);
    transport.sendto("adopted", peer.address());
    EXPECT_EQ(next(peer), "adopted");
    EXPECT_THROW(loop().add_reader(fd, [] {}), std::logic_error) << "the transport owns it";
    transport.close();
    run_until_lost();
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_F(DatagramOptionsTest, P332_both_ends_of_a_socketpair_are_endpoints) {
    auto [near, far] = datagram_pair();
    DatagramTransport& transport = adopt(std::move(near));
    transport.sendto("no name needed");
    EXPECT_EQ(next(far), "no name needed");
    ASSERT_EQ(far.send("neither here"), 0);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_FALSE(told_.senders[0]) << "an unnamed sender has no address";
}

TEST_F(DatagramOptionsTest, P327_a_stream_socket_is_refused_and_closed) {
    Peer stream = unconnected_socket();
    const int fd = stream.fd();
    EXPECT_THAT(message_of<std::invalid_argument>([&] { adopt(DatagramPeer(stream.release())); }),
                testing::AllOf(testing::HasSubstr("A datagram socket was expected"),
                               testing::HasSubstr(std::to_string(fd))));
    EXPECT_FALSE(descriptor_is_open(fd));
}

TEST_F(DatagramOptionsTest, P327_options_that_would_open_a_socket_are_refused_with_one) {
    EXPECT_THAT(message_of<std::invalid_argument>([&] {
                    adopt(DatagramPeer(DatagramWire::ipv4), DatagramOptions()
                                                                .local_address("127.0.0.1", 0)
                                                                .reuse_port(true)
                                                                .allow_broadcast(true));
                }),
                testing::HasSubstr("local_address, reuse_port, allow_broadcast"));
    adopt(DatagramPeer(DatagramWire::ipv4), DatagramOptions().batch(1).gso(false));
}

TEST_F(DatagramOptionsTest, a_factory_makes_the_protocol_and_its_exception_comes_out) {
    const auto failing = []() -> std::unique_ptr<RecordingDatagramProtocol> {
        throw std::runtime_error("no protocol today");
    };
    EXPECT_EQ(message_of<std::runtime_error>(
                  [&] { run(loop().create_datagram_endpoint(failing, bound())); }),
              "no protocol today");
    const auto null = []() -> std::unique_ptr<RecordingDatagramProtocol> { return nullptr; };
    EXPECT_THROW(run(loop().create_datagram_endpoint(null, bound())), std::logic_error);
    const auto making = [this] { return std::make_unique<RecordingDatagramProtocol>(&told_); };
    auto endpoint = run(loop().create_datagram_endpoint(making, bound()));
    EXPECT_EQ(endpoint.transport->get_protocol(), endpoint.protocol);
    endpoint.transport->close();
    run_until_lost();
}

TEST_F(DatagramOptionsTest, a_closed_loop_opens_nothing) {
    loop().close();
    EXPECT_THROW(static_cast<void>(
                     loop().create_datagram_endpoint<RecordingDatagramProtocol>(bound(), &told_)),
                 std::logic_error);
}

// ---- numbers ----

TEST_F(DatagramOptionsTest, numbers_out_of_range_are_refused_and_named) {
    EXPECT_THAT(message_of<std::invalid_argument>([] { DatagramOptions().batch(0); }),
                testing::HasSubstr("batch of 0"));
    EXPECT_THROW(DatagramOptions().batch(limits::datagram_batch + 1), std::invalid_argument);
    EXPECT_THROW(DatagramOptions().datagram_size(0), std::invalid_argument);
    EXPECT_THROW(DatagramOptions().datagram_size(limits::datagram_area_bytes + 1),
                 std::invalid_argument);
    EXPECT_THAT(message_of<std::invalid_argument>([] { DatagramOptions().ttl(256); }),
                testing::HasSubstr("256"));
    EXPECT_THROW(DatagramOptions().ttl(0), std::invalid_argument);
    EXPECT_THROW(DatagramOptions().multicast_ttl(-1), std::invalid_argument);
    DatagramTransport& transport = open(bound());
    EXPECT_THROW(transport.send_segments(as_bytes("x"), 0, free_address(DatagramWire::ipv4)),
                 std::invalid_argument);
    EXPECT_THROW(transport.set_write_buffer_limits(1, 2), std::invalid_argument);
}

// ---- beyond asyncio ----

TEST_F(DatagramOptionsTest, a_protocol_may_get_everything_that_one_call_brought) {
    DatagramTransport& transport = open<BatchRecordingProtocol>(bound().datagram_size(2000));
    DatagramPeer peer(DatagramWire::ipv4);
    for (int i = 0; i < 40; ++i) {
        ASSERT_EQ(peer.send_to(address(transport), std::to_string(i)), 0);
    }
    ASSERT_TRUE(run_until([&] { return told_.copies.size() == 40; }));
    EXPECT_LT(told_.batches.size(), 10U);
    for (std::size_t i = 0; i < 40; ++i) {
        EXPECT_EQ(told_.copies[i].data, std::to_string(i));
        EXPECT_EQ(told_.copies[i].sender, peer.address());
        EXPECT_FALSE(told_.copies[i].truncated);
    }
    EXPECT_EQ(told_.received.size(), 40U) << "the default form calls the other one";
}

TEST_F(DatagramOptionsTest, an_exception_out_of_the_batch_form_is_reported_and_ends_that_batch) {
    class Failing final : public DatagramProtocol {
    public:
        explicit Failing(DatagramRecorder* recorder) : recorder_(recorder) {}
        void datagrams_received(std::span<const Datagram> batch) override {
            recorder_->batches.push_back(batch.size());
            throw std::runtime_error("the whole batch");
        }

    private:
        DatagramRecorder* recorder_;
    };
    DatagramTransport& transport = open<Failing>(bound());
    DatagramPeer peer(DatagramWire::ipv4);
    ASSERT_EQ(peer.send_to(address(transport), "one"), 0);
    ASSERT_TRUE(run_until([&] { return told_.batches.size() == 1; }));
    ASSERT_EQ(peer.send_to(address(transport), "two"), 0);
    ASSERT_TRUE(run_until([&] { return told_.batches.size() == 2; }));
    EXPECT_EQ(take_reports().size(), 2U);
}

TEST_F(DatagramOptionsTest, batch_1_receives_and_sends_one_at_a_time) {
    DatagramTransport& transport = open<BatchRecordingProtocol>(bound().batch(1));
    DatagramPeer peer(DatagramWire::ipv4);
    told_.on_datagram = [&](const std::string& data, const SocketAddress& sender) {
        transport.sendto(data, sender);
    };
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(peer.send_to(address(transport), std::to_string(i)), 0);
    }
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(next(peer), std::to_string(i));
    }
    EXPECT_EQ(told_.batches, std::vector<std::size_t>(10, 1));
}

TEST_F(DatagramOptionsTest, a_datagram_longer_than_datagram_size_is_cut_and_flagged) {
    DatagramTransport& transport = open<BatchRecordingProtocol>(bound().datagram_size(10));
    DatagramPeer peer(DatagramWire::ipv4);
    for (const char* data : {"0123456789", "0123456789a", "012"}) {
        ASSERT_EQ(peer.send_to(address(transport), data), 0);
    }
    ASSERT_TRUE(run_until([&] { return told_.copies.size() == 3; }));
    EXPECT_FALSE(told_.copies[0].truncated);
    EXPECT_TRUE(told_.copies[1].truncated);
    EXPECT_EQ(told_.copies[1].data, "0123456789");
    EXPECT_FALSE(told_.copies[2].truncated);
    EXPECT_EQ(counters(transport).truncated, 1U);
}

TEST_F(DatagramOptionsTest, a_sender_whose_path_leaves_no_room_for_its_NUL_has_no_name) {
    DatagramTransport& transport =
        open(DatagramOptions().local_address(free_address(DatagramWire::unix_domain)));
    const TempDir directory;
    sockaddr_un full{};
    full.sun_family = AF_UNIX;
    const std::string begin = directory / "";
    const std::string path = begin + std::string(sizeof full.sun_path - begin.size(), 'p');
    path.copy(full.sun_path, sizeof full.sun_path);
    DatagramPeer peer(make_socket(AF_UNIX, SOCK_DGRAM, IoMode::nonblocking));
    ASSERT_EQ(::bind(peer.fd(), reinterpret_cast<const sockaddr*>(&full), sizeof full), 0);
    ASSERT_EQ(peer.send_to(address(transport), "hello"), 0);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_EQ(told_.senders[0], SocketAddress());
}

TEST_F(DatagramOptionsTest, the_largest_datagrams_of_udp_and_of_unix_sockets_arrive_whole) {
    const std::string udp = pattern(65507);
    DatagramTransport& transport = open(bound());
    DatagramPeer peer(DatagramWire::ipv4);
    ASSERT_EQ(peer.send_to(address(transport), udp), 0);
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 1; }));
    EXPECT_TRUE(told_.received[0] == udp);
    transport.sendto(udp, peer.address());
    EXPECT_TRUE(next(peer) == udp);

    auto [near, far] = datagram_pair();
    const std::string local = pattern(100'000);
    DatagramTransport& pair = adopt(std::move(near));
    ASSERT_EQ(far.send(local), 0);
    ASSERT_TRUE(run_until([&] { return told_.received.size() == 2; }));
    EXPECT_TRUE(told_.received[1] == local);
    pair.sendto(local);
    EXPECT_TRUE(next(far) == local);
}

// Sends segments of these sizes to an endpoint and expects each as a datagram of its own.
TEST_F(DatagramOptionsTest, I4_joined_datagrams_of_odd_sizes_are_the_same_datagrams_in_order) {
    for (const bool offload : {true, false}) {
        DatagramRecorder& told = another_recorder();
        DatagramTransport& receiver =
            open<BatchRecordingProtocol>(bound().gro(offload).datagram_size(65536), told);
        DatagramTransport& sender = open(bound().gso(offload), another_recorder());
        if (offload &&
            !(receiver.get_extra_info(extra::gro) && sender.get_extra_info(extra::gso))) {
            std::cout << "this kernel has no UDP_GRO or no UDP_SEGMENT: only the other form ran\n";
            continue;
        }
        std::vector<std::string> expected;
        for (const std::size_t segment : {1U, 7U, 333U, 1200U, 1399U}) {
            const std::string data =
                pattern(segment * 9 + segment / 2, static_cast<unsigned>(segment));
            for (std::size_t at = 0; at < data.size(); at += segment) {
                expected.push_back(data.substr(at, segment));
            }
            sender.send_segments(as_bytes(data), segment, address(receiver));
        }
        ASSERT_TRUE(run_until([&] { return told.copies.size() == expected.size(); }));
        for (std::size_t i = 0; i < expected.size(); ++i) {
            ASSERT_TRUE(told.copies[i].data == expected[i]) << i;
            ASSERT_EQ(told.copies[i].sender, address(sender)) << i;
        }
        EXPECT_EQ(counters(sender).sent, expected.size());
        EXPECT_EQ(counters(receiver).received, expected.size());
    }
}

TEST_F(DatagramOptionsTest,
       datagrams_above_the_packet_size_are_sent_although_they_cannot_be_joined) {
    DatagramTransport& sender = open(bound());
    DatagramRecorder& told = another_recorder();
    DatagramTransport& receiver = open(bound(), told);
    // The loopback takes 64 KiB in a packet, so two of these would be too much for one.
    const std::string large = pattern(40'000);
    in_callback([&] {
        for (int i = 0; i < 4; ++i) {
            sender.send_segments(as_bytes(large), 20'000, address(receiver));
        }
    });
    ASSERT_TRUE(run_until([&] { return told.received.size() == 8; }));
    for (std::size_t i = 0; i < 8; ++i) {
        ASSERT_TRUE(told.received[i] == large.substr(i % 2 * 20'000, 20'000));
    }
    EXPECT_TRUE(told_.errors.empty());
}

TEST_F(DatagramOptionsTest, ttl_and_ecn_are_received_where_they_are_asked_for) {
    for (const DatagramWire wire : {DatagramWire::ipv4, DatagramWire::ipv6}) {
        if (!has_wire(wire)) {
            continue;
        }
        DatagramRecorder& told = another_recorder();
        DatagramTransport& transport = open<BatchRecordingProtocol>(
            DatagramOptions().local_address(free_address(wire)).receive_ecn(true).receive_ttl(true),
            told);
        DatagramPeer peer(wire);
        const bool ipv4 = wire == DatagramWire::ipv4;
        peer.set_option(ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TOS : IPV6_TCLASS, 2);
        peer.set_option(ipv4 ? IPPROTO_IP : IPPROTO_IPV6, ipv4 ? IP_TTL : IPV6_UNICAST_HOPS, 33);
        ASSERT_EQ(peer.send_to(address(transport), "x"), 0);
        ASSERT_TRUE(run_until([&] { return !told.copies.empty(); }));
        EXPECT_EQ(told.copies[0].ecn, 2);
        EXPECT_EQ(told.copies[0].ttl, 33);
        DatagramRecorder& answered = another_recorder();
        DatagramTransport& sender =
            open(DatagramOptions().local_address(free_address(wire)).ttl(7), answered);
        sender.sendto("y", address(transport));
        ASSERT_TRUE(run_until([&] { return told.copies.size() == 2; }));
        EXPECT_EQ(told.copies[1].ttl, 7);
        EXPECT_EQ(told.copies[1].ecn, 0);
    }
}

TEST_F(DatagramOptionsTest, a_multicast_group_is_joined_and_left_on_an_interface) {
    const unsigned loopback = ::if_nametoindex("lo");
    ASSERT_NE(loopback, 0U);
    DatagramTransport& member = open(DatagramOptions().local_address("0.0.0.0", 0));
    DatagramTransport& sender = open(DatagramOptions()
                                         .local_address("127.0.0.1", 0)
                                         .multicast_interface(loopback)
                                         .multicast_loop(true)
                                         .multicast_ttl(0),
                                     another_recorder());
    const SocketAddress group = SocketAddress::parse("239.7.11.13", address(member).port()).value();
    member.join_group(group, loopback);
    sender.sendto("to the group", group);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty(); }));
    EXPECT_EQ(told_.senders[0], address(sender));
    EXPECT_THROW(member.join_group(group, loopback), std::system_error) << "it is a member";
    member.leave_group(group, loopback);
    sender.sendto("to nobody", group);
    run_idle();
    EXPECT_EQ(told_.received.size(), 1U);
    EXPECT_THAT(message_of<std::system_error>([&] { member.leave_group(group, loopback); }),
                testing::HasSubstr("239.7.11.13"));
}

TEST_F(DatagramOptionsTest, an_ipv6_group_is_joined_by_interface_index) {
    const unsigned loopback = ::if_nametoindex("lo");
    ASSERT_NE(loopback, 0U);
    if (!has_wire(DatagramWire::ipv6)) {
        GTEST_SKIP() << "this machine has no ipv6";
    }
    DatagramTransport& member = open(DatagramOptions().local_address("::", 0).family(Family::ipv6));
    DatagramRecorder& told = another_recorder();
    DatagramTransport& sender =
        open(DatagramOptions().local_address("::1", 0).multicast_interface(loopback), told);
    const SocketAddress group = SocketAddress::parse("ff01::7:11", address(member).port()).value();
    member.join_group(group, loopback);
    EXPECT_THROW(member.join_group(group, loopback), std::system_error) << "it is a member";
    sender.sendto("to the group", group);
    ASSERT_TRUE(run_until([&] { return !told_.received.empty() || !told.errors.empty(); }));
    if (!told.errors.empty()) {
        EXPECT_EQ(told.errors[0], std::errc::network_unreachable);
        std::cout << "this machine has no route for IPv6 groups on lo: nothing was received\n";
    }
    member.leave_group(group, loopback);
    EXPECT_THROW(member.leave_group(group, loopback), std::system_error);
}

TEST_F(DatagramOptionsTest, what_is_no_group_of_the_family_is_refused) {
    DatagramTransport& transport = open(bound());
    EXPECT_THAT(
        message_of<std::invalid_argument>([&] { transport.join_group(address(transport)); }),
        testing::HasSubstr("127.0.0.1"));
    EXPECT_THROW(transport.join_group(SocketAddress::parse("ff02::1", 0).value()),
                 std::invalid_argument);
    EXPECT_THROW(transport.leave_group(SocketAddress()), std::invalid_argument);
}

}  // namespace
}  // namespace sluice::test
