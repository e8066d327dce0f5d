// The setters of TlsOptions, which check what can be checked without reading a file, and the rules
// for names.
#pragma once

#include <sluice/impl/tls_settings.hpp>

#include <sluice/address.hpp>
#include <sluice/detail/tls_certificate.hpp>
#include <sluice/detail/tls_session.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <openssl/crypto.h>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_INLINE std::string in_lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') {
            c = static_cast<char>(c - 'A' + 'a');
        }
    }
    return lower;
}

/// Why a text is no host name; empty if it is one.
inline std::string fault_of_host_name(std::string_view name) {
    constexpr std::size_t label_bytes = 63;  // RFC 1035
    if (name.ends_with('.')) {
        name.remove_suffix(1);
    }
    if (name.empty()) {
        return "is empty";
    }
    if (name.size() > limits::host_name_bytes) {
        return "is longer than a host name can be (" + std::to_string(limits::host_name_bytes) +
               " characters)";
    }
    std::size_t label = 0;
    for (const char c : name) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (c == '.') {
            if (label == 0) {
                break;
            }
            label = 0;
        } else if (letter || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            if (++label > label_bytes) {
                return "has a label of more than 63 characters";
            }
        } else {
            const bool ascii = static_cast<unsigned char>(c) < 0x80;
            return ascii ? "has a character that no host name has"
                         : "is not ASCII: give the form that begins with xn--";
        }
    }
    return label == 0 ? "has an empty label" : "";
}

SLUICE_INLINE void check_host_name(std::string_view name, const char* method) {
    const std::string fault = fault_of_host_name(name);
    if (!fault.empty()) {
        const std::string shown = printable(name.substr(0, limits::host_name_bytes + 1));
        throw std::invalid_argument(std::string(method) + ": '" + shown + "' " + fault);
    }
}

SLUICE_INLINE void check_server_name(std::string_view name, const char* method) {
    // The zone of a literal never reaches TLS, but it must not hide a NUL from whoever prints it.
    const bool has_nul = name.find('\0') != std::string_view::npos;
    if (has_nul || !SocketAddress::parse(without_zone(name), 0)) {
        check_host_name(name, method);
    }
}

inline void require_text(const std::string& value, const char* method) {
    if (value.empty()) {
        throw std::invalid_argument(std::string(method) + ": the argument is empty");
    }
}

inline void check_version(TlsVersion version, const char* method) {
    if (version != TlsVersion::tls1_2 && version != TlsVersion::tls1_3) {
        throw std::invalid_argument(std::string(method) + ": only TLS 1.2 and 1.3 are supported");
    }
}

}  // namespace detail

SLUICE_INLINE TlsOptions::TlsOptions() : settings_(std::make_unique<detail::TlsSettings>()) {}
SLUICE_INLINE TlsOptions::~TlsOptions() = default;
SLUICE_INLINE TlsOptions::TlsOptions(const TlsOptions& other)
    : settings_(other.settings_ ? std::make_unique<detail::TlsSettings>(*other.settings_)
                                : nullptr) {}
SLUICE_INLINE TlsOptions::TlsOptions(TlsOptions&& other) noexcept = default;

