// TlsSettings: what the setters of TlsOptions have stored, and the constants of TLS.
//
// Nothing here has read a file or seen OpenSSL: a context is built from it, and built again by
// reload().
#pragma once

#include <sluice/tls.hpp>

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::inline v0_1::detail {

namespace tls_limits {

// A chain of more than this many certificates is refused: real ones have two to four, and each
// costs a signature check.
inline constexpr int chain_depth = 16;
// The certificates a peer may send, all together: ten times what real chains need.
inline constexpr long chain_bytes = 64 * 1024;
// A certificate, key or list that is larger is not one: /dev/zero must not fill the memory.
inline constexpr std::size_t file_bytes = 16 * 1024 * 1024;
// Sessions a client keeps for one host and port. A TLS 1.3 ticket is used once, so connections
// that are made at the same time need one each.
inline constexpr std::size_t sessions_per_peer = 4;
inline constexpr std::size_t session_cache_size = 1024;
// RFC 7301: a protocol name has 1 to 255 bytes, the list at most 65535.
inline constexpr std::size_t alpn_name_bytes = 255;
inline constexpr std::size_t alpn_list_bytes = 65535;
// Names of a certificate that a failure's text lists.
inline constexpr std::size_t names_in_text = 8;

}  // namespace tls_limits

/// PEM text from a file or, without a file name, from memory.
struct TlsPem {
    std::string file;
    std::string text;

    [[nodiscard]] bool given() const noexcept { return !file.empty() || !text.empty(); }
};

struct TlsSettings {
    std::vector<TlsPem> authorities;
    bool system_authorities = false;
    std::vector<std::string> revocation_list_files;
    bool accept_any_certificate = false;
    ClientCertificates client_certificates = ClientCertificates::ignored;

    TlsPem certificate;
    TlsPem key;
    std::string password;
    std::string ocsp_response_file;

    TlsVersion minimum_version = TlsVersion::tls1_2;
    TlsVersion maximum_version = TlsVersion::tls1_3;
    // Forward secrecy and authenticated encryption only. 128-bit AES first, as browsers have it: it
    // is the fastest, and its transcript hash is SHA-256, for which processors have instructions.
    std::string ciphers =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
        "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    std::string ciphersuites =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    std::string groups = "X25519:P-256:P-384";
    std::vector<std::string> alpn;
    bool alpn_required = false;

    // In lower case; wildcards under their whole text, "*.domain".
    std::map<std::string, TlsContext, std::less<>> server_names;
    std::function<std::optional<TlsContext>(std::string_view)> server_name_callback;
    bool require_known_server_name = false;

    bool session_resumption = true;
    bool openssl_record_layer = false;
    KernelTls ktls = KernelTls::off;
    std::size_t session_cache_size = tls_limits::session_cache_size;
    std::string key_log_file;

    /// Also with an OpenSSL that has another record layer, with which ours has not been tried.
    [[nodiscard]] bool leaves_records_to_openssl() const noexcept;
};

/// Throws std::invalid_argument, which begins with `method`, for a text that is no host name. A
/// trailing dot is allowed, since a resolver allows it.
void check_host_name(std::string_view name, const char* method);

/// "fe80::1" of "fe80::1%eth0".
inline std::string_view without_zone(std::string_view host) noexcept {
    return host.substr(0, host.find('%'));
}

/// ASCII letters made small; RFC 4343 knows no others.
std::string in_lower_case(std::string_view text);

}  // namespace sluice::inline v0_1::detail
