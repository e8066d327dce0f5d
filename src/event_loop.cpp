// Layer 4: the event loop and its servers.
#include <sluice/impl/backend_choice.ipp>
#include <sluice/impl/datagram_endpoints.ipp>
#include <sluice/impl/event_loop.ipp>
#include <sluice/impl/event_loop_file.ipp>
#include <sluice/impl/event_loop_network.ipp>
#include <sluice/impl/event_loop_signals.ipp>
#include <sluice/impl/event_loop_tls.ipp>
#include <sluice/impl/pipes.ipp>
#include <sluice/impl/server.ipp>
#include <sluice/impl/server_base.ipp>
#include <sluice/impl/socket_calls.ipp>
#include <sluice/impl/socket_sendfile.ipp>
#include <sluice/impl/subprocess.ipp>
#include <sluice/impl/subprocess_impl.ipp>
#include <sluice/impl/unix_sockets.ipp>
