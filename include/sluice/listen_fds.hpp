// listen_fds(): descriptors that whoever started this process opened for it, as systemd does for the
// .socket unit of a service.
//
// It knows no loop: what it gives is an owned descriptor like any other, and goes to create_server(),
// create_datagram_endpoint() and their like.
#pragma once

#include <sluice/address.hpp>
#include <sluice/config.hpp>
#include <sluice/descriptor.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::inline v0_1 {

/// What a descriptor is, in terms of who can make use of it.
enum class DescriptorKind : std::uint8_t {
    stream_listener,  ///< A listening stream socket, TCP or Unix: create_server().
    stream,           ///< Any other one, connected as a rule: connect_accepted_socket().
    datagram,         ///< UDP or Unix: create_datagram_endpoint().
    pipe,             ///< A pipe or FIFO: connect_read_pipe(), connect_write_pipe().
    other,            ///< A file, a device, a socket of another kind.
};

/// One of listen_fds().
struct PassedDescriptor {
    Descriptor descriptor;  ///< Close-on-exec; whoever takes it out owns it.
    std::string name;       ///< FileDescriptorName= of the unit; "unknown" if nothing was said.
    DescriptorKind kind = DescriptorKind::other;  ///< What it is.
    SocketAddress address;  ///< What a socket is bound to; none for anything else.
};

/// Takes over the descriptors that this process was started with, in their order, as
/// sd_listen_fds_with_names(3): 3 and the following, LISTEN_FDS of them, if LISTEN_PID is this process,
/// with the names in LISTEN_FDNAMES. Sets them close-on-exec. Empty if there are none, or they are
/// meant for another process.
///
/// Removes the three variables in every case, so that a second call gives nothing (each descriptor has
/// one owner) and no program started from here takes them for its own. As everything that changes the
/// environment it must not run beside other threads that read it: call it early in main().
///
/// Throws std::invalid_argument if a variable is no number or the names are not as many as the
/// descriptors, std::system_error if one of the descriptors is not open; both name the value and leave
/// the descriptors open, since it is not known whose they are.
SLUICE_API std::vector<PassedDescriptor> listen_fds();

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/listen_fds.ipp>
#endif
