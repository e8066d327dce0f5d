// Group R of semantics.md: sock_* as coroutines on sockets that stay the test's own.
#include "support/datagram_support.hpp"
#include "support/raw_descriptors.hpp"
#include "support/socket_pair_fixture.hpp"
#include "support/temp_file.hpp"

#include <array>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

class SocketCallsTest : public SocketPairTest {
protected:
    // A UDP socket on a free port of the loopback.
    static Peer datagram_socket() {
        Peer socket(make_socket(AF_INET, SOCK_DGRAM, IoMode::nonblocking));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
            throw std::system_error(errno, std::system_category(), "bind");
        }
        return socket;
    }
};
INSTANTIATE_TEST_SUITE_P(Every, SocketCallsTest, testing::ValuesIn(backends()), backend_case_name);

// ---- round trips ----

TEST_P(SocketCallsTest, R346_connect_accept_sendall_and_recv) {
    const Peer listener = bound_socket("127.0.0.1", 0, 5);
    const Peer client = unconnected_socket();
    auto accepting = loop().create_task(loop().sock_accept(listener.fd()));
    run(loop().sock_connect(client.fd(), address_of(listener.fd())));
    const AcceptedSocket accepted = loop().run_until_complete(accepting);
    EXPECT_EQ(accepted.peer, address_of(client.fd()));
    EXPECT_TRUE(has_close_on_exec(accepted.socket.get()));
    run(loop().sock_sendall(client.fd(), as_bytes("ping")));
    EXPECT_EQ(text_of(run(loop().sock_recv(accepted.socket.get(), 100))), "ping");
    run(loop().sock_sendall(accepted.socket.get(), as_bytes("pong")));
    EXPECT_EQ(text_of(run(loop().sock_recv(client.fd(), 2))), "po");
    std::array<std::byte, 10> space{};
    EXPECT_EQ(run(loop().sock_recv_into(client.fd(), space)), 2U);
    EXPECT_EQ(as_text(Bytes(space).first(2)), "ng");
}

TEST_P(SocketCallsTest, R346_recv_waits_for_data_and_gives_nothing_at_the_end) {
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 100));
    run_idle();
    EXPECT_FALSE(receiving.done());
    far_.send("late");
    EXPECT_EQ(text_of(finish(receiving)), "late");
    far_.shutdown_write();
    EXPECT_TRUE(run(loop().sock_recv(near_.fd(), 100)).empty());
    EXPECT_TRUE(run(loop().sock_recv(near_.fd(), 0)).empty());
}

TEST_P(SocketCallsTest, R346_datagrams_with_their_senders) {
    const Peer one = datagram_socket();
    const Peer two = datagram_socket();
    auto receiving = loop().create_task(loop().sock_recvfrom(two.fd(), 100));
    run_idle();
    EXPECT_EQ(run(loop().sock_sendto(one.fd(), as_bytes("hello"), address_of(two.fd()))), 5U);
    const ReceivedFrom received = finish(receiving);
    EXPECT_EQ(text_of(received.data), "hello");
    EXPECT_EQ(received.sender, address_of(one.fd()));
    EXPECT_EQ(run(loop().sock_sendto(one.fd(), {}, address_of(two.fd()))), 0U) << "an empty one";
    EXPECT_EQ(run(loop().sock_sendto(one.fd(), as_bytes("cut off"), address_of(two.fd()))), 7U);
    std::array<std::byte, 3> space{};
    FilledFrom filled = run(loop().sock_recvfrom_into(two.fd(), space));
    EXPECT_EQ(filled.size, 0U);
    filled = run(loop().sock_recvfrom_into(two.fd(), space));
    EXPECT_EQ(as_text(space), "cut");
    EXPECT_EQ(filled.sender, address_of(one.fd()));
}

