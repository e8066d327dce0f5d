// See tls_certificates.hpp.
#include "support/tls_certificates.hpp"

#include <atomic>
#include <ctime>
#include <stdexcept>
#include <utility>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

namespace sluice::test {
namespace {

using ListPtr = std::unique_ptr<X509_CRL, Freer<X509_CRL_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, Freer<ASN1_TIME_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;

[[noreturn]] void fail(const char* what) {
    char reason[256] = "";
    ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
    throw std::runtime_error(std::string(what) + ": " + reason);
}

void check(bool ok, const char* what) {
    if (!ok) {
        fail(what);
    }
}

KeyPtr make_key(TlsKey kind) {
    KeyPtr key;
    switch (kind) {
        case TlsKey::p256:
            key.reset(EVP_EC_gen("P-256"));
            break;
        case TlsKey::rsa2048:
            key.reset(EVP_RSA_gen(2048));
            break;
        case TlsKey::ed25519:
            key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
            break;
    }
    check(key != nullptr, "making a key");
    return key;
}

std::string text_of(BIO& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(&bio, &data);
    return {data, static_cast<std::size_t>(size)};
}

template <class Write>
std::string to_pem(Write&& write) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    check(bio != nullptr && write(bio.get()) == 1, "writing PEM");
    return text_of(*bio);
}

std::string name_of(const X509_NAME* name) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
    return text_of(*bio);
}

TimePtr time_from_now(std::chrono::hours offset) {
    TimePtr time(ASN1_TIME_adj(nullptr, std::time(nullptr), 0,
                               static_cast<long>(std::chrono::seconds(offset).count())));
    check(time != nullptr, "making a time");
    return time;
}

const EVP_MD* digest_for(const EVP_PKEY& key) {
    return EVP_PKEY_is_a(&key, "ED25519") ? nullptr : EVP_sha256();
}

void add_extension(X509& certificate, X509& issuer, int nid, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
    const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    check(extension && X509_add_ext(&certificate, extension.get(), -1) == 1, value.c_str());
}

void add_padding(X509& certificate, std::size_t bytes) {
    const std::string value(bytes, 'p');
    const std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>> octets(
        ASN1_OCTET_STRING_new());
    ASN1_OCTET_STRING_set(octets.get(), reinterpret_cast<const unsigned char*>(value.data()),
                          static_cast<int>(value.size()));
    const ExtensionPtr extension(
        X509_EXTENSION_create_by_NID(nullptr, NID_netscape_comment, 0, octets.get()));
    check(extension && X509_add_ext(&certificate, extension.get(), -1) == 1, "padding");
}

/// Subject, validity, key, serial number: all but extensions and signature.
CertificatePtr blank(const std::string& common_name, EVP_PKEY& key, std::chrono::hours not_before,
                     std::chrono::hours not_after) {
    // The first byte is neither zero nor negative: every serial number has the same length.
    static std::atomic<long> serial{0x41000001};
    CertificatePtr certificate(X509_new());
    check(certificate != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1,
          "making a certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
    X509_set1_notBefore(certificate.get(), time_from_now(not_before).get());
    X509_set1_notAfter(certificate.get(), time_from_now(not_after).get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
    check(X509_set_pubkey(certificate.get(), &key) == 1, "setting a public key");
    return certificate;
}

void sign(X509& certificate, EVP_PKEY& key) {
    check(X509_sign(&certificate, &key, digest_for(key)) > 0, "signing a certificate");
}

}  // namespace

std::string pem_of(X509& certificate) {
    return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, &certificate); });
}

std::string pem_of(EVP_PKEY& key, std::string_view password) {
    return to_pem([&](BIO* bio) {
        const EVP_CIPHER* cipher = password.empty() ? nullptr : EVP_aes_256_cbc();
        return PEM_write_bio_PKCS8PrivateKey(bio, &key, cipher, password.data(),
                                             static_cast<int>(password.size()), nullptr, nullptr);
    });
}

