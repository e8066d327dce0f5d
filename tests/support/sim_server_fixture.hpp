// SimServerTest: a server of ours in the simulated system, its clients bare SimPeers, and time that
// passes when a case says so.
//
// It knows no option and no protocol beyond the recorders.
#pragma once

#include "support/conformance.hpp"
#include "support/sys_sim.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

namespace sluice::test {

struct SimKernelFirst {
    SimKernel kernel;
};

// The kernel is a base, so that it exists before the loop of the other base and after it.
class SimServerTest : private SimKernelFirst, public LoopTest {
protected:
    explicit SimServerTest(Backend backend = Backend::automatic, SimKernel::RingSizes rings = {})
        : LoopTest((kernel().ring_sizes = rings, backend)) {}
    ~SimServerTest() override { EXPECT_THAT(kernel().violations(), testing::IsEmpty()); }
    SimKernel& kernel() noexcept { return SimKernelFirst::kernel; }

    /// Serves on 127.0.0.1:9000; each connection reports to a recorder of connections().
    Ref<Server> serve(ServerOptions options) {
        auto factory = [this]() -> std::unique_ptr<StreamProtocol> {
            Recorder& recorder = make_recorder();
            const std::size_t index = connections_.size();
            connections_.push_back(&recorder);
            recorder.on_lost = [this, index](std::error_code) {
                lost_at_[index] = kernel().elapsed();
            };
            if (on_connection) {
                on_connection(recorder);
            }
            return std::make_unique<RecordingProtocol>(&recorder);
        };
        auto serving = loop().create_task(
            loop().create_server(std::move(factory), "127.0.0.1", 9000, std::move(options)));
        EXPECT_TRUE(run_until([&serving] { return serving.done(); }));
        return serving.result();
    }
    /// A client, connected but perhaps not accepted yet.
    SimPeer client(const std::string& ip = "10.0.0.1", std::uint16_t port = 0) {
        static constexpr std::uint16_t first_port = 40000;
        const std::uint16_t chosen =
            port != 0 ? port : static_cast<std::uint16_t>(first_port + next_port_++ % 20000);
        return kernel().connect_peer(place(), SocketAddress::parse(ip, chosen).value());
    }
    static SocketAddress place() { return SocketAddress::parse("127.0.0.1", 9000).value(); }
    static void say(SimPeer& peer, std::string_view text) {
        ASSERT_EQ(peer.send(as_bytes(text)), text.size());
    }
    /// Lets the loop run until this much time has passed.
    void pass(Duration time) {
        const TimePoint end = kernel().now() + time;
        while (kernel().now() < end) {
            loop().run_once(end - kernel().now());
        }
        run_idle();
    }
    [[nodiscard]] const std::vector<Recorder*>& connections() const noexcept {
        return connections_;
    }
    [[nodiscard]] Recorder& connection(std::size_t index = 0) const {
        return *connections_.at(index);
    }
    /// When that connection was lost, in whole milliseconds from the start; -1: it was not.
    [[nodiscard]] long lost_at_ms(std::size_t index = 0) const {
        const auto found = lost_at_.find(index);
        return found == lost_at_.end()
                   ? -1
                   : static_cast<long>(
                         std::chrono::duration_cast<std::chrono::milliseconds>(found->second)
                             .count());
    }
    [[nodiscard]] long now_ms() {
        return static_cast<long>(
            std::chrono::duration_cast<std::chrono::milliseconds>(kernel().elapsed()).count());
    }

    std::function<void(Recorder&)> on_connection;

private:
    std::vector<Recorder*> connections_;
    std::map<std::size_t, Duration> lost_at_;
    unsigned next_port_ = 0;
};

}  // namespace sluice::test
