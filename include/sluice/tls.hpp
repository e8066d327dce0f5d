// TLS: what an endpoint presents and demands (TlsContext), what a connection became (TlsInfo), and
// why one failed (TlsFailure, TlsError).
//
// The defaults are the safe ones: clients verify chain and host name against the system's trust
// store, versions below TLS 1.2 and renegotiation do not exist, a certificate's common name never
// counts as a host name (RFC 9525). No OpenSSL header is needed; native_handle() is for experts.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>
#include <sluice/error.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st;

namespace sluice::inline v0_1 {

class TlsContext;

namespace detail {
class TlsContextState;
struct TlsSettings;
struct TlsDetails;
}  // namespace detail

/// The numbers on the wire.
enum class TlsVersion : std::uint16_t { tls1_2 = 0x0303, tls1_3 = 0x0304 };

/// What a server wants of its clients' certificates.
enum class ClientCertificates : std::uint8_t {
    ignored,   ///< Not asked for.
    optional,  ///< Asked for; verified if there is one.
    required,  ///< A client without a valid one is refused.
};

/// What the kernel does of TLS.
enum class KernelTls : std::uint8_t {
    off,               ///< Nothing.
    send,              ///< It seals what is sent.
    send_and_receive,  ///< And opens what is received.
};

/// How a TlsContext is made. Setters only store, and throw std::invalid_argument for values that can
/// never be right, such as an empty file name; files are read by TlsContext::client() and server().
class SLUICE_API TlsOptions {
public:
    TlsOptions();
    ~TlsOptions();
    ///@{
    /// Copies or takes over what was set.
    TlsOptions(const TlsOptions& other);
    TlsOptions(TlsOptions&& other) noexcept;
    TlsOptions& operator=(TlsOptions other) noexcept;
    ///@}

    // ---- whom to trust ----

    /// Trusts the certificates of this PEM file, and no longer the system's store. An intermediate
    /// or a server's own certificate may stand there as well. Repeatable.
    TlsOptions& certificate_authority_file(std::string pem_file);
    /// The same from memory.
    TlsOptions& certificate_authority(std::string pem);
    /// Trusts the system's store beside the authorities given. The environment variables
    /// SSL_CERT_FILE and SSL_CERT_DIR move it (openssl-env(7)).
    TlsOptions& system_certificate_authorities(bool on);
    /// Refuses certificates on this PEM revocation list; each issuer in the chain then needs a list
    /// that is not out of date. Repeatable.
    TlsOptions& revocation_list_file(std::string pem_file);
    /// Accepts any certificate for any name: the connection is encrypted, but to whom is unknown.
    TlsOptions& insecure_accept_any_certificate();
    /// For servers; ignored by default. With it an authority must be given, the system's store
    /// would admit anybody; or insecure_accept_any_certificate(), to judge certificates by
    /// oneself.
    TlsOptions& client_certificates(ClientCertificates policy);

    // ---- who we are ----

    /// Our certificate, followed by its issuers, and its key, as PEM files. `password` decrypts the
    /// key; without one an encrypted key is an error, nobody is prompted.
    TlsOptions& identity_files(std::string certificate_file, std::string key_file,
                               std::string password = {});
    /// The same from memory.
    TlsOptions& identity(std::string certificate_pem, std::string key_pem,
                         std::string password = {});
    /// An OCSP response (DER) to staple, from a file that reload() reads again.
    TlsOptions& ocsp_response_file(std::string der_file);

    // ---- what to speak ----

    ///@{
    /// The oldest (by default TLS 1.2) and the newest version (by default the newest there is).
    TlsOptions& minimum_version(TlsVersion version);
    TlsOptions& maximum_version(TlsVersion version);
    ///@}
    /// OpenSSL cipher list for TLS 1.2. Default: ECDHE with AES-GCM or ChaCha20 only.
    TlsOptions& ciphers(std::string list);
    /// Cipher suites of TLS 1.3, separated by colons.
    TlsOptions& ciphersuites(std::string list);
    /// Key exchange groups by preference, separated by colons.
    TlsOptions& groups(std::string list);
    /// Application protocols by preference, e.g. {"h2", "http/1.1"}. Each has 1 to 255 bytes
    /// (std::invalid_argument). A server chooses by its own order.
    TlsOptions& alpn(std::vector<std::string> protocols);
    /// For servers: refuses a client without a protocol in common, or without any (alert
    /// no_application_protocol), instead of going on without one.
    TlsOptions& alpn_required(bool on);

    // ---- servers with several names ----

