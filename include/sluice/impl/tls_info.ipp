// What an established connection tells about itself: a snapshot taken from the SSL object, and the
// accessors that show it.
#pragma once

#include <sluice/impl/tls_details.hpp>
#include <sluice/impl/tls_openssl.ipp>

#include <sluice/detail/tls_certificate.hpp>
#include <sluice/detail/tls_session.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

inline std::vector<std::byte> as_vector(const unsigned char* data, std::size_t size) {
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    return {bytes, bytes + size};
}

/// RFC 9266. With TLS 1.2 only where the extended master secret binds it to this handshake.
inline std::vector<std::byte> exporter_binding(SSL* ssl) {
    constexpr std::string_view label = "EXPORTER-Channel-Binding";
    std::array<unsigned char, 32> value;
    const bool sound = SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) == 1;
    if (!sound || SSL_export_keying_material(ssl, value.data(), value.size(), label.data(),
                                             label.size(), nullptr, 0, 1) != 1) {
        return {};
    }
    return as_vector(value.data(), value.size());
}

/// RFC 5929, 3: the first Finished message of the handshake, which is the client's in a full one
/// and the server's in a resumed one.
inline std::vector<std::byte> unique_binding(const SSL* ssl) {
    if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get_extms_support(const_cast<SSL*>(ssl)) != 1) {
        return {};
    }
    std::array<unsigned char, EVP_MAX_MD_SIZE> value;
    const bool client_is_first = SSL_session_reused(ssl) == 0;
    const bool ours = client_is_first != (SSL_is_server(ssl) == 1);
    const std::size_t size = ours ? SSL_get_finished(ssl, value.data(), value.size())
                                  : SSL_get_peer_finished(ssl, value.data(), value.size());
    return as_vector(value.data(), size);
}

/// RFC 5929, 4: the server's certificate under the hash of its signature, SHA-256 instead of weaker
/// ones; undefined, and then empty, for signatures without a hash of their own (Ed25519).
inline std::vector<std::byte> end_point_binding(const SSL* ssl) {
    const X509* const certificate =
        SSL_is_server(ssl) == 1 ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
    int digest_nid = NID_undef;
    if (certificate == nullptr ||
        X509_get_signature_info(const_cast<X509*>(certificate), &digest_nid, nullptr, nullptr,
                                nullptr) != 1 ||
        digest_nid == NID_undef) {
        return {};
    }
    const bool weak = digest_nid == NID_md5 || digest_nid == NID_sha1;
    const EVP_MD* const digest = weak ? EVP_sha256() : EVP_get_digestbynid(digest_nid);
    std::array<unsigned char, EVP_MAX_MD_SIZE> value;
    unsigned int size = 0;
    if (digest == nullptr || X509_digest(certificate, digest, value.data(), &size) != 1) {
        return {};
    }
    return as_vector(value.data(), size);
}

inline std::vector<TlsCertificate> decode_all(const STACK_OF(X509) * chain) {
    std::vector<TlsCertificate> certificates;
    // -1 when there is no chain.
    certificates.reserve(static_cast<std::size_t>(std::max(sk_X509_num(chain), 0)));
    for (int i = 0; i < sk_X509_num(chain); ++i) {
        certificates.push_back(decode(*sk_X509_value(chain, i)));
    }
    return certificates;
}

inline void describe_peer(SSL* ssl, TlsDetails& details) {
    if (X509* const leaf = SSL_get0_peer_certificate(ssl)) {
        details.peer_certificate = decode(*leaf);
    }
    details.peer_chain = decode_all(SSL_get_peer_cert_chain(ssl));
    // Of a client's chain OpenSSL keeps the leaf apart.
    if (SSL_is_server(ssl) == 1 && details.peer_certificate) {
        details.peer_chain.insert(details.peer_chain.begin(), *details.peer_certificate);
    }
    // OpenSSL keeps the chain of a failed verification, too, when a context accepts anything.
    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(ssl) == X509_V_OK) {
        details.verified_chain = decode_all(SSL_get0_verified_chain(ssl));
    }
}

inline std::string server_name_of(const SSL* ssl) {
    if (SSL_is_server(ssl) == 1) {
        const TlsRecordOfTroubles* const record = record_of(*ssl);
        return record == nullptr ? std::string() : record->peer_name;
    }
    const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? std::string() : name;
}