TEST_P(SocketCallsTest, R348_huge_content_goes_both_ways_at_once) {
    const std::string sent = pattern(8'000'000);
    const std::string answer = pattern(8'000'000, 1);
    const auto receive_all = [](EventLoop& loop, int fd, std::size_t size) -> Task<std::string> {
        std::string all;
        std::vector<std::byte> space(100'000);
        while (all.size() < size) {
            Task<std::size_t> receiving = loop.sock_recv_into(fd, space);
            const std::size_t count = co_await receiving;
            all += as_text(Bytes(space).first(count));
        }
        co_return all;
    };
    auto there = loop().create_task(loop().sock_sendall(near_.fd(), as_bytes(sent)));
    auto back = loop().create_task(loop().sock_sendall(far_.fd(), as_bytes(answer)));
    auto got = loop().create_task(receive_all(loop(), far_.fd(), sent.size()));
    auto answered = loop().create_task(receive_all(loop(), near_.fd(), answer.size()));
    EXPECT_TRUE(finish(got) == sent);
    EXPECT_TRUE(finish(answered) == answer);
    finish(there);
    finish(back);
}

TEST_P(SocketCallsTest, R355_sendall_waits_while_the_buffers_are_full) {
    const std::string sent = pattern(20'000'000);
    auto sending = loop().create_task(loop().sock_sendall(near_.fd(), as_bytes(sent)));
    run_idle();
    EXPECT_FALSE(sending.done());
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return sending.done();
    }));
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return far_.received().size() == sent.size();
    }));
    EXPECT_TRUE(far_.received() == sent);
}

TEST_P(SocketCallsTest, R355_sendto_waits_while_the_receivers_queue_is_full) {
    const auto [sending_end, receiving_end] = make_socket_pair(SOCK_DGRAM, IoMode::nonblocking);
    const Peer sender(sending_end);
    const Peer receiver(receiving_end);
    const std::string datagram(1000, 'd');
    while (::send(sender.fd(), datagram.data(), datagram.size(), 0) > 0) {
    }
    ASSERT_EQ(errno, EAGAIN);
    auto sending = loop().create_task(loop().sock_sendall(sender.fd(), as_bytes(datagram)));
    run_idle();
    EXPECT_FALSE(sending.done());
    ASSERT_TRUE(run_until([&] {
        std::array<char, 1000> space{};
        static_cast<void>(::recv(receiver.fd(), space.data(), space.size(), 0) > 0);
        return sending.done();
    }));
}

TEST_P(SocketCallsTest, R355_sendto_does_not_spin_when_nothing_tells_of_room) {
    DatagramPeer sender(DatagramWire::unix_domain);
    DatagramPeer receiver(DatagramWire::unix_domain);
    while (sender.send_to(receiver.address(), "until its queue is full") == 0) {
    }
    // poll(2) calls the sender writable all the time, since it does not know for whom.
    auto sending =
        loop().create_task(loop().sock_sendto(sender.fd(), as_bytes("late"), receiver.address()));
    const std::uint64_t before = loop().counters().iterations;
    bool timer_ran = false;
    loop().call_later(std::chrono::milliseconds(20), [&] { timer_ran = true; });
    ASSERT_TRUE(run_until([&] { return timer_ran; }));
    EXPECT_LT(loop().counters().iterations - before, 200U);
    EXPECT_FALSE(sending.done());
    while (receiver.receive()) {
    }
    EXPECT_EQ(finish(sending), 4U);
}

TEST_P(SocketCallsTest, R357_ipv6_addresses) {
    if (!has_ipv6()) {
        GTEST_SKIP() << "no IPv6 here";
    }
    const Peer listener = bound_socket("::1", 0, 5);
    const Peer client = unconnected_socket(Family::ipv6);
    run(loop().sock_connect(client.fd(), address_of(listener.fd())));
    const AcceptedSocket accepted = loop().run_until_complete(loop().sock_accept(listener.fd()));
    EXPECT_EQ(accepted.peer, address_of(client.fd()));
}

TEST_P(SocketCallsTest, one_coroutine_sends_while_another_receives_on_the_same_socket) {
    const std::string sent = pattern(5'000'000);
    auto receiving = loop().create_task(loop().sock_recv(near_.fd(), 10));
    auto sending = loop().create_task(loop().sock_sendall(near_.fd(), as_bytes(sent)));
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return sending.done();
    }));
    EXPECT_FALSE(receiving.done());
    far_.send("x");
    EXPECT_EQ(text_of(finish(receiving)), "x");
}

// ---- errors ----

