// OpenSSL's objects with owners, and its error queue as exceptions.
//
// For the definitions (.ipp) only: it includes OpenSSL's headers, which no public header does.
#pragma once

#include <sluice/detail/result.hpp>
#include <sluice/tls.hpp>

#include <memory>
#include <new>
#include <string>
#include <system_error>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace sluice::inline v0_1::detail {

template <auto Free>
struct OpensslFree {
    template <class T>
    void operator()(T* object) const noexcept {
        Free(object);
    }
};

using X509Ptr = std::unique_ptr<X509, OpensslFree<X509_free>>;
using X509CrlPtr = std::unique_ptr<X509_CRL, OpensslFree<X509_CRL_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, OpensslFree<EVP_PKEY_free>>;
using OcspResponsePtr = std::unique_ptr<OCSP_RESPONSE, OpensslFree<OCSP_RESPONSE_free>>;
using BioPtr = std::unique_ptr<BIO, OpensslFree<BIO_free_all>>;

/// Makes OpenSSL's reasons error codes, so that texts end as those of system errors do.
class OpensslCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "openssl"; }
    std::string message(int value) const override {
        const char* const reason = ERR_reason_error_string(static_cast<unsigned long>(value));
        return reason != nullptr ? reason : "OpenSSL error " + std::to_string(value);
    }
};

inline const std::error_category& openssl_category() noexcept {
    static const OpensslCategory category;
    return category;
}

/// An entry of the error queue as a code. Entries that stand for an error of the system become that.
inline std::error_code openssl_code(unsigned long entry) noexcept {
    if (ERR_SYSTEM_ERROR(entry)) {
        return system_error(ERR_GET_REASON(entry));
    }
    return {static_cast<int>(entry), openssl_category()};
}

/// Empties the thread's error queue. ERR_clear_error() goes over all its sixteen places, filled or not,
/// which takes as long as 800 instructions.
inline void forget_errors() noexcept {
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/// Throws what stands first in the queue, the most specific reason, and empties the queue.
[[noreturn]] inline void throw_openssl(const std::string& what) {
    const unsigned long entry = ERR_peek_error();
    ERR_clear_error();
    if (entry == 0 || ERR_GET_REASON(entry) == ERR_R_MALLOC_FAILURE) {
        throw std::bad_alloc();
    }
    throw TlsConfigError(openssl_code(entry), what);
}

/// For options that contradict each other or lack something.
[[noreturn]] inline void throw_config(const std::string& what) {
    throw TlsConfigError(std::make_error_code(std::errc::invalid_argument), what);
}

inline void require_openssl(bool ok, const char* what) {
    if (!ok) {
        throw_openssl(what);
    }
}

}  // namespace sluice::inline v0_1::detail