Authority make_authority(const std::string& name, TlsKey kind, const Authority* issuer) {
    Authority authority;
    authority.key = make_key(kind);
    authority.certificate =
        blank(name, *authority.key, std::chrono::hours(-24 * 30), std::chrono::hours(24 * 30));
    X509& certificate = *authority.certificate;
    X509& signer = issuer ? *issuer->certificate : certificate;
    X509_set_issuer_name(&certificate, X509_get_subject_name(&signer));
    add_extension(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(certificate, signer, NID_subject_key_identifier, "hash");
    sign(certificate, issuer ? *issuer->key : *authority.key);
    return authority;
}

TlsIdentity make_end(const TlsCertificateSpec& spec, const Authority* signer) {
    const KeyPtr key = make_key(spec.key);
    const CertificatePtr certificate =
        blank(spec.common_name, *key, spec.not_before, spec.not_after);
    X509& issuer = signer ? *signer->certificate : *certificate;
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(&issuer));
    add_extension(*certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(*certificate, issuer, NID_key_usage, "critical,digitalSignature");
    add_extension(*certificate, issuer, NID_ext_key_usage, spec.usage);
    std::string names;
    for (const std::string& name : spec.names) {
        names.append(names.empty() ? "" : ",").append(name);
    }
    if (!names.empty()) {
        add_extension(*certificate, issuer, NID_subject_alt_name, names);
    }
    if (spec.padding_bytes > 0) {
        add_padding(*certificate, spec.padding_bytes);
    }
    sign(*certificate, signer ? *signer->key : *key);

    TlsIdentity identity;
    identity.pem = pem_of(*certificate);
    identity.key_pem = pem_of(*key);
    identity.subject = name_of(X509_get_subject_name(certificate.get()));
    identity.issuer = name_of(X509_get_issuer_name(certificate.get()));
    return identity;
}

CertificatePtr parse_certificate(const std::string& pem) {
    const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    CertificatePtr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    check(certificate != nullptr, "reading a certificate");
    return certificate;
}

std::string make_list(const Authority& authority, X509* revoked, std::chrono::hours updated,
                      std::chrono::hours next_update) {
    const ListPtr list(X509_CRL_new());
    X509_CRL_set_version(list.get(), X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(authority.certificate.get()));
    X509_CRL_set1_lastUpdate(list.get(), time_from_now(updated).get());
    X509_CRL_set1_nextUpdate(list.get(), time_from_now(next_update).get());
    if (revoked != nullptr) {
        std::unique_ptr<X509_REVOKED, Freer<X509_REVOKED_free>> entry(X509_REVOKED_new());
        X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(revoked));
        X509_REVOKED_set_revocationDate(entry.get(), time_from_now(updated).get());
        check(X509_CRL_add0_revoked(list.get(), entry.get()) == 1, "revoking");
        static_cast<void>(entry.release());
    }
    check(X509_CRL_sign(list.get(), authority.key.get(), EVP_sha256()) > 0, "signing a list");
    return to_pem([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list.get()); });
}

std::string make_ocsp(X509& subject, const Authority& authority, TlsStanding standing) {
    const std::unique_ptr<OCSP_BASICRESP, Freer<OCSP_BASICRESP_free>> basic(OCSP_BASICRESP_new());
    const std::unique_ptr<OCSP_CERTID, Freer<OCSP_CERTID_free>> id(
        OCSP_cert_to_id(nullptr, &subject, authority.certificate.get()));
    const bool revoked = standing == TlsStanding::revoked;
    const TimePtr now = time_from_now(std::chrono::hours(-1));
    const TimePtr next = time_from_now(std::chrono::hours(24));
    OCSP_basic_add1_status(
        basic.get(), id.get(), revoked ? V_OCSP_CERTSTATUS_REVOKED : V_OCSP_CERTSTATUS_GOOD,
        OCSP_REVOKED_STATUS_KEYCOMPROMISE, revoked ? now.get() : nullptr, now.get(), next.get());
    check(OCSP_basic_sign(basic.get(), authority.certificate.get(), authority.key.get(),
                          EVP_sha256(), nullptr, 0) == 1,
          "signing an OCSP answer");
    const std::unique_ptr<OCSP_RESPONSE, Freer<OCSP_RESPONSE_free>> response(
        OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
    unsigned char* der = nullptr;
    const int size = i2d_OCSP_RESPONSE(response.get(), &der);
    check(size > 0, "encoding an OCSP answer");
    std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return bytes;
}

KeyPtr parse_key(const std::string& pem) {
    const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    check(key != nullptr, "reading a key");
    return key;
}

}  // namespace sluice::test
