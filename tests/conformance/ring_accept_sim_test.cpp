// The io_uring backend over the fake ring: accepting connections and reading files, one fault at a time.
#include <sluice/limits.hpp>

#include "support/sim_server_fixture.hpp"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;

class RingAccepts : public SimServerTest {
protected:
    RingAccepts() : SimServerTest(Backend::io_uring) {}

    void SetUp() override {
        ASSERT_STREQ(loop().backend_name(), "io_uring");
        server_ = serve(ServerOptions());
        run_idle();
    }
    void release_resources() override { server_.reset(); }
    /// Somebody who stays until the test ends.
    SimPeer& connect() { return peers_.emplace_back(client()); }
    void connect(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            connect();
        }
    }
    /// Nobody is told of what it does there before the running callback has ended.
    void enter_the_kernel() { connection(0).transport().abort(); }
    bool wait_for_connections(std::size_t count) {
        return run_until([&] { return connections().size() == count; });
    }
    static std::string received_by(SimPeer& peer) {
        const std::vector<std::byte> bytes = peer.receive(1 << 20);
        return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    }

    Ref<Server> server_;

private:
    std::deque<SimPeer> peers_;
};

TEST_F(RingAccepts, an_accept_that_ends_with_each_connection_begins_anew) {
    kernel().faults.ring_end = 1000;
    for (std::size_t count = 1; count <= 3; ++count) {
        connect();
        EXPECT_TRUE(wait_for_connections(count));
    }
    EXPECT_GE(kernel().fault_count(), 3U);
}

TEST_F(RingAccepts, more_connections_than_a_turn_takes_are_all_accepted) {
    constexpr std::size_t turn = limits::listen_backlog;
    kernel().set_descriptor_limit(3 * turn);
    connect();
    ASSERT_TRUE(wait_for_connections(1));
    loop().call_soon([&] {
        connect(turn);
        // It accepts those, which leaves room for others.
        enter_the_kernel();
        connect(turn / 2);
    });
    EXPECT_TRUE(wait_for_connections(1 + turn + turn / 2));
}

TEST_F(RingAccepts, a_connection_that_is_gone_before_it_is_accepted_stops_nothing) {
    kernel().fail_call(SimCall::accept, 1, ECONNABORTED);
    connect();
    EXPECT_TRUE(wait_for_connections(1));
    EXPECT_TRUE(kernel().failure_hit());
}

TEST_F(RingAccepts, another_error_is_reported_and_accepting_resumes) {
    kernel().fail_call(SimCall::accept, 1, EINVAL);
    connect();
    EXPECT_TRUE(wait_for_connections(1));
    const std::vector<Report> reports = take_reports();
    ASSERT_EQ(reports.size(), 1U);
    EXPECT_EQ(reports[0].error, std::errc::invalid_argument);
}

TEST_F(RingAccepts, ten_seconds_without_descriptors_cost_a_few_attempts_and_one_report) {
    kernel().set_descriptor_limit(kernel().open_descriptors());
    connect();
    const std::uint64_t attempts = kernel().calls(SimCall::accept);
    pass(10s);
    EXPECT_EQ(take_reports().size(), 1U);
    EXPECT_LE(kernel().calls(SimCall::accept) - attempts, 12U) << "more than about one a second";
    kernel().set_descriptor_limit(100);
    EXPECT_TRUE(wait_for_connections(1));
}

TEST_F(RingAccepts, what_was_accepted_for_a_server_that_closes_is_closed) {
    connect();
    ASSERT_TRUE(wait_for_connections(1));
    run_idle();
    const std::size_t descriptors = kernel().open_descriptors();
    loop().call_soon([&] {
        connect();
        enter_the_kernel();
        EXPECT_EQ(kernel().open_descriptors(), descriptors + 1) << "accepted, and not told yet";
        server_->close();
    });
    run_idle();
    EXPECT_EQ(connections().size(), 1U);
    EXPECT_EQ(kernel().open_descriptors(), descriptors - 2) << "of the first, and the listener";
}

// ---- files ----

class RingReads : public RingAccepts {
protected:
    void SetUp() override {
        RingAccepts::SetUp();
        peer_ = &connect();
        ASSERT_TRUE(wait_for_connections(1));
        run_idle();
        // Not for sendfile(2), and not in memory: read by the ring, which takes its time.
        kernel().faults = {.delay_most = 10ms, .cold_file = 1000, .unfit_file = 1000};
        file_ =
            Descriptor(kernel().open_file(file_bytes, [](std::uint64_t from, MutableBytes into) {
                for (std::byte& each : into) {
                    each = static_cast<std::byte>(from++ % 251);
                }
            }));
    }
    void send_file() {
        connection(0).transport().sendfile(
            file_.get(), 0, std::nullopt, {},
            [this](const SendfileResult& result) { result_ = result; });
    }

    static constexpr std::size_t file_bytes = 1'000'000;
    SimPeer* peer_ = nullptr;
    Descriptor file_;
    std::optional<SendfileResult> result_;
};

TEST_F(RingReads, a_file_that_is_read_by_the_ring_arrives_whole_and_in_order) {
    send_file();
    std::string received;
    ASSERT_TRUE(run_until([&] {
        received += received_by(*peer_);
        return result_.has_value();
    }));
    received += received_by(*peer_);
    ASSERT_EQ(received.size(), file_bytes);
    for (std::size_t i = 0; i < received.size(); ++i) {
        ASSERT_EQ(static_cast<unsigned char>(received[i]), i % 251) << i;
    }
}

TEST_F(RingReads, a_read_that_fails_ends_the_connection_with_its_error) {
    kernel().faults.file_error = 1000;
    send_file();
    ASSERT_TRUE(run_until([&] { return connection(0).lost(); }));
    EXPECT_EQ(connection(0).reason(), std::errc::io_error);
}

TEST_F(RingReads, a_file_whose_connection_is_aborted_is_let_go_of) {
    const std::size_t descriptors = kernel().open_descriptors();
    send_file();
    loop().run_once(0ns);
    ASSERT_FALSE(result_);
    connection(0).transport().abort();
    file_.reset();
    pass(1s);
    EXPECT_TRUE(connection(0).lost());
    ASSERT_TRUE(result_);
    EXPECT_EQ(result_->error, std::errc::connection_aborted);
    EXPECT_EQ(kernel().open_descriptors(), descriptors - 2) << "of the file, and of the connection";
}

}  // namespace
}  // namespace sluice::test
