// Why TLS failed, in words, and the exceptions that carry them.
#pragma once

#include <sluice/impl/tls_openssl.ipp>

#include <sluice/detail/tls_certificate.hpp>
#include <sluice/detail/tls_session.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

/// RFC 8446, 6 and, for TLS 1.2, RFC 5246, 7.2.
inline std::string alert_name(int alert) {
    struct Name {
        int alert;
        const char* name;
    };
    static constexpr std::array<Name, 30> names = {{
        {SSL_AD_CLOSE_NOTIFY, "close_notify"},
        {SSL_AD_UNEXPECTED_MESSAGE, "unexpected_message"},
        {SSL_AD_BAD_RECORD_MAC, "bad_record_mac"},
        {SSL_AD_RECORD_OVERFLOW, "record_overflow"},
        {SSL_AD_DECOMPRESSION_FAILURE, "decompression_failure"},
        {SSL_AD_HANDSHAKE_FAILURE, "handshake_failure"},
        {SSL_AD_BAD_CERTIFICATE, "bad_certificate"},
        {SSL_AD_UNSUPPORTED_CERTIFICATE, "unsupported_certificate"},
        {SSL_AD_CERTIFICATE_REVOKED, "certificate_revoked"},
        {SSL_AD_CERTIFICATE_EXPIRED, "certificate_expired"},
        {SSL_AD_CERTIFICATE_UNKNOWN, "certificate_unknown"},
        {SSL_AD_ILLEGAL_PARAMETER, "illegal_parameter"},
        {SSL_AD_UNKNOWN_CA, "unknown_ca"},
        {SSL_AD_ACCESS_DENIED, "access_denied"},
        {SSL_AD_DECODE_ERROR, "decode_error"},
        {SSL_AD_DECRYPT_ERROR, "decrypt_error"},
        {SSL_AD_PROTOCOL_VERSION, "protocol_version"},
        {SSL_AD_INSUFFICIENT_SECURITY, "insufficient_security"},
        {SSL_AD_INTERNAL_ERROR, "internal_error"},
        {SSL_AD_INAPPROPRIATE_FALLBACK, "inappropriate_fallback"},
        {SSL_AD_USER_CANCELLED, "user_canceled"},
        {SSL_AD_NO_RENEGOTIATION, "no_renegotiation"},
        {SSL_AD_MISSING_EXTENSION, "missing_extension"},
        {SSL_AD_UNSUPPORTED_EXTENSION, "unsupported_extension"},
        {SSL_AD_UNRECOGNIZED_NAME, "unrecognized_name"},
        {SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE, "bad_certificate_status_response"},
        {SSL_AD_BAD_CERTIFICATE_HASH_VALUE, "bad_certificate_hash_value"},
        {SSL_AD_UNKNOWN_PSK_IDENTITY, "unknown_psk_identity"},
        {SSL_AD_CERTIFICATE_REQUIRED, "certificate_required"},
        {SSL_AD_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
    }};
    for (const Name& known : names) {
        if (known.alert == alert) {
            return known.name;
        }
    }
    return alert < 0 ? std::string() : "alert " + std::to_string(alert);
}

/// Whom a client asked for: the name or the literal address that its certificate check was given.
inline std::string host_of(ssl_st& ssl) {
    if (SSL_is_server(&ssl) == 1) {
        return {};
    }
    X509_VERIFY_PARAM* const rules = SSL_get0_param(&ssl);
    if (const char* const name = X509_VERIFY_PARAM_get0_host(rules, 0)) {
        return name;
    }
    const std::unique_ptr<char, decltype([](char* text) { OPENSSL_free(text); })> ip(
        X509_VERIFY_PARAM_get1_ip_asc(rules));
    return ip ? ip.get() : "";
}

/// Why a certificate was rejected, as one clause.
inline std::string verdict(const TlsFailure& failure, const TlsRecordOfTroubles& troubles) {
    std::string text = "certificate verify failed: " + failure.verify_text;
    if (failure.verify_code == X509_V_ERR_HOSTNAME_MISMATCH ||
        failure.verify_code == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        text += troubles.words().names.empty() ? ": certificate names no host"
                                               : ": certificate is for " + troubles.words().names;
        text += ", asked for '" + failure.host + "'";
    } else if (!failure.host.empty()) {
        text += ", asked for '" + failure.host + "'";
    }
    text += " (depth " + std::to_string(failure.verify_depth);
    if (!failure.subject.empty()) {
        text += ", subject " + failure.subject + ", issuer " + failure.issuer;
    }
    return text + ")";
}

/// The first entry of the queue, which is the cause; what follows are its consequences.
inline std::string reason_of(unsigned long entry) {
    if (entry == 0) {
        return "OpenSSL gives no reason";
    }
    if (ERR_SYSTEM_ERROR(entry)) {
        return openssl_code(entry).message();
    }
    const char* const library = ERR_lib_error_string(entry);
    const char* const reason = ERR_reason_error_string(entry);
    std::string text = library == nullptr ? "" : std::string(library) + ": ";
    return text + (reason == nullptr ? "error " + std::to_string(entry) : reason);
}

/// What entries mean that puzzle everybody who meets them for the first time.
inline const char* meaning_of(unsigned long entry) noexcept {
    if (ERR_GET_LIB(entry) != ERR_LIB_SSL) {
        return nullptr;
    }
    switch (ERR_GET_REASON(entry)) {
        case SSL_R_WRONG_VERSION_NUMBER:
            return "the peer does not speak TLS";
        case SSL_R_HTTP_REQUEST:
            return "the peer sent a plain HTTP request";
        case SSL_R_HTTPS_PROXY_REQUEST:
            return "the peer sent a plain HTTP CONNECT request";
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return "the peer hung up without a close_notify";
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_NO_PROTOCOLS_AVAILABLE:
        case SSL_R_VERSION_TOO_LOW:
            return "no TLS version in common";
        case SSL_R_NO_SHARED_CIPHER:
            return "no cipher in common";
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return "the client sent no certificate";
        default:
            return nullptr;
    }
}

inline std::string text_of(const TlsFailure& failure, const TlsRecordOfTroubles& troubles,
                           unsigned long entry) {
    std::string text = "TLS " + failure.phase + " failed: ";
    if (failure.verify_code != 0) {
        text = verdict(failure, troubles);
    } else if (!troubles.words().refusal.empty()) {
        text += printable(troubles.words().refusal);
    } else if (!failure.alert_received.empty()) {
        text += "the peer sent the alert " + failure.alert_received;
    } else if (const char* const meaning = meaning_of(entry)) {
        text.append(meaning).append(" (").append(reason_of(entry)).append(")");
    } else {
        text += reason_of(entry);
    }
    if (failure.verify_code == 0 && !failure.host.empty()) {
        text += ", asked for '" + failure.host + "'";
    }
    if (!failure.alert_sent.empty()) {
        text += ", alert sent: " + failure.alert_sent;
    }
    return text;
}

SLUICE_INLINE TlsFailure describe_failure(ssl_st& ssl, const TlsRecordOfTroubles& troubles,
                                          const char* phase) {
    const unsigned long entry = ERR_peek_error();
    ERR_clear_error();
    TlsFailure failure;
    failure.phase = phase;
    failure.host = host_of(ssl);
    failure.alert_sent = alert_name(troubles.alert_sent);
    failure.alert_received = alert_name(troubles.alert_received);
    if (troubles.verify_code != X509_V_OK) {
        failure.verify_code = troubles.verify_code;
        failure.verify_text = X509_verify_cert_error_string(troubles.verify_code);
        failure.verify_depth = troubles.verify_depth;
        failure.subject = troubles.words().subject;
        failure.issuer = troubles.words().issuer;
    }
    failure.text = text_of(failure, troubles, entry);
    return failure;
}

}  // namespace detail

SLUICE_INLINE TlsConfigError::TlsConfigError(std::error_code code, const std::string& what)
    : std::system_error(code, what) {}

SLUICE_INLINE TlsConfigError::~TlsConfigError() = default;

SLUICE_INLINE TlsError::TlsError(std::error_code code, TlsFailure failure, std::string address)
    : std::system_error(code, address + ": " + failure.text),
      failure_(std::make_shared<const TlsFailure>(std::move(failure))),
      address_(std::make_shared<const std::string>(std::move(address))) {}

SLUICE_INLINE TlsError::~TlsError() = default;

}  // namespace sluice::inline v0_1
