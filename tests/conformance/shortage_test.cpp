// Running out of descriptors, and descriptors that must not reach a child program.
#include "support/loop_fixture.hpp"

#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <poll.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Shortage : public BackendTest {
protected:
    void SetUp() override {
        if (!descriptors_can_run_out()) {
            GTEST_SKIP() << "this sanitizer needs descriptors of its own; the simulation has the "
                            "same cases";
        }
    }
    /// What a server has: a backend that accepts by itself goes by the limit of the moment when it began to,
    /// so that the numbers must really be in use for it to run out.
    static constexpr std::size_t descriptors = 100;

    static std::vector<Peer> sockets(std::size_t count) {
        std::vector<Peer> made;
        for (std::size_t i = 0; i < count; ++i) {
            made.push_back(unconnected_socket());
        }
        return made;
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Shortage, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Shortage, B1_a_listener_without_descriptors_rests_serves_on_and_resumes_by_itself) {
    const DescriptorLimit lowered(descriptors);
    Ref<Server> server = serve();
    Peer first = Peer::connect(port_of(server));
    ASSERT_TRUE(wait_for_connections(1));
    std::vector<Peer> waiting = sockets(5);
    {
        const TakenDescriptors taken(0);
        for (const Peer& each : waiting) {
            start_connecting(each, "127.0.0.1", port_of(server));
        }
        std::vector<Report> reports;
        ASSERT_TRUE(run_until([&] {
            reports = take_reports();
            return !reports.empty();
        }));
        ASSERT_EQ(reports.size(), 1U);
        EXPECT_THAT(reports[0].message,
                    testing::HasSubstr("socket.accept() out of system resource"));
        EXPECT_EQ(reports[0].error, std::errc::too_many_files_open);
        // It rests: although connections wait, nothing is due for a while and nothing is readable.
        run_idle();
        ASSERT_TRUE(loop().next_timeout());
        EXPECT_GT(*loop().next_timeout(), 0ns);
        pollfd entry{loop().pollable_fd(), POLLIN, 0};
        EXPECT_EQ(::poll(&entry, 1, 0), 0) << "the loop would spin";
        // start_serving does not cut the rest short.
        server->start_serving();
        run_idle();
        EXPECT_EQ(::poll(&entry, 1, 0), 0) << "start_serving() bypassed the rest";
        first.send("still served");
        ASSERT_TRUE(run_until([&] { return connections()[0]->received() == "still served"; }));
    }
    ASSERT_TRUE(wait_for_connections(6)) << "accepting does not resume";
    EXPECT_TRUE(take_reports().empty());
    shut_down(server);
}

TEST_P(Shortage, B1_one_descriptor_is_one_connection) {
    const DescriptorLimit lowered(descriptors);
    Ref<Server> server = serve();
    std::vector<Peer> waiting = sockets(3);
    const TakenDescriptors taken(1);
    for (const Peer& each : waiting) {
        start_connecting(each, "127.0.0.1", port_of(server));
    }
    ASSERT_TRUE(wait_for_connections(1));
    run_idle();
    EXPECT_EQ(take_reports().size(), 1U);
    EXPECT_EQ(server->connection_count(), 1U);
    // Each that ends makes room for the next, after the rest.
    connections()[0]->transport().abort();
    ASSERT_TRUE(wait_for_connections(2));
    static_cast<void>(take_reports());
    shut_down(server);
    static_cast<void>(take_reports());
}

TEST_P(Shortage, B1_a_server_closed_while_it_rests_is_not_revived) {
    const DescriptorLimit lowered(descriptors);
    Ref<Server> server = serve();
    const std::vector<Peer> waiting = sockets(2);
    const TakenDescriptors taken(0);
    for (const Peer& each : waiting) {
        start_connecting(each, "127.0.0.1", port_of(server));
    }
    ASSERT_TRUE(run_until([&] { return !take_reports().empty(); }));
    server->close();
    run_idle();
    EXPECT_EQ(loop().next_timeout(), std::nullopt) << "the timer of the rest is left";
    EXPECT_TRUE(server->sockets().empty());
    run(server->wait_closed());
}

