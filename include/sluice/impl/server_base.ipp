// What every Server can do with its interface alone.
#pragma once

#include <sluice/server.hpp>

#include <stdexcept>

namespace sluice::inline v0_1 {

SLUICE_INLINE SocketAddress Server::local_address() const {
    const std::vector<SocketView> listening = sockets();
    if (listening.empty()) {
        throw std::logic_error("Server::local_address() called on a closed server");
    }
    return listening.front().local_address();
}

}  // namespace sluice::inline v0_1
