// Building of SSL_CTX objects from settings, their replacement by reload(), and SSL objects for
// connections.
//
// Everything that can be decided once is decided here, so that a connection costs no more than
// SSL_new().
#pragma once

#include <sluice/impl/tls_client_hello.ipp>
#include <sluice/impl/tls_pem.ipp>

#include <sluice/address.hpp>
#include <sluice/detail/sys.hpp>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include <openssl/rand.h>

namespace sluice::inline v0_1 {

namespace detail {

SLUICE_INLINE void SslDelete::operator()(ssl_st* ssl) const noexcept {
    SSL_free(ssl);
}

SLUICE_INLINE void SslCtxDelete::operator()(ssl_ctx_st* context) const noexcept {
    SSL_CTX_free(context);
}

// ---- the generation and its SSL_CTX ----

using GenerationRef = std::shared_ptr<TlsGeneration>;

inline void free_generation(void*, void* generation, CRYPTO_EX_DATA*, int, long, void*) noexcept {
    delete static_cast<GenerationRef*>(generation);
}

/// Where an SSL_CTX keeps its generation. OpenSSL frees it with the SSL_CTX.
inline int generation_index() noexcept {
    static const int index =
        SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_generation);
    return index;
}

inline void set_generation(SSL_CTX* context, GenerationRef generation) {
    auto owned = std::make_unique<GenerationRef>(std::move(generation));
    require_openssl(SSL_CTX_set_ex_data(context, generation_index(), owned.get()) == 1,
                    "cannot make an SSL_CTX");
    static_cast<void>(owned.release());
}

SLUICE_INLINE TlsGeneration& TlsGeneration::of(const ssl_st* ssl) noexcept {
    return **static_cast<GenerationRef*>(
        SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), generation_index()));
}

inline void apply_parameters(SSL_CTX* context, const TlsSettings& settings) {
    if (settings.minimum_version > settings.maximum_version) {
        throw_config("minimum_version is above maximum_version");
    }
    SSL_CTX_set_min_proto_version(context, static_cast<int>(settings.minimum_version));
    SSL_CTX_set_max_proto_version(context, static_cast<int>(settings.maximum_version));
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 0);
    // As Debian has it, wherever we run: keys below 112 bits and SHA-1 signatures are refused.
    constexpr int security_level = 2;
    SSL_CTX_set_security_level(context, security_level);
    SSL_CTX_set_max_cert_list(context, tls_limits::chain_bytes);
    if (SSL_CTX_set_cipher_list(context, settings.ciphers.c_str()) != 1) {
        throw_openssl("cannot use the ciphers '" + settings.ciphers + "'");
    }
    if (SSL_CTX_set_ciphersuites(context, settings.ciphersuites.c_str()) != 1) {
        throw_openssl("cannot use the ciphersuites '" + settings.ciphersuites + "'");
    }
    ERR_clear_error();
    if (SSL_CTX_set1_groups_list(context, settings.groups.c_str()) != 1) {
        // OpenSSL gives no reason for a name it does not know.
        ERR_clear_error();
        throw_config("cannot use the groups '" + settings.groups + "'");
    }
}

inline void apply_protocols(SSL_CTX* context, const TlsSettings& settings, bool is_server) {
    if (settings.alpn.empty()) {
        return;
    }
    if (is_server) {
        SSL_CTX_set_alpn_select_cb(context, TlsCallbacks::select_protocol, nullptr);
        return;
    }
    std::string wire;
    for (const std::string& protocol : settings.alpn) {
        wire += static_cast<char>(static_cast<unsigned char>(protocol.size()));
        wire += protocol;
    }
    const auto* bytes = reinterpret_cast<const unsigned char*>(wire.data());
    // Zero is success, unlike everywhere else.
    require_openssl(
        SSL_CTX_set_alpn_protos(context, bytes, static_cast<unsigned int>(wire.size())) == 0,
        "cannot use the application protocols");
}

