// Layer 2: stream transports, accepting, connecting, threads.
#include <sluice/impl/acceptor.ipp>
#include <sluice/impl/connector.ipp>
#include <sluice/impl/executor.ipp>
#include <sluice/impl/file_send.ipp>
#include <sluice/impl/pipe_transport.ipp>
#include <sluice/impl/proxy_filter.ipp>
#include <sluice/impl/record_rest.ipp>
#include <sluice/impl/socket_completions.ipp>
#include <sluice/impl/socket_file.ipp>
#include <sluice/impl/socket_transport.ipp>
#include <sluice/impl/socket_transport_write.ipp>
#include <sluice/impl/stream_transport.ipp>
#include <sluice/impl/stream_transport_file.ipp>
#include <sluice/impl/stream_transport_timeouts.ipp>
#include <sluice/impl/stream_transport_write.ipp>
