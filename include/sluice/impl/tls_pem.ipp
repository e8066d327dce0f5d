// Reading certificates, keys and lists into an SSL_CTX. Every failure names the file and the reason.
#pragma once

#include <sluice/impl/tls_context_state.hpp>
#include <sluice/impl/tls_openssl.ipp>

#include <sluice/detail/sys_roots.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <openssl/pem.h>

namespace sluice::inline v0_1::detail {

// What the C library differs in. A program that is started meanwhile must not inherit a private key.
#ifdef _WIN32
inline constexpr const char* read_without_inheritance = "rbN";
/// Its numbers are none of Windows' own.
inline const std::error_category& errno_category() noexcept {
    return std::generic_category();
}
#else
inline constexpr const char* read_without_inheritance = "rbe";
inline const std::error_category& errno_category() noexcept {
    return std::system_category();
}
#endif

/// Throws what errno says of `file`.
[[noreturn]] inline void throw_unreadable(const std::string& file, const char* what) {
    const std::error_code reason(errno, errno_category());
    throw TlsConfigError(reason, "cannot read the " + std::string(what) + " '" + file + "'");
}

/// The content of `file`. `what` it is to be is part of the error's text.
inline std::string read_tls_file(const std::string& file, const char* what) {
    if (file.find('\0') != std::string::npos) {
        throw_config("the name of the " + std::string(what) + " has a NUL in it");
    }
    const std::unique_ptr<std::FILE, FileClose> handle(
        std::fopen(file.c_str(), read_without_inheritance));
    if (!handle) {
        throw_unreadable(file, what);
    }
    std::string content;
    std::array<char, 16384> piece;
    while (const std::size_t count = std::fread(piece.data(), 1, piece.size(), handle.get())) {
        content.append(piece.data(), count);
        if (content.size() > tls_limits::file_bytes) {
            errno = EFBIG;
            throw_unreadable(file, what);
        }
    }
    if (std::ferror(handle.get()) != 0) {  // a directory opens, but cannot be read
        throw_unreadable(file, what);
    }
    if (content.empty()) {
        throw_config("the " + std::string(what) + " '" + file + "' is empty");
    }
    return content;
}

/// One PEM source, ready to be read from, and how to call it in an error's text.
class PemReader {
public:
    PemReader(const TlsPem& source, const char* what)
        : text_(source.file.empty() ? source.text : read_tls_file(source.file, what)),
          name_("the " + std::string(what) +
                (source.file.empty() ? " in memory" : " '" + source.file + "'")) {
        if (text_.size() > tls_limits::file_bytes) {
            throw_config(name_ + " is too large");
        }
        bio_.reset(BIO_new_mem_buf(text_.data(), static_cast<int>(text_.size())));
        if (!bio_) {
            throw std::bad_alloc();
        }
        ERR_clear_error();
    }
    PemReader(const PemReader&) = delete;
    PemReader& operator=(const PemReader&) = delete;
    ~PemReader() { OPENSSL_cleanse(text_.data(), text_.size()); }

    [[nodiscard]] BIO* bio() const noexcept { return bio_.get(); }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// True at the end of the input, when at least one object was read before; throws when the
    /// objects ended for another reason.
    [[nodiscard]] bool ended(bool any_before) const {
        const unsigned long entry = ERR_peek_last_error();
        const bool end =
            ERR_GET_LIB(entry) == ERR_LIB_PEM && ERR_GET_REASON(entry) == PEM_R_NO_START_LINE;
        if (!end || !any_before) {
            throw_openssl("cannot read " + name_);
        }
        ERR_clear_error();
        return true;
    }

private:
    std::string text_;
    std::string name_;
    BioPtr bio_;
};

/// What a key's password callback is given, and what became of it.
struct PasswordRequest {
    const std::string& password;
    bool asked = false;

