// Layer 3: the TLS engine and the transport around it.
#include <sluice/impl/record_cipher.ipp>
#include <sluice/impl/record_opener.ipp>
#include <sluice/impl/record_sealer.ipp>
#include <sluice/impl/tls_engine.ipp>
#include <sluice/impl/tls_engine_records.ipp>
#include <sluice/impl/tls_transport.ipp>
#include <sluice/impl/tls_transport_write.ipp>
