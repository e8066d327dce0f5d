// Simulated peers: what the other side of a scenario does.
//
// They act in the kernel's time, outside of the loop, and never fail: what is tortured is the
// library, and none of them may know which of its calls does.
#include "torture/scene.hpp"

#include "torture/stage.hpp"

namespace sluice::test {

const SocketAddress peer_place = *SocketAddress::parse("127.0.0.1", 9000);
const SocketAddress other_place = *SocketAddress::parse("127.0.0.2", 9000);

std::vector<std::byte> filled(std::size_t size) {
    return std::vector<std::byte>(size, std::byte{42});
}

void echo(SimPeer peer) {
    peer.on_readable([](SimPeer end) {
        const std::vector<std::byte> bytes = end.receive(100'000);
        end.send(bytes);
        if (end.at_end()) {
            end.close();
        }
    });
}

void swallow(SimPeer peer) {
    peer.on_readable([](SimPeer end) {
        static_cast<void>(end.receive(1'000'000));
        if (end.at_end()) {
            end.close();
        }
    });
}

void send_greetings(Stage& stage, int count) {
    for (int index = 0; index < count; ++index) {
        stage.kernel.after(std::chrono::milliseconds(10 + index / 2 * 400), [&stage] {
            const SimPeer peer = stage.kernel.connect_peer(peer_place);
            if (!peer) {
                return;
            }
            SimPeer writer = peer;
            writer.send(as_bytes("hello"));
            writer.on_readable([](SimPeer end) {
                static_cast<void>(end.receive(1000));
                end.close();
            });
        });
    }
}

}  // namespace sluice::test