    /// Uses `context`, a server's, for clients that ask for `name`: a host name, or "*.domain" for
    /// one label. Compared without regard to case; exact names win. Certificate, client
    /// certificates, versions, protocols and resumption are then those of `context`, its own names
    /// are not looked at. std::invalid_argument for what is no name, and for a client's context.
    TlsOptions& server_name(std::string_view name, TlsContext context);
    /// Asked for names not in the table, on the loop's thread, with the name in lower case; nothing
    /// means this context itself. What it throws fails the handshake (alert internal_error). The
    /// name is whatever the client sent: not empty, at most 255 bytes, no NUL.
    TlsOptions& server_name_callback(
        std::function<std::optional<TlsContext>(std::string_view)> callback);
    /// Refuses clients that ask for a name which is neither in the table, nor known to the callback,
    /// nor in this context's own certificate (alert unrecognized_name). A client that names nobody
    /// is served.
    TlsOptions& require_known_server_name(bool on);

    // ---- resumption ----

    /// Server: offers tickets. Client: keeps up to four for each host and port, and uses each once;
    /// contexts share none, so that another ALPN list or another trust never resumes them. Default
    /// on.
    TlsOptions& session_resumption(bool on);
    /// Sessions kept at most, a server's for TLS 1.2 without tickets; at least 1. Default 1024.
    TlsOptions& session_cache_size(std::size_t sessions);

    // ---- speed ----

    /// Leaves the data of TLS 1.3 to OpenSSL's record layer, like everything else. Default off: the
    /// library itself seals what is sent and, as a server that asks for no client certificate, opens
    /// what is received, with OpenSSL's ciphers and the keys that OpenSSL has agreed on. That takes
    /// less than half the time for small records and saves two copies of large ones.
    TlsOptions& openssl_record_layer(bool on);

    /// Whether the kernel shall seal what is sent, and open what is received, where it can: over a TCP
    /// socket of ours, with a kernel that has TLS (Linux 5.1 with the module `tls`) and a cipher that
    /// OpenSSL hands over to it (AES-GCM and ChaCha20-Poly1305; for receiving, OpenSSL 3.0 does so
    /// with TLS 1.2 only). Anywhere else it goes on without, and TlsInfo::ktls_reason() says why.
    /// Default off: it pays for files, which Transport::sendfile() then leaves to the kernel; for
    /// small messages it does not, and receiving so is slower on most machines. A connection whose
    /// kernel seals ends with Error::tls_key_update if its peer asks for other keys (RFC 8446,
    /// 4.6.3), which the kernel cannot be given.
    TlsOptions& ktls(KernelTls use);

    // ---- debugging ----

    /// Appends the secrets of every connection to this file, as Wireshark reads them; nobody but the
    /// owner can read it. A symbolic link, another user's file and what is no regular file are
    /// refused. Never on by itself, nor by an environment variable.
    TlsOptions& key_log_file(std::string file);

private:
    friend class detail::TlsContextState;
    friend class TlsContext;
    std::unique_ptr<detail::TlsSettings> settings_;
};

/// Thrown when a context cannot be made: what() names the file or option and the reason. The code is
/// the system's for a file that cannot be read, std::errc::invalid_argument for options that
/// contradict each other, and OpenSSL's (category "openssl") otherwise.
class SLUICE_API TlsConfigError : public std::system_error {
public:
    /// `what` is the whole message.
    TlsConfigError(std::error_code code, const std::string& what);
    ~TlsConfigError() override;
};

/// Certificates, trust and parameters of an endpoint; a cheap handle, shared by any number of
/// connections, loops and threads.
class SLUICE_API TlsContext {
public:
    /// Verifies servers against the system's trust store, unless `options` say otherwise. Throws
    /// TlsConfigError.
    static TlsContext client(TlsOptions options = TlsOptions());
    /// Serves with this certificate chain and key (PEM). Throws TlsConfigError.
    static TlsContext server(std::string certificate_file, std::string key_file,
                             TlsOptions options = TlsOptions());
    /// Serves with the identity in `options`.
    static TlsContext server(TlsOptions options);

    /// Reads every file again. New connections use the new contents, existing ones are not touched,
    /// sessions from before are not resumed: they were admitted by the old rules. Throws
    /// TlsConfigError if anything is wrong with the files, and then has changed nothing. Any
    /// thread; it blocks for as long as reading takes.
    void reload();

    /// True if it was made by server().
    [[nodiscard]] bool is_server() const noexcept;
    /// OpenSSL's SSL_CTX that new connections use, owned by this context and replaced by reload().
    /// Not to be changed once connections exist. Its ex_data, callbacks and session id context are
    /// the library's.
    [[nodiscard]] ssl_ctx_st* native_handle() const noexcept;

    friend bool operator==(const TlsContext&, const TlsContext&) = default;

private:
    friend class detail::TlsContextState;
    explicit TlsContext(std::shared_ptr<detail::TlsContextState> state) noexcept
        : state_(std::move(state)) {}

