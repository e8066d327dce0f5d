// Between the backlog and the protocol: turns, connections that nobody has been told of when their server
// goes, peers that go first. A backend may have accepted what the server has not been handed yet.
#include "support/checked.hpp"
#include "support/loop_fixture.hpp"
#include "support/system.hpp"
#include "support/temp_dir.hpp"

#include <algorithm>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/socket.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class Accepting : public BackendTest {
protected:
    /// Of which one turn hands over `backlog` connections, and whose queue holds one more.
    Ref<Server> serve_by_turns(int backlog) { return serve(ServerOptions().backlog(backlog)); }
    static std::vector<Peer> connect_several(const Ref<Server>& server, std::size_t count) {
        std::vector<Peer> peers;
        for (std::size_t i = 0; i < count; ++i) {
            peers.push_back(Peer::connect(port_of(server)));
        }
        return peers;
    }
    /// Enters the kernel from outside the loop, as far as a backend has to: one that accepts by itself does
    /// so then, too.
    static void stop_watching(EventLoop& loop, const Peer& something) {
        EXPECT_TRUE(loop.remove_reader(something.fd()));
    }
    void expect_ended(std::vector<Peer>& peers) {
        EXPECT_TRUE(run_until([&] {
            return std::ranges::all_of(peers, [](Peer& each) {
                each.receive_available();
                return each.saw_end() || each.error() != 0;
            });
        }));
    }
};
INSTANTIATE_TEST_SUITE_P(Every, Accepting, testing::ValuesIn(backends()), backend_case_name);

TEST_P(Accepting, a_turn_hands_over_no_more_connections_than_the_backlog_and_the_next_the_others) {
    Ref<Server> server = serve_by_turns(2);
    run_idle();
    const std::vector<Peer> peers = connect_several(server, 3);
    ASSERT_TRUE(run_until([&] { return server->connection_count() != 0; }));
    EXPECT_EQ(server->connection_count(), 2U);
    loop().run_once();
    EXPECT_EQ(server->connection_count(), 3U) << "somebody has to come before it goes on";
    ASSERT_TRUE(wait_for_connections(3));
    shut_down(server);
}

TEST_P(Accepting, what_arrives_faster_than_it_is_served_waits_in_the_backlog) {
    constexpr int backlog = 4;
    const TempDir folder;
    const std::string path = folder / "socket";
    Ref<Server> server =
        run(loop().create_unix_server(recording_factory(), path, ServerOptions().backlog(backlog)));
    std::vector<Peer> peers;
    const std::size_t others = open_descriptors().size();
    std::size_t most_ahead = 0;
    for (int turn = 0; turn < 50; ++turn) {
        try {
            for (;;) {
                peers.push_back(Peer::connect_unix(path));
            }
        } catch (const std::system_error& error) {
            ASSERT_EQ(error.code(), std::errc::resource_unavailable_try_again);
        }
        loop().run_once(0ns);
        most_ahead = std::max(most_ahead, open_descriptors().size() - others - peers.size() -
                                              server->connection_count());
    }
    EXPECT_LE(most_ahead, std::size_t{4 * backlog});
    EXPECT_TRUE(run_until([&] { return server->connection_count() == peers.size(); }));
    shut_down(server);
}

TEST_P(Accepting, what_nobody_was_told_of_when_the_server_closed_is_closed_with_it) {
    for (const int turns : {0, 1}) {
        SCOPED_TRACE(turns);
        Ref<Server> server = serve_by_turns(1);
        const auto [something, far_end] = connected_peers();
        loop().add_reader(something.fd(), [] {});
        run_idle();
        std::vector<Peer> peers = connect_several(server, 2);
        if (turns != 0) {
            EXPECT_TRUE(run_until([&] { return server->connection_count() != 0; }));
        }
        EXPECT_EQ(server->connection_count(), static_cast<std::size_t>(turns));
        stop_watching(loop(), something);
        shut_down(server);
        expect_ended(peers);
    }
}

TEST_P(Accepting, a_loop_destroyed_with_connections_on_their_way_leaves_no_descriptor) {
    for (const int turns : {0, 1, 2}) {
        SCOPED_TRACE(turns);
        const auto [something, far_end] = connected_peers();
        const std::vector<int> before = open_descriptors();
        std::vector<Peer> peers;
        Recorder recorder;
        {
            EventLoop other(GetParam());
            const Ref<Server> server =
                other.run_until_complete(other.create_server<RecordingProtocol>(
                    "127.0.0.1", 0, ServerOptions().backlog(1), &recorder));
            other.add_reader(something.fd(), [] {});
            other.run_once(0ns);
            peers = connect_several(server, 2);
            for (int turn = 0; turn < turns; ++turn) {
                other.run_once(0ns);
            }
            stop_watching(other, something);
        }
        expect_ended(peers);
        peers.clear();
        recorder.forget_transport();
        EXPECT_EQ(open_descriptors(), before);
    }
}

TEST_P(Accepting, a_connection_that_is_reset_before_anybody_has_looked_says_whose_it_was) {
    Recorder& recorder = make_recorder();
    std::optional<SocketAddress> told;
    recorder.on_made = [&](Transport& transport) {
        told = transport.get_extra_info(extra::peername);
    };
    const Ref<Server> server =
        run(loop().create_server<RecordingProtocol>("127.0.0.1", 0, ServerOptions(), &recorder));
    run_idle();
    Peer peer = Peer::connect(port_of(server));
    const SocketAddress address = address_of(peer.fd());
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    checked(::setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), "SO_LINGER");
    peer.close();
    ASSERT_TRUE(run_until([&] { return recorder.lost(); }));
    EXPECT_EQ(told, address);
    EXPECT_EQ(recorder.reason(), std::errc::connection_reset);
    shut_down(server);
}

TEST_P(Accepting, what_was_accepted_on_one_thread_is_served_on_the_next) {
    Ref<Server> server = serve_by_turns(1);
    run_idle();
    const std::vector<Peer> peers = connect_several(server, 2);
    ASSERT_TRUE(run_until([&] { return server->connection_count() == 1; }));
    std::vector<Peer> later;
    std::thread([&] {
        EXPECT_TRUE(run_until([&] { return server->connection_count() == 2; }));
        later = connect_several(server, 1);
        EXPECT_TRUE(run_until([&] { return server->connection_count() == 3; }));
    }).join();
    later.push_back(Peer::connect(port_of(server)));
    EXPECT_TRUE(run_until([&] { return server->connection_count() == 4; }));
    shut_down(server);
}

}  // namespace
}  // namespace sluice::test
