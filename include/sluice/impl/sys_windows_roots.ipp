// The store ROOT of Windows, that of the user, which has the computer's in it, without what is in the
// store Disallowed.
#pragma once

#include <sluice/impl/windows_headers.ipp>

#include <sluice/detail/sys_roots.hpp>

#include <cstddef>
#include <cstring>
#include <memory>

#include <wincrypt.h>

// OpenSSL has these names for types.
#undef OCSP_REQUEST
#undef OCSP_RESPONSE
#undef PKCS7_ISSUER_AND_SERIAL
#undef PKCS7_SIGNER_INFO
#undef X509_CERT_PAIR
#undef X509_EXTENSIONS
#undef X509_NAME

namespace sluice::inline v0_1::detail::sys {

/// Whether the administrator, or the certificate, leaves it the purpose of naming servers.
SLUICE_INLINE bool vouches_for_servers(const CERT_CONTEXT* certificate) {
    DWORD size = 0;
    if (::CertGetEnhancedKeyUsage(certificate, 0, nullptr, &size) == FALSE) {
        // Without a list it has every purpose.
        return ::GetLastError() == static_cast<DWORD>(CRYPT_E_NOT_FOUND);
    }
    const auto memory = std::make_unique<std::byte[]>(size);
    auto* const usage = reinterpret_cast<CERT_ENHKEY_USAGE*>(memory.get());
    if (::CertGetEnhancedKeyUsage(certificate, 0, usage, &size) == FALSE) {
        return false;
    }
    if (usage->cUsageIdentifier == 0) {
        return ::GetLastError() == static_cast<DWORD>(CRYPT_E_NOT_FOUND);
    }
    for (DWORD index = 0; index < usage->cUsageIdentifier; ++index) {
        if (std::strcmp(usage->rgpszUsageIdentifier[index], szOID_PKIX_KP_SERVER_AUTH) == 0) {
            return true;
        }
    }
    return false;
}

struct CloseStore {
    // Forced, since an exception leaves a certificate that refers to it.
    void operator()(void* store) const noexcept {
        ::CertCloseStore(store, CERT_CLOSE_STORE_FORCE_FLAG);
    }
};
using StorePtr = std::unique_ptr<void, CloseStore>;

SLUICE_INLINE bool is_in(const StorePtr& store, const CERT_CONTEXT* certificate) noexcept {
    const CERT_CONTEXT* const found = ::CertFindCertificateInStore(
        store.get(), X509_ASN_ENCODING, 0, CERT_FIND_EXISTING, certificate, nullptr);
    // Nothing to do for null.
    ::CertFreeCertificateContext(found);
    return found != nullptr;
}

SLUICE_INLINE std::vector<std::string> trusted_roots() {
    const StorePtr store(::CertOpenSystemStoreW(0, L"ROOT"));
    // It outweighs ROOT, where a certificate stays that is no longer trusted.
    const StorePtr disallowed(::CertOpenSystemStoreW(0, L"Disallowed"));
    std::vector<std::string> roots;
    if (store == nullptr || disallowed == nullptr) {
        return roots;
    }
    const CERT_CONTEXT* each = nullptr;
    while ((each = ::CertEnumCertificatesInStore(store.get(), each)) != nullptr) {
        if (vouches_for_servers(each) && !is_in(disallowed, each)) {
            roots.emplace_back(reinterpret_cast<const char*>(each->pbCertEncoded),
                               each->cbCertEncoded);
        }
    }
    return roots;
}

}  // namespace sluice::inline v0_1::detail::sys