inline void apply_verification(SSL_CTX* context, const TlsSettings& settings, bool is_server) {
    X509_VERIFY_PARAM* const rules = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_hostflags(
        rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    X509_VERIFY_PARAM_set_depth(rules, tls_limits::chain_depth);

    const bool verifies =
        !settings.accept_any_certificate &&
        (!is_server || settings.client_certificates != ClientCertificates::ignored);
    const bool own_authorities = !settings.authorities.empty();
    if (is_server && verifies && !own_authorities) {
        throw_config(
            "client_certificates needs a certificate_authority: the system's authorities would "
            "vouch for anybody");
    }
    load_authorities(context, settings, is_server);
    if (own_authorities) {
        // Whoever is named as an authority is one, an intermediate, too.
        X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
    }
    if (verifies && (settings.system_authorities || !own_authorities)) {
        load_system_authorities(context);
    }
    if (!settings.revocation_list_files.empty()) {
        load_revocation_lists(context, settings);
        X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }

    int mode = SSL_VERIFY_PEER;
    if (is_server && settings.client_certificates == ClientCertificates::required) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    } else if (is_server ? settings.client_certificates == ClientCertificates::ignored
                         : settings.accept_any_certificate) {
        mode = SSL_VERIFY_NONE;
    }
    SSL_CTX_set_verify(
        context, mode,
        settings.accept_any_certificate ? TlsCallbacks::accept_any : TlsCallbacks::verify);
}

inline void apply_sessions(SSL_CTX* context, TlsGeneration& generation, bool is_server) {
    const TlsSettings& settings = *generation.settings;
    auto& id = generation.session_id_context;
    require_openssl(RAND_bytes(id.data(), TlsGeneration::session_id_bytes) == 1 &&
                        SSL_CTX_set_session_id_context(context, id.data(),
                                                       TlsGeneration::session_id_bytes) == 1,
                    "cannot make a session id context");
    if (!settings.session_resumption) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    } else if (is_server) {
        // OpenSSL makes two; each costs the server some 10 us, and a client uses one.
        SSL_CTX_set_num_tickets(context, 1);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
        SSL_CTX_sess_set_cache_size(context, static_cast<long>(settings.session_cache_size));
    } else {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, TlsCallbacks::new_session);
    }
}

inline void open_key_log(SSL_CTX* context, TlsGeneration& generation) {
    const std::string& file = generation.settings->key_log_file;
    if (file.empty()) {
        return;
    }
    const Result<std::FILE*> opened = sys::open_private_file(file);
    if (!opened.ok()) {
        throw TlsConfigError(opened.error(), "cannot open the key log '" + file + "'");
    }
    generation.key_log.reset(opened.value());
    std::setvbuf(generation.key_log.get(), nullptr, _IOLBF, BUFSIZ);
    SSL_CTX_set_keylog_callback(context, TlsCallbacks::key_log);
}

inline void apply_server_side(SSL_CTX* context, TlsGeneration& generation) {
    const TlsSettings& settings = *generation.settings;
    if (!settings.certificate.given()) {
        throw_config("a server needs an identity");
    }
    SSL_CTX_set_client_hello_cb(context, ClientHello::callback, nullptr);
    SSL_CTX_set_tlsext_servername_callback(context, TlsCallbacks::confirm_server_name);
    if (!settings.ocsp_response_file.empty()) {
        generation.ocsp_response = read_tls_file(settings.ocsp_response_file, "OCSP response");
        const auto* at = reinterpret_cast<const unsigned char*>(generation.ocsp_response.data());
        const OcspResponsePtr response(
            d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(generation.ocsp_response.size())));
        if (!response) {
            throw_openssl("cannot read the OCSP response '" + settings.ocsp_response_file + "'");
        }
        SSL_CTX_set_tlsext_status_cb(context, TlsCallbacks::staple);
    }
}

inline void free_secret_tap(void*, void* tap, CRYPTO_EX_DATA*, int, long, void*) noexcept {
    SSL_CTX_free(static_cast<SSL_CTX*>(tap));
}

/// Where a server's SSL_CTX keeps its secret tap. OpenSSL drops the reference with the SSL_CTX.
inline int secret_tap_index() noexcept {
    static const int index =
        SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_secret_tap);
    return index;
}

/// Adds an SSL_CTX to which connections change while their server waits for the client's Finished.
/// There is nothing to it but the certificate and a key log callback, which then hears one line: the
/// secret under which the client will send. With the callback in place from the start OpenSSL would print five of them
/// with 64 calls of sprintf each, which takes 17 us.
inline void add_secret_tap(SSL_CTX* context, const GenerationRef& generation) {
    if (generation->settings->leaves_records_to_openssl()) {
        return;
    }
    SslCtxRef tap(SSL_CTX_new(TLS_server_method()));
    require_openssl(tap != nullptr, "cannot make an SSL_CTX");
    set_generation(tap.get(), generation);
    const auto& id = generation->session_id_context;
    SSL_CTX_set_security_level(tap.get(), SSL_CTX_get_security_level(context));
    SSL_CTX_set_keylog_callback(tap.get(), TlsCallbacks::take_peer_secret);
    // For "tls-server-end-point": to give each connection its certificate back takes 2 us.
    X509* const certificate = SSL_CTX_get0_certificate(context);
    require_openssl(
        (certificate == nullptr || SSL_CTX_use_certificate(tap.get(), certificate) == 1) &&
            SSL_CTX_set_session_id_context(tap.get(), id.data(), TlsGeneration::session_id_bytes) ==
                1 &&
            SSL_CTX_set_ex_data(context, secret_tap_index(), tap.get()) == 1,
        "cannot make an SSL_CTX");
    static_cast<void>(tap.release());
}

