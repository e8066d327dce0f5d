// What the IOCP backend does for acceptors: connections accepted ahead, by AcceptEx.
#include <sluice/descriptor.hpp>
#include <sluice/detail/accept_completions.hpp>
#include <sluice/detail/iocp.hpp>
#include <sluice/detail/loop_core.hpp>
#include <sluice/detail/sys.hpp>
#include <sluice/limits.hpp>

#include "support/peer.hpp"
#include "support/raw_descriptors.hpp"
#include "support/recording_watcher.hpp"
#include "windows/another_loop.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using detail::Readiness;
using detail::Result;

class IocpAccepting : public testing::Test {
protected:
    void TearDown() override { stop(); }

    std::error_code start() { return core_.watch(watcher_, listener_.fd(), Readiness::accepted); }
    void stop() { core_.unwatch(watcher_, listener_.fd()); }

    Result<int> take() {
        return core_.poller().accept_completions()->take_accepted(listener_.fd());
    }
    /// Waits for a connection, or for an error.
    Result<int> next() {
        for (;;) {
            const Result<int> taken = take();
            if (!taken.blocked()) {
                return taken;
            }
            core_.run_once(std::nullopt);
        }
    }
    [[nodiscard]] static std::uint16_t peer_port(const Peer& connection) {
        return detail::sys::peer_address(connection.fd()).port();
    }
    [[nodiscard]] std::vector<Peer> connect(std::size_t count) const {
        std::vector<Peer> clients;
        while (clients.size() < count) {
            clients.push_back(Peer::connect(listener_.port()));
        }
        return clients;
    }

    detail::LoopCore core_{detail::make_iocp_poller()};
    RecordingWatcher watcher_;
    Listener listener_;
};

TEST_F(IocpAccepting, a_connection_is_taken_and_has_an_address_and_an_end) {
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::none);
    Peer client = Peer::connect(listener_.port());
    Peer connection(next().value());
    EXPECT_EQ(watcher_.take(), Readiness::accepted);
    EXPECT_TRUE(take().blocked());
    EXPECT_EQ(peer_port(connection), client.local_port());
    EXPECT_EQ(detail::sys::local_address(connection.fd()).port(), listener_.port());
    connection.send("welcome");
    connection.shutdown_write();
    ASSERT_TRUE(wait_for_hang_up(client.fd()));
    client.receive_available();
    EXPECT_EQ(client.received(), "welcome");
    EXPECT_TRUE(client.saw_end());
}

TEST_F(IocpAccepting, a_connection_does_not_block_although_its_listener_does) {
    prepared(listener_.fd(), IoMode::blocking);
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    const Peer client = Peer::connect(listener_.port());
    const Descriptor connection(next().value());
    std::array<std::byte, 1> space{};
    // Otherwise it would wait here.
    EXPECT_TRUE(detail::sys::recv(connection.get(), space).blocked());
}

TEST_F(IocpAccepting, what_is_not_taken_is_told_of_again) {
    ASSERT_FALSE(start());
    const std::vector<Peer> clients = connect(2);
    const Peer first(next().value());
    watcher_.take();
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::accepted);
    watcher_.take();
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher_.take(), Readiness::accepted);
    const Peer second(next().value());
    watcher_.take();
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::none);
}

TEST_F(IocpAccepting, more_connections_than_are_accepted_ahead_come_all_and_once) {
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    const std::vector<Peer> clients = connect(3 * limits::accepts_ahead);
    std::set<std::uint16_t> ports;
    for (const Peer& client : clients) {
        ports.insert(client.local_port());
    }
    while (!ports.empty()) {
        const Peer connection(next().value());
        EXPECT_EQ(ports.erase(peer_port(connection)), 1U);
    }
    EXPECT_TRUE(take().blocked());
}

TEST_F(IocpAccepting, a_server_that_stays_behind_leaves_connections_in_the_backlog) {
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    std::vector<Peer> clients = connect(3 * limits::accepts_ahead);
    for (std::size_t turn = 0; turn < clients.size(); ++turn) {
        core_.run_once(0ns);
    }
    stop();
    std::set<std::uint16_t> left;
    while (const std::optional<Peer> connection = listener_.accept()) {
        left.insert(peer_port(*connection));
    }
    EXPECT_GE(left.size(), 2 * limits::accepts_ahead);
    // Nobody is forgotten: who is not in the backlog sees the end.
    for (const Peer& client : clients) {
        EXPECT_TRUE(left.contains(client.local_port()) || wait_for_hang_up(client.fd()));
    }
}