    std::shared_ptr<detail::TlsContextState> state_;
};

/// An X.509 certificate, decoded.
class TlsCertificate {
public:
    /// RFC 2253 form: "CN=example.org,O=Example".
    std::string subject;
    /// Of whoever signed it, in the same form.
    std::string issuer;
    /// Subject alternative names: "DNS:example.org", "IP:192.0.2.1".
    std::vector<std::string> names;
    /// Valid from then on.
    std::chrono::system_clock::time_point not_before;
    /// Valid until then.
    std::chrono::system_clock::time_point not_after;
    /// Hexadecimal.
    std::string serial_number;
    /// As it was sent.
    std::vector<std::byte> der;
    /// SHA-256 of `der`, hexadecimal in lower case.
    std::string fingerprint;
};

/// What a TLS connection turned out to be; get_extra_info(extra::tls). False before the handshake
/// is complete and on transports without TLS.
class SLUICE_API TlsInfo {
public:
    TlsInfo() noexcept = default;
    /// Made by the transport.
    explicit TlsInfo(std::shared_ptr<const detail::TlsDetails> details) noexcept
        : details_(std::move(details)) {}
    /// False when there is nothing to tell.
    explicit operator bool() const noexcept { return details_ != nullptr; }

    // All of these throw std::logic_error when there is nothing (operator bool).

    /// "TLSv1.3".
    [[nodiscard]] const std::string& version() const;
    /// "TLS_AES_128_GCM_SHA256".
    [[nodiscard]] const std::string& cipher() const;
    /// The length of the cipher's key.
    [[nodiscard]] int cipher_bits() const;
    /// Empty if none was agreed on.
    [[nodiscard]] const std::string& alpn() const;
    /// The name the client asked for; empty if none.
    [[nodiscard]] const std::string& server_name() const;
    /// True if the handshake was shortened by an earlier session.
    [[nodiscard]] bool session_reused() const;
    /// The peer's own; nothing if it sent none.
    [[nodiscard]] const std::optional<TlsCertificate>& peer_certificate() const;
    /// As the peer sent it, the leaf first.
    [[nodiscard]] const std::vector<TlsCertificate>& peer_chain() const;
    /// From the leaf to the trust anchor; empty when nothing was verified, as in a resumed session.
    [[nodiscard]] const std::vector<TlsCertificate>& verified_chain() const;
    /// "tls-exporter" (RFC 9266), "tls-unique" (RFC 5929, TLS 1.2 only: empty otherwise) or
    /// "tls-server-end-point"; std::invalid_argument for other types.
    [[nodiscard]] std::vector<std::byte> channel_binding(std::string_view type) const;
    /// 0 directly on a socket, 1 for TLS inside TLS, and so on.
    [[nodiscard]] int layer() const;
    ///@{
    /// Whether the kernel seals what is sent, opens what is received, and if it does not do both, why
    /// not: one clause, else empty.
    [[nodiscard]] bool ktls_send() const;
    [[nodiscard]] bool ktls_recv() const;
    [[nodiscard]] const std::string& ktls_reason() const;
    ///@}

private:
    [[nodiscard]] const detail::TlsDetails& details() const;

    std::shared_ptr<const detail::TlsDetails> details_;
};

/// Why TLS failed. get_extra_info(extra::tls_failure) and TlsError::failure().
class TlsFailure {
public:
    /// "handshake", "data" or "shutdown"; empty when nothing failed.
    std::string phase;
    /// One line for a log: everything below that is known.
    std::string text;
    /// The number of X509_V_ERR_* (X509_STORE_CTX_get_error(3)); 0 if verification is not the reason.
    int verify_code = 0;
    /// What that number means, in words.
    std::string verify_text;
    /// 0 is the peer's own certificate, 1 its issuer, and so on.
    int verify_depth = -1;
    /// Of the certificate that failed.
    std::string subject;
    /// Of whoever signed that certificate.
    std::string issuer;
    /// The name that was asked for.
    std::string host;
    /// "bad_certificate" and so on (RFC 8446, 6.2); empty if none.
    std::string alert_sent;
    /// The same for the other direction.
    std::string alert_received;

    /// False when nothing failed.
    explicit operator bool() const noexcept { return !phase.empty(); }
};

/// Thrown by create_connection and start_tls when TLS, not the network, is what failed. what()
/// says why and names the peer.
class SLUICE_API TlsError : public std::system_error {
public:
    /// `address` is the peer's.
    TlsError(std::error_code code, TlsFailure failure, std::string address);
    ~TlsError() override;
    /// Everything that is known about it.
    [[nodiscard]] const TlsFailure& failure() const noexcept { return *failure_; }
    /// The peer's address.
    [[nodiscard]] const std::string& address() const noexcept { return *address_; }

private:
    // Shared: copying an exception must not throw.
    std::shared_ptr<const TlsFailure> failure_;
    std::shared_ptr<const std::string> address_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/tls_certificate.ipp>
#include <sluice/impl/tls_context.ipp>
#include <sluice/impl/tls_failure.ipp>
#include <sluice/impl/tls_info.ipp>
#include <sluice/impl/tls_options.ipp>
#include <sluice/impl/tls_session_cache.ipp>
#endif
