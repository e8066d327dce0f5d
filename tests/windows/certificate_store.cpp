// See certificate_store.hpp. A store is closed before anybody else looks into it, which writes it.
#include "windows/certificate_store.hpp"

#include <array>
#include <memory>
#include <system_error>
#include <utility>

#include <windows.h>
// Behind that.
#include <wincrypt.h>

namespace sluice::test {

namespace {

struct CloseStore {
    void operator()(void* store) const noexcept { ::CertCloseStore(store, 0); }
};
struct FreeCertificate {
    void operator()(const CERT_CONTEXT* certificate) const noexcept {
        ::CertFreeCertificateContext(certificate);
    }
};
using Store = std::unique_ptr<void, CloseStore>;
using Certificate = std::unique_ptr<const CERT_CONTEXT, FreeCertificate>;

void require(bool success, const char* what) {
    if (!success) {
        throw std::system_error(static_cast<int>(::GetLastError()), std::system_category(), what);
    }
}

Store open_store(const std::wstring& name) {
    // The user's alone: from one that has the computer's in it, too, Wine deletes nothing.
    Store store(::CertOpenStore(CERT_STORE_PROV_SYSTEM_REGISTRY_W, 0, 0,
                                CERT_SYSTEM_STORE_CURRENT_USER, name.c_str()));
    require(store != nullptr, "CertOpenStore");
    return store;
}

Certificate parse(const std::string& der) {
    Certificate parsed(::CertCreateCertificateContext(X509_ASN_ENCODING,
                                                      reinterpret_cast<const BYTE*>(der.data()),
                                                      static_cast<DWORD>(der.size())));
    require(parsed != nullptr, "CertCreateCertificateContext");
    return parsed;
}

}  // namespace

StoredCertificate::StoredCertificate(std::wstring store_name, const std::string& der,
                                     std::string only_purpose)
    : store_name_(std::move(store_name)), der_(der) {
    const Certificate certificate = parse(der_);
    if (!only_purpose.empty()) {
        char* purpose = only_purpose.data();
        CERT_ENHKEY_USAGE usage{1, &purpose};
        require(::CertSetEnhancedKeyUsage(certificate.get(), &usage) != FALSE,
                "CertSetEnhancedKeyUsage");
    }
    const Store store = open_store(store_name_);
    require(::CertAddCertificateContextToStore(store.get(), certificate.get(),
                                               CERT_STORE_ADD_REPLACE_EXISTING, nullptr) != FALSE,
            "CertAddCertificateContextToStore");
}

StoredCertificate::~StoredCertificate() {
    const Store store = open_store(store_name_);
    const Certificate certificate = parse(der_);
    std::array<BYTE, 20> hash{};
    CRYPT_HASH_BLOB wanted{static_cast<DWORD>(hash.size()), hash.data()};
    ::CertGetCertificateContextProperty(certificate.get(), CERT_SHA1_HASH_PROP_ID, hash.data(),
                                        &wanted.cbData);
    // Deleting gives back what was found.
    ::CertDeleteCertificateFromStore(::CertFindCertificateInStore(
        store.get(), X509_ASN_ENCODING, 0, CERT_FIND_SHA1_HASH, &wanted, nullptr));
}

}  // namespace sluice::test
