// Makes key and certificate: see tls_certificate.hpp.
#include "tls_certificate.hpp"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

namespace bench {

namespace {

constexpr long validity_seconds = 30L * 24 * 3600;

struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using File = std::unique_ptr<std::FILE, Free>;

Certificate self_signed(EVP_PKEY* key) {
    Certificate certificate(X509_new());
    X509* const x509 = certificate.get();
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), validity_seconds);
    X509_set_pubkey(x509, key);
    X509_NAME* const name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
    X509_set_issuer_name(x509, name);
    if (X509_sign(x509, key, EVP_sha256()) == 0) {
        throw std::runtime_error("OpenSSL cannot sign a certificate");
    }
    return certificate;
}

}  // namespace

void make_tls_file(const std::string& path) {
    const Key key(EVP_EC_gen("P-256"));
    if (!key) {
        throw std::runtime_error("OpenSSL cannot make a key");
    }
    const Certificate certificate = self_signed(key.get());
    // Under another name until it is complete, and closed to others from the first byte on.
    const std::string unfinished = path + "." + std::to_string(getpid());
    const int fd = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const File file(fd >= 0 ? fdopen(fd, "w") : nullptr);
    if (!file || PEM_write_X509(file.get(), certificate.get()) != 1 ||
        PEM_write_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
        std::fflush(file.get()) != 0) {
        throw std::system_error(errno, std::generic_category(), "cannot write " + unfinished);
    }
    std::filesystem::rename(unfinished, path);
}

}  // namespace bench