TEST_P(SocketCallsTest, R347_a_refused_connection_names_the_address) {
    const ClosedPort port;
    const Peer client = unconnected_socket();
    const SocketAddress address = SocketAddress::parse("127.0.0.1", port.port()).value();
    const auto error =
        caught<AddressError>([&] { run(loop().sock_connect(client.fd(), address)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::connection_refused);
    EXPECT_EQ(error->address(), address.to_string());
    const Peer other = unconnected_socket();
    EXPECT_THROW(static_cast<void>(loop().sock_connect(other.fd(), {})), std::invalid_argument);
}

TEST_P(SocketCallsTest, R353_a_blocking_socket_is_refused) {
    const int flags = ::fcntl(near_.fd(), F_GETFL);
    ASSERT_EQ(::fcntl(near_.fd(), F_SETFL, flags & ~O_NONBLOCK), 0);
    std::array<std::byte, 1> space{};
    const SocketAddress address = address_of(far_.fd());
    const std::string shown = std::to_string(near_.fd());
    const auto refused = [&](auto call) {
        const std::string text =
            message_of<std::invalid_argument>([&] { static_cast<void>(call()); });
        EXPECT_NE(text.find("descriptor " + shown + " is blocking"), std::string::npos) << text;
    };
    refused([&] { return loop().sock_recv(near_.fd(), 1); });
    refused([&] { return loop().sock_recv_into(near_.fd(), space); });
    refused([&] { return loop().sock_recvfrom(near_.fd(), 1); });
    refused([&] { return loop().sock_recvfrom_into(near_.fd(), space); });
    refused([&] { return loop().sock_sendall(near_.fd(), space); });
    refused([&] { return loop().sock_sendto(near_.fd(), space, address); });
    refused([&] { return loop().sock_connect(near_.fd(), address); });
    refused([&] { return loop().sock_accept(near_.fd()); });
    const TempFile file("x");
    refused([&] { return loop().sock_sendfile(near_.fd(), file.fd()); });
}

/// Every call there is, by its name.
using NamedCall = std::pair<std::string, std::function<void(EventLoop&, int)>>;
std::vector<NamedCall> every_call(int file) {
    static std::array<std::byte, 4> memory;
    return {
        {"sock_recv", [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_recv(fd, 1)); }},
        {"sock_recv_into",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_recv_into(fd, memory)); }},
        {"sock_recvfrom",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_recvfrom(fd, 1)); }},
        {"sock_recvfrom_into",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_recvfrom_into(fd, memory)); }},
        {"sock_sendall",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_sendall(fd, {})); }},
        {"sock_sendto",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_sendto(fd, {}, {})); }},
        {"sock_connect",
         [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_connect(fd, {})); }},
        {"sock_accept", [](EventLoop& loop, int fd) { static_cast<void>(loop.sock_accept(fd)); }},
        {"sock_sendfile",
         [file](EventLoop& loop, int fd) { static_cast<void>(loop.sock_sendfile(fd, file)); }},
    };
}

