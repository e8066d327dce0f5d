// What OpenSSL calls during a connection. Every function here is a wall: no exception leaves it, a
// failure becomes an alert and a note in the connection's TlsRecordOfTroubles.
//
// Which certificate a client's name leads to is tls_client_hello.ipp.
#pragma once

#include <sluice/impl/tls_context_state.hpp>
#include <sluice/impl/tls_openssl.ipp>

#include <sluice/detail/tls_certificate.hpp>
#include <sluice/detail/tls_session.hpp>

#include <new>
#include <string_view>
#include <vector>

namespace sluice::inline v0_1::detail {

struct TlsCallbacks {
    // ---- verification ----

    static int verify(int accepted, X509_STORE_CTX* store) noexcept {
        if (accepted != 1) {
            note_rejection(store);
        }
        return accepted;
    }

    static int accept_any(int, X509_STORE_CTX*) noexcept { return 1; }

    static void note_rejection(X509_STORE_CTX* store) noexcept {
        const auto* ssl = static_cast<const SSL*>(
            X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
        TlsRecordOfTroubles* const record = ssl == nullptr ? nullptr : record_of(*ssl);
        if (record == nullptr) {
            return;
        }
        record->verify_code = X509_STORE_CTX_get_error(store);
        record->verify_depth = X509_STORE_CTX_get_error_depth(store);
        const X509* const certificate = X509_STORE_CTX_get_current_cert(store);
        if (certificate == nullptr) {
            return;
        }
        try {
            TlsRecordOfTroubles::Words& words = record->noted_words();
            words.subject = text_of(X509_get_subject_name(certificate));
            words.issuer = text_of(X509_get_issuer_name(certificate));
            if (record->verify_code == X509_V_ERR_HOSTNAME_MISMATCH ||
                record->verify_code == X509_V_ERR_IP_ADDRESS_MISMATCH) {
                words.names = joined_names(*certificate, tls_limits::names_in_text);
            }
        } catch (const std::bad_alloc&) {
            // The code stands; only the words are missing.
            return;
        }
    }

    // ---- alerts ----

    static void info(const SSL* ssl, int where, int value) noexcept {
        if ((where & SSL_CB_ALERT) != 0) {
            note_alert(ssl, (where & SSL_CB_READ) != 0, value & 0xff);
        } else if ((where & SSL_CB_HANDSHAKE_DONE) != 0) {
            keep_resumed_session(ssl);
        }
    }

    static void note_alert(const SSL* ssl, bool received, int alert) noexcept {
        TlsRecordOfTroubles* const record = record_of(*ssl);
        // Neither says that something is wrong.
        if (record == nullptr || alert == SSL_AD_CLOSE_NOTIFY || alert == SSL_AD_USER_CANCELLED) {
            return;
        }
        (received ? record->alert_received : record->alert_sent) = alert;
    }

    // ---- sessions of clients ----

    static int new_session(SSL* ssl, SSL_SESSION* session) noexcept {
        keep_session(ssl, session);
        return 0;  // we have not kept this very object
    }

    /// A TLS 1.2 session may be used again, and no new one comes: give it back. After a failed
    /// handshake it stays forgotten, as RFC 5246, 7.2.2 wants it.
    static void keep_resumed_session(const SSL* ssl) noexcept {
        if (SSL_is_server(ssl) == 0 && SSL_version(ssl) == TLS1_2_VERSION &&
            SSL_session_reused(ssl) == 1) {
            keep_session(ssl, SSL_get_session(ssl));
        }
    }

    static void keep_session(const SSL* ssl, const SSL_SESSION* session) noexcept {
        const TlsRecordOfTroubles* const record = record_of(*ssl);
        if (record == nullptr || record->peer_name.empty() ||
            SSL_SESSION_is_resumable(session) != 1) {
            return;
        }
        // A copy: this connection goes on using the object, while another thread may resume it.
        SslSessionPtr copy(SSL_SESSION_dup(session));
        if (!copy) {
            return;
        }
        try {
            TlsGeneration::of(ssl).sessions.put(record->peer_name, std::move(copy));
        } catch (const std::bad_alloc&) {
            // A session less is a full handshake more.
            return;
        }
    }

    // ---- servers ----

    static int select_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                               const unsigned char* offered, unsigned int offered_size,
                               void*) noexcept {
        const TlsSettings& settings = *TlsGeneration::of(ssl).settings;
        for (const std::string& ours : settings.alpn) {
            // OpenSSL has checked that the list is well formed.
            for (unsigned int at = 0; at < offered_size; at += offered[at] + 1U) {
                const std::string_view theirs(reinterpret_cast<const char*>(offered) + at + 1,
                                              offered[at]);
                if (ours == theirs) {
                    *chosen = offered + at + 1;
                    *chosen_size = offered[at];
                    return SSL_TLSEXT_ERR_OK;
                }
            }
        }
        if (!settings.alpn_required) {
            return SSL_TLSEXT_ERR_NOACK;
        }
        note_refusal(ssl, "the client speaks none of our application protocols");
        return SSL_TLSEXT_ERR_ALERT_FATAL;  // OpenSSL sends no_application_protocol
    }

    static void note_refusal(const SSL* ssl, const char* reason) noexcept {
        TlsRecordOfTroubles* const record = record_of(*ssl);
        if (record == nullptr) {
            return;
        }
        try {
            record->noted_words().refusal = reason;
        } catch (const std::bad_alloc&) {
            return;  // the alert says the most of it
        }
    }

    static int staple(SSL* ssl, void*) noexcept {
        const std::string& response = TlsGeneration::of(ssl).ocsp_response;
        void* const copy = OPENSSL_memdup(response.data(), response.size());
        if (copy == nullptr) {
            return SSL_TLSEXT_ERR_NOACK;
        }
        // OpenSSL frees it.
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(response.size()));
        return SSL_TLSEXT_ERR_OK;
    }

    /// The choice was made before (tls_client_hello.ipp); RFC 6066, 3 wants it confirmed.
    static int confirm_server_name(SSL*, int*, void*) noexcept { return SSL_TLSEXT_ERR_OK; }

    // ---- debugging ----

    static void key_log(const SSL* ssl, const char* line) noexcept {
        std::FILE* const file = TlsGeneration::of(ssl).key_log.get();
        if (file != nullptr) {
            // One call a line, which stdio makes one write: loops of several threads share the file.
            std::fprintf(file, "%s\n", line);
        }
    }

    /// The key log is OpenSSL's only public way to a traffic secret.
    static void take_peer_secret(const SSL* ssl, const char* line) noexcept {
        key_log(ssl, line);
        const std::string_view text(line);
        TlsRecordOfTroubles* const record = record_of(*ssl);
        if (record == nullptr || !text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
            return;
        }
        try {
            record->peer_secret = bytes_of_hex(text.substr(text.rfind(' ') + 1));
        } catch (const std::bad_alloc&) {
            return;  // OpenSSL goes on opening what arrives
        }
    }

    static std::vector<std::byte> bytes_of_hex(std::string_view text) {
        const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
        std::vector<std::byte> bytes(text.size() / 2);
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<std::byte>(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
        }
        return bytes;
    }
};

}  // namespace sluice::inline v0_1::detail
