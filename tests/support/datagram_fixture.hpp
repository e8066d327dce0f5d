// DatagramTest: the frame of the cases about datagram endpoints. Opens endpoints, drives the loop,
// waits for what a bare peer gets. It must not know what a case is about.
#pragma once

#include "support/conformance.hpp"
#include "support/datagram_support.hpp"
#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::test {

class DatagramTest : public LoopTest {
protected:
    /// Skips the test where the machine has not what it needs.
    void require(DatagramWire wire) {
        wire_ = wire;
        if (!has_wire(wire)) {
            GTEST_SKIP() << "this machine has no " << wire_name(wire);
        }
    }

    /// Options for an endpoint at a free address of the wire.
    [[nodiscard]] DatagramOptions bound() const {
        return DatagramOptions().local_address(free_address(wire_));
    }

    /// Opens one that lives as long as the test or its own end.
    template <class P = RecordingDatagramProtocol>
    DatagramTransport& open(DatagramOptions options, DatagramRecorder& recorder) {
        auto endpoint = run(loop().create_datagram_endpoint<P>(std::move(options), &recorder));
        endpoints_.push_back(endpoint.transport);
        return *endpoint.transport;
    }
    template <class P = RecordingDatagramProtocol>
    DatagramTransport& open(DatagramOptions options) {
        return open<P>(std::move(options), told_);
    }
    template <class P = RecordingDatagramProtocol>
    DatagramTransport& adopt(DatagramPeer socket, DatagramOptions options = DatagramOptions()) {
        auto endpoint = run(loop().create_datagram_endpoint<P>(Descriptor(socket.release()),
                                                               std::move(options), &told_));
        endpoints_.push_back(endpoint.transport);
        return *endpoint.transport;
    }
    DatagramRecorder& another_recorder() {
        recorders_.push_back(std::make_unique<DatagramRecorder>());
        return *recorders_.back();
    }

    [[nodiscard]] static SocketAddress address(const DatagramTransport& transport) {
        return transport.get_extra_info(extra::sockname);
    }
    [[nodiscard]] static DatagramCounters counters(const DatagramTransport& transport) {
        return transport.get_extra_info(extra::datagram_counters);
    }

    /// The next datagram that the peer gets, the loop running meanwhile; "(nothing)" after patience.
    std::string next(DatagramPeer& peer) {
        SocketAddress sender;
        return next(peer, sender);
    }
    std::string next(DatagramPeer& peer, SocketAddress& sender) {
        std::optional<std::string> datagram;
        run_until([&] { return (datagram = peer.receive(sender)).has_value(); });
        return datagram.value_or("(nothing)");
    }

    /// Runs `body` as a callback of the loop and waits for it: where gathering applies.
    void in_callback(std::function<void()> body) {
        bool ran = false;
        loop().call_soon([&] {
            body();
            ran = true;
        });
        ASSERT_TRUE(run_until([&] { return ran; }));
    }
    void run_until_lost() {
        ASSERT_TRUE(run_until([&] { return told_.lost.has_value(); }));
    }

    void release_resources() override {
        if (endpoints_.empty()) {
            return;  // There may be no loop any more.
        }
        for (const Ref<DatagramTransport>& endpoint : endpoints_) {
            endpoint->abort();
        }
        endpoints_.clear();
        run_idle();
    }

    DatagramRecorder told_;
    std::vector<Ref<DatagramTransport>> endpoints_;

private:
    DatagramWire wire_ = DatagramWire::ipv4;
    std::vector<std::unique_ptr<DatagramRecorder>> recorders_;
};

}  // namespace sluice::test
