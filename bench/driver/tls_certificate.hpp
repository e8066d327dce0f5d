// The certificate that the TLS servers of a run show: self-signed, made anew by each run. Knows neither servers nor
// connections.
#pragma once

#include <string>

namespace bench {

/// Writes an ECDSA P-256 certificate for localhost and its key, both as PEM, into one file that only we may read, in place
/// of what an earlier run left there. One file, so that two runs at a time never mix their keys and certificates. Throws
/// std::runtime_error saying what failed.
void make_tls_file(const std::string& path);

}  // namespace bench