inline void describe_kernel(ssl_st& ssl, TlsDetails& details) {
    BIO* const wire = SSL_get_wbio(&ssl);
    details.ktls_send = wire != nullptr && BIO_ctrl(wire, BIO_CTRL_GET_KTLS_SEND, 0, nullptr) > 0;
    details.ktls_recv = wire != nullptr && BIO_ctrl(wire, BIO_CTRL_GET_KTLS_RECV, 0, nullptr) > 0;
    const TlsRecordOfTroubles* const record = record_of(ssl);
    if (details.ktls_send && details.ktls_recv) {
        return;
    }
    if (!wants_kernel(ssl, true)) {
        details.ktls_reason = "not asked for";
    } else if (details.ktls_send && !wants_kernel(ssl, false)) {
        details.ktls_reason = "receiving was not asked for";
    } else if (record != nullptr && !record->words().ktls_refusal.empty()) {
        details.ktls_reason = record->words().ktls_refusal;
    } else {
        details.ktls_reason = "OpenSSL hands over no keys for " +
                              std::string(details.ktls_send ? "receiving with " : "") +
                              details.version + " and " + details.cipher;
    }
}

SLUICE_INLINE std::shared_ptr<const TlsDetails> describe_connection(ssl_st& ssl, int layer) {
    auto details = std::make_shared<TlsDetails>();
    details->version = SSL_get_version(&ssl);
    if (const SSL_CIPHER* const cipher = SSL_get_current_cipher(&ssl)) {
        details->cipher = SSL_CIPHER_get_name(cipher);
        details->cipher_bits = SSL_CIPHER_get_bits(cipher, nullptr);
    }
    const unsigned char* protocol = nullptr;
    unsigned int protocol_size = 0;
    SSL_get0_alpn_selected(&ssl, &protocol, &protocol_size);
    details->alpn.assign(reinterpret_cast<const char*>(protocol), protocol_size);
    details->server_name = server_name_of(&ssl);
    details->session_reused = SSL_session_reused(&ssl) == 1;
    describe_peer(&ssl, *details);
    details->exporter = exporter_binding(&ssl);
    details->unique = unique_binding(&ssl);
    details->server_end_point = end_point_binding(&ssl);
    details->layer = layer;
    describe_kernel(ssl, *details);
    ERR_clear_error();
    return details;
}

}  // namespace detail

SLUICE_INLINE const detail::TlsDetails& TlsInfo::details() const {
    if (details_ == nullptr) {
        throw std::logic_error("TlsInfo: there is no TLS connection");
    }
    return *details_;
}

SLUICE_INLINE const std::string& TlsInfo::version() const {
    return details().version;
}

SLUICE_INLINE const std::string& TlsInfo::cipher() const {
    return details().cipher;
}

SLUICE_INLINE int TlsInfo::cipher_bits() const {
    return details().cipher_bits;
}

SLUICE_INLINE const std::string& TlsInfo::alpn() const {
    return details().alpn;
}

SLUICE_INLINE const std::string& TlsInfo::server_name() const {
    return details().server_name;
}

SLUICE_INLINE bool TlsInfo::session_reused() const {
    return details().session_reused;
}

SLUICE_INLINE const std::optional<TlsCertificate>& TlsInfo::peer_certificate() const {
    return details().peer_certificate;
}

SLUICE_INLINE const std::vector<TlsCertificate>& TlsInfo::peer_chain() const {
    return details().peer_chain;
}

SLUICE_INLINE const std::vector<TlsCertificate>& TlsInfo::verified_chain() const {
    return details().verified_chain;
}

SLUICE_INLINE std::vector<std::byte> TlsInfo::channel_binding(std::string_view type) const {
    if (type == "tls-exporter") {
        return details().exporter;
    }
    if (type == "tls-unique") {
        return details().unique;
    }
    if (type == "tls-server-end-point") {
        return details().server_end_point;
    }
    throw std::invalid_argument("channel_binding: unknown type '" + std::string(type) + "'");
}

SLUICE_INLINE int TlsInfo::layer() const {
    return details().layer;
}

SLUICE_INLINE bool TlsInfo::ktls_send() const {
    return details().ktls_send;
}

SLUICE_INLINE bool TlsInfo::ktls_recv() const {
    return details().ktls_recv;
}

SLUICE_INLINE const std::string& TlsInfo::ktls_reason() const {
    return details().ktls_reason;
}

}  // namespace sluice::inline v0_1