TEST_F(IocpAccepting, stopping_closes_what_was_not_taken_and_the_sockets_made_ahead) {
    const std::vector<int> before = open_descriptors();
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    EXPECT_EQ(open_descriptors().size(), before.size() + limits::accepts_ahead);
    Peer client = Peer::connect(listener_.port());
    core_.run_once(std::nullopt);
    ASSERT_EQ(watcher_.take(), Readiness::accepted);
    stop();
    EXPECT_TRUE(wait_for_hang_up(client.fd()));
    client.close();
    EXPECT_EQ(open_descriptors(), before);
    watcher_.take();
    core_.run_once(0ns);
    EXPECT_EQ(watcher_.take(), Readiness::none);
}

TEST_F(IocpAccepting, a_backend_that_goes_takes_the_sockets_made_ahead_with_it) {
    const std::vector<int> before = open_descriptors();
    std::unique_ptr<detail::Poller> poller = detail::make_iocp_poller();
    std::array<detail::ReadyEvent, 4> batch{};
    ASSERT_FALSE(poller->add(watcher_, listener_.fd(), Readiness::accepted));
    EXPECT_EQ(poller->wait(0ns, batch), 0U);
    EXPECT_EQ(open_descriptors().size(), before.size() + limits::accepts_ahead);
    poller.reset();
    EXPECT_EQ(open_descriptors(), before);
}

TEST_F(IocpAccepting, a_connection_that_was_reset_before_it_was_taken_is_not_the_end_of_others) {
    Peer gone_early = Peer::connect(listener_.port());
    gone_early.reset();
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    Peer gone = Peer::connect(listener_.port());
    gone.reset();
    const Peer client = Peer::connect(listener_.port());
    for (bool found = false; !found;) {
        const Result<int> taken = next();
        if (taken.ok()) {
            const Peer connection(taken.value());
            found = peer_port(connection) == client.local_port();
        } else {
            ASSERT_EQ(taken.error(), std::errc::connection_aborted);
        }
    }
}

TEST_F(IocpAccepting, whatever_is_wrong_with_a_connection_is_not_the_end_of_others) {
    const std::vector<int> before = open_descriptors();
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    const Peer client = Peer::connect(listener_.port());
    core_.run_once(std::nullopt);
    ASSERT_EQ(watcher_.take(), Readiness::accepted);
    // What was accepted for it is closed behind the backend's back.
    for (const int fd : open_descriptors()) {
        if (!std::ranges::binary_search(before, fd) &&
            detail::sys::peer_address(fd).port() == client.local_port()) {
            ASSERT_EQ(::close(fd), 0);
        }
    }
    const Result<int> taken = take();
    ASSERT_FALSE(taken.ok() || taken.blocked());
    EXPECT_EQ(taken.error(), std::errc::connection_aborted);
    const Peer other = Peer::connect(listener_.port());
    const Peer connection(next().value());
    EXPECT_EQ(peer_port(connection), other.local_port());
}

TEST_F(IocpAccepting, a_listener_that_rested_goes_on_by_polls) {
    ASSERT_FALSE(start());
    core_.run_once(0ns);
    stop();
    ASSERT_FALSE(start());
    // Its accepts would complete somewhere, but for whom?
    const std::vector<int> before = open_descriptors();
    core_.run_once(0ns);
    EXPECT_EQ(open_descriptors(), before);
    const std::vector<Peer> clients = connect(3);
    for (const Peer& client : clients) {
        const Peer connection(next().value());
        EXPECT_EQ(peer_port(connection), client.local_port());
    }
}

TEST_F(IocpAccepting, a_listener_that_completes_for_another_loop_is_polled) {
    const auto other = let_another_loop_have(listener_.fd(), Readiness::accepted);
    ASSERT_FALSE(start());
    const Peer client = Peer::connect(listener_.port());
    const Peer connection(next().value());
    EXPECT_EQ(peer_port(connection), client.local_port());
}

TEST_F(IocpAccepting, what_cannot_accept_says_so) {
    // Without an address. Of one that has one and does not listen Wine lets AcceptEx wait for ever.
    const Descriptor mute(make_socket(AF_INET, SOCK_STREAM));
    RecordingWatcher watcher;
    ASSERT_FALSE(core_.watch(watcher, mute.get(), Readiness::accepted));
    core_.run_once(std::nullopt);
    EXPECT_EQ(watcher.take(), Readiness::accepted);
    const Result<int> taken = core_.poller().accept_completions()->take_accepted(mute.get());
    ASSERT_FALSE(taken.ok() || taken.blocked());
    EXPECT_EQ(taken.error(), std::errc::invalid_argument);
    core_.unwatch(watcher, mute.get());
}

}  // namespace
}  // namespace sluice::test
