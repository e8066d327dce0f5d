// The simulated system calls of accept filters. Peeking counts and fails as recv does: it is the same
// call with another flag.
#include <sluice/detail/sys_accept.hpp>

#include "support/sys_sim_call.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::inline v0_1::detail::sys {

using namespace sluice::test;

IoResult peek(int fd, MutableBytes into) noexcept {
    const InSimKernel inside;
    SimDescriptorCall call(SimCall::recv, fd);
    if (const int error = movable(call)) {
        return error == EAGAIN ? IoResult::would_block() : IoResult::failure(error);
    }
    constexpr int errors[] = {ECONNRESET, ETIMEDOUT};
    if (const std::optional<IoResult> disturbed = disturb(call, errors)) {
        return *disturbed;
    }
    SimEndpoint& endpoint = *call.socket->endpoint;
    std::size_t count = std::min(into.size(), endpoint.visible_bytes());
    if (count == 0) {
        // The end and errors are told as recv tells them.
        return endpoint.receive(into);
    }
    if (count > 1 && call.machine.fault(endpoint.random, call.machine.kernel.faults.short_read)) {
        count = endpoint.random.between(1, count - 1);
    }
    std::size_t copied = 0;
    std::size_t skip = endpoint.front_used;
    for (const SimChunk& chunk : endpoint.incoming) {
        const std::size_t piece = std::min(count - copied, chunk.bytes.size() - skip);
        std::memcpy(into.data() + copied, chunk.bytes.data() + skip, piece);
        copied += piece;
        skip = 0;
        if (copied == count) {
            break;
        }
    }
    call.machine.trace("peek(%d, %zu) = %zu", fd, into.size(), count);
    return count;
}

SocketAddress accepted_peer(int fd, Family /*family*/) noexcept {
    const InSimKernel inside;
    const SimDescriptorCall call(SimCall::peer_address, fd);
    const bool accepted = call.error == 0 && call.socket->kind == SimSocket::Kind::stream;
    return accepted ? call.socket->remote : SocketAddress{};
}

std::uint64_t random_bits() noexcept {
    return SimRandom::mix(SimMachine::current().seed);
}

}  // namespace sluice::inline v0_1::detail::sys
