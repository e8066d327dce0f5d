// What the engine needs of a TlsContext: an SSL object for one connection, and words for what
// became of it.
//
// The only internal header, beside the engine's, whose users see OpenSSL. It knows no transport and
// no loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_st;

namespace sluice::inline v0_1 {
class TlsContext;
class TlsFailure;
}  // namespace sluice::inline v0_1

namespace sluice::inline v0_1::detail {

struct TlsDetails;

struct SslDelete {
    void operator()(ssl_st* ssl) const noexcept;
};
using SslPtr = std::unique_ptr<ssl_st, SslDelete>;

/// One end of a TLS connection to be.
struct TlsEndpoint {
    bool server_side = false;
    /// The peer's name or literal address, for SNI and verification; a client's is checked by
    /// check_server_name(). Empty: neither, which only a context that accepts any certificate may
    /// do.
    std::string host;
    /// Keeps the sessions of different services of a host apart.
    std::uint16_t port = 0;
};

/// What OpenSSL's callbacks note down about one connection. They find it by record_of(), so it must
/// stay put and outlive the SSL object.
class TlsRecordOfTroubles {
public:
    TlsRecordOfTroubles() = default;
    TlsRecordOfTroubles(const TlsRecordOfTroubles&) = delete;
    TlsRecordOfTroubles& operator=(const TlsRecordOfTroubles&) = delete;
    ~TlsRecordOfTroubles() { forget_peer_secret(); }

    /// What hardly any connection has.
    struct Words {
        std::string subject;
        std::string issuer;
        /// The names of the peer's certificate when none is the one asked for.
        std::string names;
        /// What an SNI or ALPN decision was refused for.
        std::string refusal;
        /// Why the kernel does not seal or open, if OpenSSL did hand over the keys.
        std::string ktls_refusal;
    };
    [[nodiscard]] const Words& words() const noexcept { return words_ ? *words_ : no_words; }
    /// Room for them. May throw std::bad_alloc.
    [[nodiscard]] Words& noted_words() {
        if (words_ == nullptr) {
            words_ = std::make_unique<Words>();
        }
        return *words_;
    }

    int verify_code = 0;
    int verify_depth = -1;
    int alert_sent = -1;  // RFC 8446 alert descriptions; -1: none
    int alert_received = -1;

    // ---- not trouble, but what callbacks need to know of this connection ----

    /// Server: the name the client asked for, in lower case. Client: the peer under whose name
    /// sessions are kept; empty if they are not.
    std::string peer_name;
    /// Server: the client's first traffic secret, once ask_for_peer_secret() has worked.
    std::vector<std::byte> peer_secret;
    void forget_peer_secret() noexcept;
    /// Server: a ClientHello was seen. A second one follows a HelloRetryRequest and must ask for the
    /// same name, since the decision has been made.
    bool hello_seen = false;

private:
    static const Words no_words;
    std::unique_ptr<Words> words_;
};

/// The record that make_ssl() was given; null for SSL objects that a user has made from
/// native_handle(), and that have no app data.
TlsRecordOfTroubles* record_of(const ssl_st& ssl) noexcept;

/// Throws std::invalid_argument, naming the value, for a name that cannot be verified or sent:
/// empty, longer than 253 bytes, not ASCII, with a NUL, beginning or ending in an odd place.
void check_server_name(std::string_view name, const char* method);

/// A fresh SSL object of `context` in the state of the endpoint's role, with SNI, host check and,
/// for clients, a session to resume. `troubles` is filled by its callbacks. Throws TlsConfigError or
/// std::bad_alloc. A context of the wrong role, and a host that is missing or no name, are a
/// std::invalid_argument.
SslPtr make_ssl(const TlsContext& context, const TlsEndpoint& endpoint,
                TlsRecordOfTroubles& troubles);

/// What the connection's context, which an SNI table may have chosen, says of record layers.
[[nodiscard]] bool wants_kernel(const ssl_st& ssl, bool sending) noexcept;
[[nodiscard]] bool leaves_records_to_openssl(const ssl_st& ssl) noexcept;

/// Has the secret under which the peer will send put into its `troubles`, while a server waits for the
/// client's Finished. Where that cannot be done it is not: the peer must not be asked for a
/// certificate, and OpenSSL must be one whose ways we know.
void ask_for_peer_secret(ssl_st& ssl) noexcept;

/// Turns OpenSSL's error queue, which it empties, and `troubles` into words.
TlsFailure describe_failure(ssl_st& ssl, const TlsRecordOfTroubles& troubles, const char* phase);

/// Everything TlsInfo can be asked for, of a connection whose handshake is complete.
std::shared_ptr<const TlsDetails> describe_connection(ssl_st& ssl, int layer);

}  // namespace sluice::inline v0_1::detail

// Behind all that: header-only, the definitions that come with it need the declarations above.
#include <sluice/tls.hpp>
