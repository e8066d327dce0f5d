// Datagrams cost no allocation once the loop has what it lends: this program counts its own.
#include "support/counted_new.hpp"
#include "support/datagram_fixture.hpp"

namespace sluice::test {
namespace {

// Two of these keep a number of datagrams going back and forth.
class Returning final : public DatagramProtocol {
public:
    explicit Returning(DatagramRecorder*) {}
    void connection_made(DatagramTransport& transport) override { transport_ = &transport; }
    void datagram_received(Bytes data, const SocketAddress& sender) override {
        transport_->sendto(data, sender);
    }

private:
    DatagramTransport* transport_ = nullptr;
};

class DatagramMemory : public DatagramTest {};

TEST_F(DatagramMemory, datagrams_back_and_forth_allocate_nothing_once_it_has_begun) {
    for (const DatagramWire wire : {DatagramWire::ipv4, DatagramWire::unix_domain}) {
        DatagramTransport& first =
            open<Returning>(DatagramOptions().local_address(free_address(wire)));
        DatagramTransport& second =
            open<Returning>(DatagramOptions().local_address(free_address(wire)));
        for (int i = 0; i < 8; ++i) {
            first.sendto("back and forth", address(second));
        }
        ASSERT_TRUE(run_until([&] { return counters(first).received > 2000; }));
        const std::size_t before = allocations;
        const std::uint64_t received = counters(first).received;
        for (int i = 0; i < 1000; ++i) {
            loop().run_once();
        }
        EXPECT_EQ(allocations - before, 0U) << wire_name(wire);
        EXPECT_GT(counters(first).received, received);
        first.abort();
        second.abort();
    }
}

}  // namespace
}  // namespace sluice::test
