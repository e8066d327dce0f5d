// PeerCredentials: who is at the other end of a Unix socket, as the system knows it.
#pragma once

#include <sluice/transport.hpp>

#include <cstdint>

namespace sluice::inline v0_1 {

/// The process that connected, or that called listen(2) for the server, as it was at that moment
/// (SO_PEERCRED, unix(7)). The kernel vouches for it; the process may have ended since, and its
/// number may have been given to another.
struct PeerCredentials {
    /// What stands for no user and no group, so that credentials nobody knows are never root's.
    static constexpr std::uint32_t nobody = 0xffff'ffff;

    std::int32_t pid = 0;        ///< 0: unknown, as when the process is in a namespace of its own.
    std::uint32_t uid = nobody;  ///< Its effective user.
    std::uint32_t gid = nobody;  ///< Its effective group.

    /// False when the system knows nothing, and for what is no Unix socket.
    explicit operator bool() const noexcept { return uid != nobody; }
    friend bool operator==(const PeerCredentials&, const PeerCredentials&) = default;
};

namespace extra {
/// Unix sockets only, also under TLS. Asked of the system at each call: to be had up to and in
/// connection_lost, and unknown after it, when the descriptor is closed.
inline constexpr ExtraKey<PeerCredentials> peer_credentials{10};
}  // namespace extra

}  // namespace sluice::inline v0_1
