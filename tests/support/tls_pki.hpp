// Certificates for the TLS tests: made at run time, each when it is first asked for, as PEM text
// and as files of a temporary folder that goes away with the program.
//
//   root ─ intermediate ─ server, client, and every end that a test issues
//   unknown root ─ unknown ends            self-signed end
//
// Keys are P-256, which is fast to make, unless a function says otherwise. It must not know the
// library.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::test {

/// A certificate with its key. Copies are cheap enough for tests.
struct TlsIdentity {
    /// The certificate followed by its issuers, without the root.
    std::string pem;
    std::string key_pem;
    /// The same as files, readable until the program ends.
    std::string certificate_file;
    std::string key_file;
    /// The root that vouches for it, as PEM and as a file.
    std::string root_pem;
    std::string root_file;
    /// Where the certificate says it comes from and to whom it belongs: "CN=Sluice Test
    /// Intermediate".
    std::string subject;
    std::string issuer;
};

enum class TlsKey { p256, rsa2048, ed25519 };

/// Who signs an end certificate.
enum class TlsIssuer {
    intermediate,  ///< Of the authority that root_file() names.
    root,          ///< The root itself: the chain is one shorter.
    unknown,       ///< Of the authority that unknown_root_file() names.
    itself,
};

/// What an end certificate says. The defaults are valid from an hour ago for a day.
struct TlsCertificateSpec {
    std::string common_name = "issued by a test";
    /// Subject alternative names as OpenSSL writes them: "DNS:example.test", "IP:::1". None: no
    /// such extension.
    std::vector<std::string> names = {};
    TlsKey key = TlsKey::p256;
    TlsIssuer issuer = TlsIssuer::intermediate;
    std::chrono::hours not_before{-1};
    std::chrono::hours not_after{24};
    /// "serverAuth" or "clientAuth".
    std::string usage = "serverAuth";
    /// Further extensions of this many bytes: an oversized certificate.
    std::size_t padding_bytes = 0;
};

/// What the revocation lists and OCSP answers say about a certificate.
enum class TlsStanding { good, revoked };

/// All of it. Any thread.
class TlsPki {
public:
    /// The names of server(), in the order of the certificate.
    static constexpr std::string_view server_names[] = {"DNS:example.test", "DNS:*.wild.test",
                                                        "DNS:localhost", "IP:127.0.0.1", "IP:::1"};
    /// What decrypts encrypted_key().
    static constexpr std::string_view password = "correct horse";

    TlsPki();
    TlsPki(const TlsPki&) = delete;
    TlsPki& operator=(const TlsPki&) = delete;
    ~TlsPki();

    /// The root certificate that all but unknown(), self_signed() and server_ed25519() lead to.
    [[nodiscard]] const std::string& root_file();
    [[nodiscard]] const std::string& root_pem();
    /// The root that nobody trusts.
    [[nodiscard]] const std::string& unknown_root_file();

    // ---- good ones ----

    /// example.test, *.wild.test, localhost, 127.0.0.1, ::1; the chain holds the intermediate.
    [[nodiscard]] const TlsIdentity& server();
    /// The same names with an RSA key of 2048 bits (a tenth of a second to make).
    [[nodiscard]] const TlsIdentity& server_rsa();
    /// The same names, Ed25519 from end to root: every signature has the same length, so that a
    /// handshake has the same number of bytes each time. Its root is root_file of the identity.
    [[nodiscard]] const TlsIdentity& server_ed25519();
    /// Only other.test: the wrong name for whoever asks for example.test.
    [[nodiscard]] const TlsIdentity& other_server();
    /// A client's, subject "CN=client".
    [[nodiscard]] const TlsIdentity& client();

    // ---- bad ones; the names are server()'s unless said otherwise ----

    [[nodiscard]] const TlsIdentity& expired();
    [[nodiscard]] const TlsIdentity& not_yet_valid();
    [[nodiscard]] const TlsIdentity& self_signed();
    /// From the unknown authority.
    [[nodiscard]] const TlsIdentity& unknown();
    /// A client's from the unknown authority.
    [[nodiscard]] const TlsIdentity& unknown_client();
    /// The common name is example.test, there is no alternative name.
    [[nodiscard]] const TlsIdentity& common_name_only();
    /// On the list of revocation_list_file().
    [[nodiscard]] const TlsIdentity& revoked();

    // ---- the rest ----

    /// The certificate of server() with its key encrypted (AES-256); `password` decrypts it.
    [[nodiscard]] const TlsIdentity& encrypted_key();
    /// The lists of root and intermediate, valid for a day; revoked() is on them.
    [[nodiscard]] const std::string& revocation_list_file();
    /// The same lists, out of date since yesterday.
    [[nodiscard]] const std::string& outdated_revocation_list_file();
    /// A signed OCSP answer (DER) about server().
    [[nodiscard]] std::string ocsp_response_file(TlsStanding standing);

    /// A new end certificate.
    [[nodiscard]] TlsIdentity issue(const TlsCertificateSpec& spec);
    /// An end certificate for example.test at the end of a chain of `depth` certificates without the
    /// root, which is root_file().
    [[nodiscard]] TlsIdentity issue_deep(std::size_t depth);

    /// A new file of the temporary folder with this content; its path.
    std::string write_file(const std::string& name, std::string_view content);
    /// The temporary folder, without a slash at the end.
    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }

private:
    struct Authorities;

    Authorities& authorities();
    const TlsIdentity& remembered(const std::string& name, const TlsCertificateSpec& spec);
    const TlsIdentity& put(const std::string& name, TlsIdentity identity);
    const TlsIdentity* find(const std::string& name);
    TlsIdentity save(const std::string& name, TlsIdentity identity);
    const std::string& revocation_list(const std::string& name, std::chrono::hours updated,
                                       std::chrono::hours next_update);

    // Recursive: most functions are made of others.
    std::recursive_mutex mutex_;
    std::string folder_;
    int files_ = 0;
    std::unique_ptr<Authorities> authorities_;
    std::map<std::string, TlsIdentity> identities_;
    std::map<std::string, std::string> lists_;
};

/// The one of this program, made when first called.
TlsPki& pki();

}  // namespace sluice::test
