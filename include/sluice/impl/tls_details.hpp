// TlsDetails: everything TlsInfo can be asked for, as it was when it was asked for.
//
// A snapshot and not a view: it may outlive the connection, and get_extra_info() may be asked from
// another thread's copy of it.
#pragma once

#include <sluice/tls.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace sluice::inline v0_1::detail {

struct TlsDetails {
    std::string version;
    std::string cipher;
    int cipher_bits = 0;
    std::string alpn;
    std::string server_name;
    bool session_reused = false;
    std::optional<TlsCertificate> peer_certificate;
    std::vector<TlsCertificate> peer_chain;
    std::vector<TlsCertificate> verified_chain;
    std::vector<std::byte> exporter;          // "tls-exporter"
    std::vector<std::byte> unique;            // "tls-unique"
    std::vector<std::byte> server_end_point;  // "tls-server-end-point"
    int layer = 0;
    bool ktls_send = false;
    bool ktls_recv = false;
    std::string ktls_reason;
};

}  // namespace sluice::inline v0_1::detail