    // Never the terminal, which is OpenSSL's default: a server that is restarted at night would
    // wait there.
    static int answer(char* into, int size, int, void* self) noexcept {
        auto& request = *static_cast<PasswordRequest*>(self);
        request.asked = true;
        const std::string& password = request.password;
        if (password.empty() || password.size() > static_cast<std::size_t>(size)) {
            return -1;
        }
        std::copy_n(password.data(), password.size(), into);
        return static_cast<int>(password.size());
    }
};

inline KeyPtr read_key(const TlsPem& source, const std::string& password) {
    const PemReader reader(source, "private key");
    PasswordRequest request{password};
    KeyPtr key(PEM_read_bio_PrivateKey(reader.bio(), nullptr, PasswordRequest::answer, &request));
    if (!key && request.asked) {
        if (password.empty()) {
            throw_config(reader.name() + " is encrypted and no password was given");
        }
        throw_openssl("cannot decrypt " + reader.name() + " with the password given");
    }
    if (!key) {
        throw_openssl("cannot read " + reader.name());
    }
    return key;
}

inline std::vector<X509Ptr> read_certificates(const TlsPem& source, const char* what,
                                              std::string& name) {
    const PemReader reader(source, what);
    name = reader.name();
    std::vector<X509Ptr> certificates;
    for (;;) {
        X509Ptr certificate(PEM_read_bio_X509(reader.bio(), nullptr, nullptr, nullptr));
        if (!certificate && reader.ended(!certificates.empty())) {
            return certificates;
        }
        certificates.push_back(std::move(certificate));
    }
}

inline void load_identity(SSL_CTX* context, const TlsSettings& settings) {
    if (!settings.certificate.given()) {
        return;
    }
    std::string name;
    const std::vector<X509Ptr> chain = read_certificates(settings.certificate, "certificate", name);
    if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) {
        throw_openssl("cannot use " + name);
    }
    for (std::size_t i = 1; i < chain.size(); ++i) {
        if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) {
            throw_openssl("cannot use an issuer in " + name);
        }
    }
    const KeyPtr key = read_key(settings.key, settings.password);
    if (X509_check_private_key(chain.front().get(), key.get()) != 1) {
        const std::string key_name =
            settings.key.file.empty() ? "in memory" : "'" + settings.key.file + "'";
        throw_openssl("the private key " + key_name + " does not belong to " + name);
    }
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
        throw_openssl("cannot use the private key of " + name);
    }
}

/// Trusts the authorities given. On a server their names also tell clients which certificate to
/// choose.
inline void load_authorities(SSL_CTX* context, const TlsSettings& settings, bool is_server) {
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    for (const TlsPem& source : settings.authorities) {
        std::string name;
        for (const X509Ptr& authority : read_certificates(source, "certificate authority", name)) {
            if (X509_STORE_add_cert(store, authority.get()) != 1 ||
                (is_server && SSL_CTX_add_client_CA(context, authority.get()) != 1)) {
                throw_openssl("cannot use " + name);
            }
        }
    }
}

/// Trusts those of the system.
inline void load_system_authorities(SSL_CTX* context) {
    require_openssl(SSL_CTX_set_default_verify_paths(context) == 1,
                    "cannot use the system's certificate authorities");
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    for (const std::string& root : sys::trusted_roots()) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(root.data());
        // One that OpenSSL does not understand is as good as not there.
        if (const X509Ptr authority{d2i_X509(nullptr, &bytes, static_cast<long>(root.size()))}) {
            X509_STORE_add_cert(store, authority.get());
        }
    }
    ERR_clear_error();
}

inline void load_revocation_lists(SSL_CTX* context, const TlsSettings& settings) {
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    for (const std::string& file : settings.revocation_list_files) {
        const PemReader reader({file, {}}, "revocation list");
        for (bool any = false;; any = true) {
            const X509CrlPtr list(PEM_read_bio_X509_CRL(reader.bio(), nullptr, nullptr, nullptr));
            if (!list && reader.ended(any)) {
                break;
            }
            if (X509_STORE_add_crl(store, list.get()) != 1) {
                throw_openssl("cannot use " + reader.name());
            }
        }
    }
}

}  // namespace sluice::inline v0_1::detail