TEST_P(SocketCallsTest, R354_a_transports_descriptor_is_refused_by_every_call) {
    Recorder& told = make_recorder();
    const int stream = near_.fd();
    const auto connection =
        run(loop().create_connection<RecordingProtocol>(Descriptor(near_.release()), &told));
    const int datagrams = datagram_socket().release();
    const auto endpoint =
        run(loop().create_datagram_endpoint<DatagramProtocol>(Descriptor(datagrams)));
    const auto [reading, writing] = make_pipe();
    const auto pipe = run(loop().connect_write_pipe<WritePipeProtocol>(Descriptor(writing)));
    const TempFile file("x");
    for (const int fd : {stream, datagrams, writing}) {
        for (const auto& [name, call] : every_call(file.fd())) {
            EXPECT_EQ(message_of<std::logic_error>([&] { call(loop(), fd); }),
                      name + "(): descriptor " + std::to_string(fd) +
                          " is used by a transport or server");
        }
    }
    connection.transport->abort();
    endpoint.transport->abort();
    pipe.transport->abort();
    run_idle();
    ::close(reading);
    // The same numbers are free again for others.
    const auto error = caught<std::system_error>([&] { run(loop().sock_recv(stream, 1)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::bad_file_descriptor);
}

TEST_P(SocketCallsTest, R356_a_refused_datagram_is_an_error_of_the_next_receive) {
    const Peer sender = datagram_socket();
    SocketAddress nobody;
    {
        const Peer gone = datagram_socket();
        nobody = address_of(gone.fd());
    }
    run(loop().sock_connect(sender.fd(), nobody));
    run(loop().sock_sendall(sender.fd(), as_bytes("anybody there?")));
    const auto error =
        caught<std::system_error>([&] { run(loop().sock_recvfrom(sender.fd(), 1)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::connection_refused);
    EXPECT_NE(std::string(error->what()).find("sock_recvfrom() on descriptor"), std::string::npos);
}

TEST_P(SocketCallsTest, a_descriptor_that_is_negative_closed_or_no_socket_is_refused) {
    EXPECT_THROW(static_cast<void>(loop().sock_recv(-1, 1)), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(loop().sock_recv(900, 1)), std::system_error);
    const TempFile file("x");
    ASSERT_EQ(::fcntl(file.fd(), F_SETFL, O_NONBLOCK), 0);
    const auto error = caught<std::system_error>([&] { run(loop().sock_recv(file.fd(), 1)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::not_a_socket);
}

TEST_P(SocketCallsTest, a_reset_is_an_error_of_receiving_and_sending_and_no_signal) {
    far_.reset();
    const auto receiving = caught<std::system_error>([&] { run(loop().sock_recv(near_.fd(), 1)); });
    ASSERT_TRUE(receiving);
    EXPECT_EQ(receiving->code(), std::errc::connection_reset);
    const auto sending =
        caught<std::system_error>([&] { run(loop().sock_sendall(near_.fd(), as_bytes("x"))); });
    ASSERT_TRUE(sending);
    EXPECT_EQ(sending->code(), std::errc::broken_pipe);
}

TEST_P(SocketCallsTest, on_a_closed_loop_every_call_is_a_mistake) {
    loop().close();
    EXPECT_THROW(static_cast<void>(loop().sock_recv(near_.fd(), 1)), std::logic_error);
    EXPECT_THROW(static_cast<void>(loop().sock_accept(near_.fd())), std::logic_error);
}

// ---- files ----

TEST_P(SocketCallsTest, L199_sendfile_sends_the_wanted_range_and_gives_the_count) {
    const std::string content = pattern(3'000'000);
    const TempFile file(content);
    auto sending = loop().create_task(loop().sock_sendfile(near_.fd(), file.fd(), 1000, 2'500'000));
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return sending.done();
    }));
    EXPECT_EQ(sending.result(), 2'500'000U);
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return far_.received().size() >= 2'500'000;
    }));
    EXPECT_TRUE(far_.received() == content.substr(1000, 2'500'000));
}

TEST_P(SocketCallsTest, L200_an_empty_range_is_success) {
    const TempFile file("abc");
    EXPECT_EQ(run(loop().sock_sendfile(near_.fd(), file.fd(), 3)), 0U);
    EXPECT_EQ(run(loop().sock_sendfile(near_.fd(), file.fd(), 100)), 0U);
    EXPECT_THROW(static_cast<void>(loop().sock_sendfile(near_.fd(), file.fd(), -1)),
                 std::invalid_argument);
    EXPECT_THROW(static_cast<void>(loop().sock_sendfile(near_.fd(), far_.fd())), std::system_error);
}

TEST_P(SocketCallsTest, L_a_file_may_be_closed_by_its_owner_and_a_short_one_is_an_error) {
    TempFile file(pattern(20'000'000));
    auto sending = loop().create_task(loop().sock_sendfile(near_.fd(), file.fd()));
    run_idle();
    EXPECT_FALSE(sending.done());
    file.resize(1000);
    file.close();
    ASSERT_TRUE(run_until([&] {
        far_.receive_available();
        return sending.done();
    }));
    const auto error = caught<SendfileError>([&] { sending.result(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Error::file_truncated);
    EXPECT_GT(error->sent(), 1000U);
}

}  // namespace
}  // namespace sluice::test
