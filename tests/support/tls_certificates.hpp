// The making of keys, certificates, revocation lists and OCSP answers with OpenSSL's C API. A failure
// is a std::runtime_error with OpenSSL's reason.
//
// It must not know which certificates the tests use: that is tls_pki.
#pragma once

#include "support/tls_pki.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace sluice::test {

template <auto free>
struct Freer {
    template <class T>
    void operator()(T* object) const noexcept {
        free(object);
    }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freer<X509_free>>;

/// A certificate that may sign others.
struct Authority {
    KeyPtr key;
    CertificatePtr certificate;
};

/// An authority signed by `issuer` or, without one, by itself.
Authority make_authority(const std::string& name, TlsKey kind, const Authority* issuer);
/// An end certificate signed by `signer` or, without one, by itself. Files, root and issuers are for
/// the caller to fill in.
TlsIdentity make_end(const TlsCertificateSpec& spec, const Authority* signer);
/// A revocation list (PEM) with at most one certificate on it; times are from now.
std::string make_list(const Authority& authority, X509* revoked, std::chrono::hours updated,
                      std::chrono::hours next_update);
/// A signed OCSP answer (DER).
std::string make_ocsp(X509& subject, const Authority& authority, TlsStanding standing);

std::string pem_of(X509& certificate);
/// Encrypted if there is a password.
std::string pem_of(EVP_PKEY& key, std::string_view password = {});
CertificatePtr parse_certificate(const std::string& pem);
KeyPtr parse_key(const std::string& pem);

}  // namespace sluice::test