SLUICE_INLINE SslCtxRef build_ssl_ctx(const std::shared_ptr<const TlsSettings>& settings,
                                      bool is_server) {
    ERR_clear_error();
    SslCtxRef context(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
    require_openssl(context != nullptr, "cannot make an SSL_CTX");
    const auto generation = std::make_shared<TlsGeneration>(settings);
    set_generation(context.get(), generation);

    SSL_CTX_set_info_callback(context.get(), TlsCallbacks::info);
    apply_parameters(context.get(), *settings);
    load_identity(context.get(), *settings);
    apply_verification(context.get(), *settings, is_server);
    apply_protocols(context.get(), *settings, is_server);
    apply_sessions(context.get(), *generation, is_server);
    if (is_server) {
        apply_server_side(context.get(), *generation);
        add_secret_tap(context.get(), generation);
    }
    open_key_log(context.get(), *generation);
    // Some successful calls leave entries; the next reader must not take them for its own.
    ERR_clear_error();
    return context;
}

// ---- the context ----

SLUICE_INLINE TlsContextState::TlsContextState(TlsOptions&& options, bool is_server)
    : settings_(std::move(options.settings_)),
      is_server_(is_server),
      current_(build_ssl_ctx(settings_, is_server)) {}

SLUICE_INLINE TlsContext TlsContextState::make(TlsOptions&& options, bool is_server) {
    return TlsContext(std::make_shared<TlsContextState>(std::move(options), is_server));
}

SLUICE_INLINE void TlsContextState::reload() {
    SslCtxRef fresh = build_ssl_ctx(settings_, is_server_);
    const std::lock_guard lock(mutex_);
    current_.swap(fresh);
}

SLUICE_INLINE SslCtxRef TlsContextState::current() const noexcept {
    const std::lock_guard lock(mutex_);
    SSL_CTX_up_ref(current_.get());
    return SslCtxRef(current_.get());
}

SLUICE_INLINE ssl_ctx_st* TlsContextState::native_handle() const noexcept {
    const std::lock_guard lock(mutex_);
    return current_.get();
}

// ---- record layers ----

SLUICE_INLINE bool wants_kernel(const ssl_st& ssl, bool sending) noexcept {
    const KernelTls wanted = TlsGeneration::of(&ssl).settings->ktls;
    return wanted == KernelTls::send_and_receive || (sending && wanted == KernelTls::send);
}

SLUICE_INLINE bool leaves_records_to_openssl(const ssl_st& ssl) noexcept {
    return TlsGeneration::of(&ssl).settings->leaves_records_to_openssl();
}

// ---- the record of troubles ----

inline const TlsRecordOfTroubles::Words TlsRecordOfTroubles::no_words;

SLUICE_INLINE TlsRecordOfTroubles* record_of(const ssl_st& ssl) noexcept {
    return static_cast<TlsRecordOfTroubles*>(SSL_get_app_data(&ssl));
}

// ---- the peer's secret ----

SLUICE_INLINE void TlsRecordOfTroubles::forget_peer_secret() noexcept {
    OPENSSL_cleanse(peer_secret.data(), peer_secret.size());
    peer_secret = std::vector<std::byte>();
}

SLUICE_INLINE void ask_for_peer_secret(ssl_st& ssl) noexcept {
    SSL_CTX* const context = SSL_get_SSL_CTX(&ssl);
    auto* const tap = static_cast<SSL_CTX*>(SSL_CTX_get_ex_data(context, secret_tap_index()));
    const auto key_log = SSL_CTX_get_keylog_callback(context);
    // With another SSL_CTX come other rules for certificates: with none to be checked that does not
    // matter. Set through native_handle(), a key log would lose a line, and read-ahead would take
    // data in with the client's Finished.
    if (tap == nullptr || SSL_get_verify_mode(&ssl) != SSL_VERIFY_NONE ||
        SSL_get_read_ahead(&ssl) != 0 || (key_log != nullptr && key_log != TlsCallbacks::key_log)) {
        return;
    }
    // The one that was chosen for this client, for "tls-server-end-point"; native_handle() may have given
    // the context several.
    X509* const certificate = SSL_get_certificate(&ssl);
    const X509Ptr kept(certificate != nullptr && X509_up_ref(certificate) == 1 ? certificate
                                                                               : nullptr);
    if (SSL_get_info_callback(&ssl) == nullptr) {
        SSL_set_info_callback(&ssl, SSL_CTX_get_info_callback(context));
    }
    if (kept != nullptr && SSL_set_SSL_CTX(&ssl, tap) != nullptr &&
        SSL_get_certificate(&ssl) != kept.get() && SSL_use_certificate(&ssl, kept.get()) != 1) {
        SSL_set_SSL_CTX(&ssl, context);
    }
    forget_errors();  // without the secret OpenSSL opens what arrives
}

// ---- one connection ----

inline void apply_host(SSL* ssl, const TlsSettings& settings, const TlsEndpoint& endpoint) {
    if (endpoint.host.empty()) {
        if (!settings.accept_any_certificate) {
            throw std::invalid_argument(
                "a TLS client needs the name of the server to verify its certificate");
        }
        return;
    }
    check_server_name(endpoint.host, "server name");
    X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl);
    const std::string ip(without_zone(endpoint.host));
    if (SocketAddress::parse(ip, 0)) {
        // RFC 6066, 3: literals are not permitted as server names.
        require_openssl(X509_VERIFY_PARAM_set1_ip_asc(rules, ip.c_str()) == 1,
                        "cannot verify an address");
        return;
    }
    std::string name = endpoint.host;
    if (name.ends_with('.')) {
        name.pop_back();  // certificates and SNI know no trailing dot
    }
    require_openssl(SSL_set_tlsext_host_name(ssl, name.c_str()) == 1 &&
                        X509_VERIFY_PARAM_set1_host(rules, name.data(), name.size()) == 1,
                    "cannot verify a host name");
}

