// Layer 3: TLS contexts and what connections tell about themselves.
#include <sluice/impl/tls_certificate.ipp>
#include <sluice/impl/tls_context.ipp>
#include <sluice/impl/tls_failure.ipp>
#include <sluice/impl/tls_info.ipp>
#include <sluice/impl/tls_options.ipp>
#include <sluice/impl/tls_session_cache.ipp>