SLUICE_INLINE TlsOptions& TlsOptions::operator=(TlsOptions other) noexcept {
    settings_ = std::move(other.settings_);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::certificate_authority_file(std::string pem_file) {
    detail::require_text(pem_file, "certificate_authority_file");
    settings_->authorities.push_back({std::move(pem_file), {}});
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::certificate_authority(std::string pem) {
    detail::require_text(pem, "certificate_authority");
    settings_->authorities.push_back({{}, std::move(pem)});
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::system_certificate_authorities(bool on) {
    settings_->system_authorities = on;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::revocation_list_file(std::string pem_file) {
    detail::require_text(pem_file, "revocation_list_file");
    settings_->revocation_list_files.push_back(std::move(pem_file));
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::insecure_accept_any_certificate() {
    settings_->accept_any_certificate = true;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::client_certificates(ClientCertificates policy) {
    settings_->client_certificates = policy;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::identity_files(std::string certificate_file,
                                                     std::string key_file, std::string password) {
    detail::require_text(certificate_file, "identity_files");
    detail::require_text(key_file, "identity_files");
    settings_->certificate = {std::move(certificate_file), {}};
    settings_->key = {std::move(key_file), {}};
    settings_->password = std::move(password);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::identity(std::string certificate_pem, std::string key_pem,
                                               std::string password) {
    detail::require_text(certificate_pem, "identity");
    detail::require_text(key_pem, "identity");
    settings_->certificate = {{}, std::move(certificate_pem)};
    settings_->key = {{}, std::move(key_pem)};
    settings_->password = std::move(password);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::ocsp_response_file(std::string der_file) {
    detail::require_text(der_file, "ocsp_response_file");
    settings_->ocsp_response_file = std::move(der_file);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::minimum_version(TlsVersion version) {
    detail::check_version(version, "minimum_version");
    settings_->minimum_version = version;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::maximum_version(TlsVersion version) {
    detail::check_version(version, "maximum_version");
    settings_->maximum_version = version;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::ciphers(std::string list) {
    detail::require_text(list, "ciphers");
    settings_->ciphers = std::move(list);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::ciphersuites(std::string list) {
    detail::require_text(list, "ciphersuites");
    settings_->ciphersuites = std::move(list);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::groups(std::string list) {
    detail::require_text(list, "groups");
    settings_->groups = std::move(list);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::alpn(std::vector<std::string> protocols) {
    if (protocols.empty()) {
        throw std::invalid_argument("alpn: the list is empty");
    }
    std::size_t list_bytes = 0;
    for (const std::string& protocol : protocols) {
        if (protocol.empty() || protocol.size() > detail::tls_limits::alpn_name_bytes) {
            throw std::invalid_argument("alpn: a protocol of " + std::to_string(protocol.size()) +
                                        " bytes; each has 1 to 255");
        }
        list_bytes += protocol.size() + 1;
    }
    if (list_bytes > detail::tls_limits::alpn_list_bytes) {
        throw std::invalid_argument("alpn: the list is longer than 65535 bytes");
    }
    settings_->alpn = std::move(protocols);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::alpn_required(bool on) {
    settings_->alpn_required = on;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::server_name(std::string_view name, TlsContext context) {
    const std::string_view wildcard = "*.";
    std::string_view host = name;
    if (host.starts_with(wildcard)) {
        host.remove_prefix(wildcard.size());
    }
    detail::check_host_name(host, "server_name");
    if (host.ends_with('.')) {
        throw std::invalid_argument("server_name: '" + std::string(name) + "' ends in a dot");
    }
    if (!context.is_server()) {
        throw std::invalid_argument("server_name: the context for '" + std::string(name) +
                                    "' is one for clients");
    }
    settings_->server_names.insert_or_assign(detail::in_lower_case(name), std::move(context));
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::server_name_callback(
    std::function<std::optional<TlsContext>(std::string_view)> callback) {
    settings_->server_name_callback = std::move(callback);
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::require_known_server_name(bool on) {
    settings_->require_known_server_name = on;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::session_resumption(bool on) {
    settings_->session_resumption = on;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::session_cache_size(std::size_t sessions) {
    if (sessions == 0) {
        throw std::invalid_argument(
            "session_cache_size must be at least 1; session_resumption(false) turns it off");
    }
    settings_->session_cache_size = sessions;
    return *this;
}

namespace detail {

SLUICE_INLINE bool TlsSettings::leaves_records_to_openssl() const noexcept {
    constexpr unsigned long newest_known = 0x301;  // 3.1
    return openssl_record_layer || OpenSSL_version_num() >> 20 > newest_known;
}

}  // namespace detail

SLUICE_INLINE TlsOptions& TlsOptions::openssl_record_layer(bool on) {
    settings_->openssl_record_layer = on;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::ktls(KernelTls use) {
    settings_->ktls = use;
    return *this;
}

SLUICE_INLINE TlsOptions& TlsOptions::key_log_file(std::string file) {
    detail::require_text(file, "key_log_file");
    settings_->key_log_file = std::move(file);
    return *this;
}

}  // namespace sluice::inline v0_1