inline void resume_session(SSL* ssl, const TlsSettings& settings, const TlsEndpoint& endpoint,
                           TlsRecordOfTroubles& troubles) {
    if (!settings.session_resumption || endpoint.host.empty()) {
        return;
    }
    troubles.peer_name = in_lower_case(endpoint.host) + ' ' + std::to_string(endpoint.port);
    const SslSessionPtr session = TlsGeneration::of(ssl).sessions.take(troubles.peer_name);
    if (session && SSL_set_session(ssl, session.get()) != 1) {
        ERR_clear_error();  // it does not fit; a full handshake is no failure
    }
}

SLUICE_INLINE SslPtr make_ssl(const TlsContext& context, const TlsEndpoint& endpoint,
                              TlsRecordOfTroubles& troubles) {
    const TlsContextState& state = TlsContextState::of(context);
    if (state.is_server() != endpoint.server_side) {
        throw std::invalid_argument(endpoint.server_side
                                        ? "a TLS server needs a context made by TlsContext::server"
                                        : "a TLS client needs a context made by "
                                          "TlsContext::client");
    }
    forget_errors();
    SslPtr ssl(SSL_new(state.current().get()));
    if (!ssl || SSL_set_app_data(ssl.get(), &troubles) != 1) {
        throw_openssl("cannot make an SSL object");
    }
    if (!state.settings().leaves_records_to_openssl() || state.settings().ktls != KernelTls::off) {
        // Or OpenSSL would not offer its keys.
        SSL_set_options(ssl.get(), SSL_OP_ENABLE_KTLS);
    }
    if (endpoint.server_side) {
        SSL_set_accept_state(ssl.get());
    } else {
        SSL_set_connect_state(ssl.get());
        apply_host(ssl.get(), state.settings(), endpoint);
        resume_session(ssl.get(), state.settings(), endpoint, troubles);
    }
    return ssl;
}

}  // namespace detail

// ---- the public handle ----

SLUICE_INLINE TlsContext TlsContext::client(TlsOptions options) {
    return detail::TlsContextState::make(std::move(options), false);
}

SLUICE_INLINE TlsContext TlsContext::server(std::string certificate_file, std::string key_file,
                                            TlsOptions options) {
    options.identity_files(std::move(certificate_file), std::move(key_file));
    return detail::TlsContextState::make(std::move(options), true);
}

SLUICE_INLINE TlsContext TlsContext::server(TlsOptions options) {
    return detail::TlsContextState::make(std::move(options), true);
}

SLUICE_INLINE void TlsContext::reload() {
    state_->reload();
}

SLUICE_INLINE bool TlsContext::is_server() const noexcept {
    return state_->is_server();
}

SLUICE_INLINE ssl_ctx_st* TlsContext::native_handle() const noexcept {
    return state_->native_handle();
}

}  // namespace sluice::inline v0_1