TEST_P(Shortage, B15_a_loop_without_descriptors_is_a_system_error_and_leaves_none_open) {
    for (std::size_t spare = 0;; ++spare) {
        ASSERT_LT(spare, 20U) << "a loop needs more than twenty descriptors";
        const std::vector<int> before = open_descriptors();
        const auto made = [&] {
            const DescriptorLimit limit(spare);
            try {
                const EventLoop other(GetParam());
                return true;
            } catch (const std::system_error& error) {
                EXPECT_EQ(error.code(), std::errc::too_many_files_open);
                return false;
            }
        }();
        EXPECT_EQ(open_descriptors(), before);
        if (made) {
            EXPECT_GT(spare, 0U);
            return;
        }
    }
}

TEST_P(Shortage, B15_connecting_without_descriptors_is_an_address_error) {
    const Listener listener;
    Recorder& told = make_recorder();
    std::optional<AddressError> error;
    {
        const DescriptorLimit limit(0);
        error = caught<AddressError>([&] {
            run(loop().create_connection<RecordingProtocol>("127.0.0.1", listener.port(),
                                                            ConnectOptions(), &told));
        });
    }
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), std::errc::too_many_files_open);
    EXPECT_THAT(error->what(), testing::HasSubstr(std::to_string(listener.port())));
    EXPECT_EQ(told.created(), 0U);
}

TEST_P(Shortage, B15_listening_without_enough_descriptors_closes_what_was_opened) {
    for (std::size_t spare = 0; spare < 2; ++spare) {
        const std::vector<int> before = open_descriptors();
        std::optional<AddressError> error;
        {
            const DescriptorLimit limit(spare);
            error = caught<AddressError>([&] {
                std::vector<std::string> hosts{"127.0.0.1", "127.0.0.2"};
                run(loop().create_server(recording_factory(), hosts, 0));
            });
        }
        ASSERT_TRUE(error);
        EXPECT_EQ(error->code(), std::errc::too_many_files_open);
        EXPECT_EQ(open_descriptors(), before);
    }
}

TEST_P(Shortage, B15_a_signal_handler_without_descriptors_is_a_system_error) {
    {
        const DescriptorLimit limit(0);
        EXPECT_THROW(loop().add_signal_handler(SIGUSR1, [] {}), std::system_error);
    }
    bool called = false;
    loop().add_signal_handler(SIGUSR1, [&] { called = true; });
    ::raise(SIGUSR1);
    EXPECT_TRUE(run_until([&] { return called; }));
}

TEST_P(Shortage, B15_the_resolver_without_descriptors_answers_or_fails_but_does_not_hang) {
    const DescriptorLimit limit(0);
    TaskHandle<std::vector<SocketAddress>> looking =
        loop().create_task(loop().getaddrinfo("localhost", 80));
    ASSERT_TRUE(run_until([&] { return looking.done(); }));
    if (looking.exception()) {
        EXPECT_THROW(looking.result(), AddressError);
    } else {
        EXPECT_FALSE(looking.result().empty());
    }
}

class Inheritance : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, Inheritance, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Inheritance, B5_no_descriptor_of_the_library_survives_exec) {
    const std::vector<int> before = open_descriptors();
    {
        Recorder accepted;
        Recorder connected;
        EventLoop other(GetParam());
        other.add_signal_handler(SIGUSR2, [] {});
        Ref<Server> server = other.run_until_complete(
            other.create_server<RecordingProtocol>("127.0.0.1", 0, ServerOptions(), &accepted));
        other.run_until_complete(other.create_connection<RecordingProtocol>(
            "127.0.0.1", port_of(server), ConnectOptions(), &connected));
        ASSERT_TRUE(test::run_until(other, [&] { return accepted.made(); }));
        std::size_t ours = 0;
        for (const int fd : open_descriptors()) {
            if (!std::binary_search(before.begin(), before.end(), fd)) {
                ++ours;
                EXPECT_TRUE(has_close_on_exec(fd)) << "descriptor " << fd;
            }
        }
        // At least: something to wait with, the signals', a listener and both ends.
        EXPECT_GE(ours, 5U);
        accepted.forget_transport();
        connected.forget_transport();
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Inheritance, an_adopted_socket_becomes_non_blocking_and_keeps_its_number) {
    auto [peer, ours] = connected_peers();
    const int fd = ours.release();
    ASSERT_EQ(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
    Recorder& told = make_recorder();
    run(loop().create_connection<RecordingProtocol>(Descriptor(fd), &told));
    EXPECT_EQ(fd_of(told.transport()), fd);
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    told.transport().abort();
    ASSERT_TRUE(run_until([&] { return told.lost(); }));
}

}  // namespace
}  // namespace sluice::test
