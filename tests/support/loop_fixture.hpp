// BackendTest: the frame of the cases about the loop, names, connecting and serving, which run per
// backend and not per transport.
//
// It adds to LoopTest a bounded way to run a coroutine, servers with a recorder for each
// connection, and raw sockets where Peer and Listener only know 127.0.0.1. It must not know what a
// case is about.
#pragma once

#include <sluice/event_loop.hpp>

#include "support/conformance.hpp"
#include "support/peer.hpp"
#include "support/recording_protocol.hpp"
#include "support/system.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::test {

/// Every backend of this build: the one place where the loop's suites learn of a new one.
std::vector<Backend> backends();
/// "epoll"; for INSTANTIATE_TEST_SUITE_P.
std::string backend_case_name(const testing::TestParamInfo<Backend>& info);

/// The E that `action` throws, as a copy. Fails the test and gives nothing if it throws something
/// else or nothing.
template <class E, class F>
std::optional<E> caught(F&& action) {
    try {
        std::forward<F>(action)();
        ADD_FAILURE() << "nothing was thrown";
    } catch (const E& error) {
        return error;
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another exception was thrown: " << error.what();
    } catch (const Cancelled&) {
        ADD_FAILURE() << "Cancelled was thrown";
    }
    return std::nullopt;
}

/// what() of the E that `action` throws, or "" with a failure of the test.
template <class E, class F>
std::string message_of(F&& action) {
    const auto error = caught<E>(std::forward<F>(action));
    return error ? std::string(error->what()) : std::string();
}

class BackendTest : public LoopTest, public testing::WithParamInterface<Backend> {
protected:
    BackendTest() : LoopTest(GetParam()) {}

    /// A server on 127.0.0.1 whose connections each report to a recorder of connections().
    Ref<Server> serve(ServerOptions options = ServerOptions(), std::string host = "127.0.0.1");
    /// Makes what serve() uses, for cases that call create_server themselves.
    [[nodiscard]] std::function<std::unique_ptr<StreamProtocol>()> recording_factory();
    /// The recorders of all protocols recording_factory() made, in their order.
    [[nodiscard]] const std::vector<Recorder*>& connections() const noexcept {
        return connections_;
    }
    /// Waits until this many connections of serve() have been made.
    bool wait_for_connections(std::size_t count);
    /// Closes the server and its connections and waits for both.
    void shut_down(Ref<Server> server);

private:
    std::vector<Recorder*> connections_;
};

[[nodiscard]] std::uint16_t port_of(const Ref<Server>& server);

/// A blocking-free stream socket of the family, not connected, not bound.
[[nodiscard]] Peer unconnected_socket(Family family = Family::ipv4);
/// A socket bound to `ip` and a free port, or `port`; listening if `backlog` is given. Throws
/// std::system_error.
[[nodiscard]] Peer bound_socket(const std::string& ip, std::uint16_t port = 0,
                                std::optional<int> backlog = {});
/// Connects to any literal address and waits for the handshake. Throws std::system_error, e.g.
/// ECONNREFUSED.
[[nodiscard]] Peer connect_to(const std::string& ip, std::uint16_t port);
/// Sends the SYN of a socket made before, e.g. by unconnected_socket(), and does not wait.
void start_connecting(const Peer& socket, const std::string& ip, std::uint16_t port);
/// The address a socket is bound to.
[[nodiscard]] SocketAddress address_of(int fd);
/// False where the system has no IPv6 loopback.
[[nodiscard]] bool has_ipv6();
/// A port of 127.0.0.1 that refuses connections: it was free a moment ago and is held by a socket
/// that does not listen.
class ClosedPort {
public:
    explicit ClosedPort(const std::string& ip = "127.0.0.1");
    [[nodiscard]] std::uint16_t port() const;

private:
    Peer holder_;
};

/// A loopback port that answers no SYN: its listener's queue is full (listen(2): further requests
/// are ignored, so that the client retries).
class BlackHole {
public:
    explicit BlackHole(const std::string& ip = "127.0.0.1");
    [[nodiscard]] std::uint16_t port() const;

private:
    Peer listener_;
    std::vector<Peer> waiting_;
};

/// Lowers RLIMIT_NOFILE so that `spare` more descriptors can be opened, and restores it.
class DescriptorLimit {
public:
    explicit DescriptorLimit(std::size_t spare);
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;
    ~DescriptorLimit();

private:
    [[maybe_unused]] std::uint64_t before_;
};

/// Takes all descriptors but `spare` and gives them back.
class TakenDescriptors {
public:
    explicit TakenDescriptors(std::size_t spare);

private:
    std::vector<Descriptor> taken_;
};

/// What the child of a fork(2) does and whether that returned true; no test framework and no
/// destructor of the parent's objects runs there. Waits, bounded, for its end.
bool in_forked_child(const std::function<bool()>& body);

}  // namespace sluice::test
