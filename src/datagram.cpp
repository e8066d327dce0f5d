// Layer 2: datagram transports.
#include <sluice/impl/datagram_socket.ipp>
#include <sluice/impl/datagram_socket_send.ipp>
