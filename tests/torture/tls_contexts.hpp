// The TLS contexts of the scenarios. Made once: reading files is not what is tortured. Nothing is kept
// in them between two runs, or memory would seem to be lost.
#pragma once

#include <sluice/tls.hpp>

#include "support/tls_pki.hpp"

namespace sluice::test {

inline const TlsContext& torture_server_context() {
    static const TlsContext context =
        TlsContext::server(pki().server().certificate_file, pki().server().key_file,
                           TlsOptions().session_resumption(false));
    return context;
}

inline const TlsContext& torture_client_context() {
    static const TlsContext context = TlsContext::client(
        TlsOptions().certificate_authority_file(pki().root_file()).session_resumption(false));
    return context;
}

}  // namespace sluice::test
