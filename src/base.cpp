// Layer 0: values.
#include <sluice/impl/address.ipp>
#include <sluice/impl/address_range.ipp>
#include <sluice/impl/datagram_options.ipp>
#include <sluice/impl/descriptor.ipp>
#include <sluice/impl/error.ipp>
#include <sluice/impl/exception_context.ipp>
#include <sluice/impl/listen_fds.ipp>
#include <sluice/impl/options.ipp>
#include <sluice/impl/outcome.ipp>
#include <sluice/impl/proxy_header.ipp>
#include <sluice/impl/proxy_protocol.ipp>
#include <sluice/impl/ref.ipp>
#include <sluice/impl/version.ipp>
#include <sluice/impl/write_queue.ipp>
