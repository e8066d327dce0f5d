// A server's decision about a ClientHello: which context serves the name that the client asked for,
// and whether anybody does.
//
// It is made in OpenSSL's client-hello callback and not in the server-name one: that comes after a
// ticket of TLS 1.3 has been accepted, so that a ticket from one name would open the door of
// another, which demands client certificates. Here a switch of the context also switches the
// session id context, and a foreign ticket then only means a full handshake.
#pragma once

#include <sluice/impl/tls_callbacks.ipp>

#include <exception>
#include <stdexcept>

namespace sluice::inline v0_1::detail {

/// Why a ClientHello is refused. Not derived from std::exception: a user's callback may throw
/// anything of those.
struct TlsRefusal {
    int alert;
    std::string reason;
};

class ClientHello {
public:
    explicit ClientHello(SSL* ssl) noexcept : ssl_(ssl) {}

    static int callback(SSL* ssl, int* alert, void*) noexcept {
        try {
            TlsRecordOfTroubles nobodys;
            TlsRecordOfTroubles* const record = record_of(*ssl);
            ClientHello(ssl).decide(record != nullptr ? *record : nobodys);
            return SSL_CLIENT_HELLO_SUCCESS;
        } catch (const TlsRefusal& refusal) {
            *alert = refusal.alert;
            TlsCallbacks::note_refusal(ssl, refusal.reason.c_str());
        } catch (const std::exception& error) {
            *alert = SSL_AD_INTERNAL_ERROR;
            TlsCallbacks::note_refusal(ssl, error.what());
        } catch (...) {
            *alert = SSL_AD_INTERNAL_ERROR;
            TlsCallbacks::note_refusal(ssl, "the server name callback threw no std::exception");
        }
        return SSL_CLIENT_HELLO_ERROR;
    }

private:
    void decide(TlsRecordOfTroubles& record) {
        std::string name = in_lower_case(server_name());
        if (record.hello_seen) {
            if (name != record.peer_name) {
                throw TlsRefusal{SSL_AD_ILLEGAL_PARAMETER,
                                 "the client asks for another name after a HelloRetryRequest"};
            }
            return;
        }
        record.hello_seen = true;
        record.peer_name = std::move(name);
        if (!record.peer_name.empty()) {
            choose(record.peer_name);
        }
        require_protocols();
    }

    /// The host name of the extension server_name (RFC 6066, 3); empty if there is none.
    [[nodiscard]] std::string_view server_name() const {
        constexpr std::size_t header_bytes = 5;  // list length, type 0 (host name), name length
        constexpr std::size_t longest_bytes = 255;
        const unsigned char* data = nullptr;
        std::size_t size = 0;
        if (SSL_client_hello_get0_ext(ssl_, TLSEXT_TYPE_server_name, &data, &size) != 1) {
            return {};
        }
        const auto length_at = [&](std::size_t at) {
            return static_cast<std::size_t>((data[at] << 8U) | data[at + 1]);
        };
        const bool well_formed = size > header_bytes && length_at(0) == size - 2 && data[2] == 0 &&
                                 length_at(3) == size - header_bytes;
        if (!well_formed) {
            throw TlsRefusal{SSL_AD_DECODE_ERROR, "the client's server name is malformed"};
        }
        const std::string_view name(reinterpret_cast<const char*>(data) + header_bytes,
                                    size - header_bytes);
        if (name.size() > longest_bytes || name.find('\0') != std::string_view::npos) {
            throw TlsRefusal{SSL_AD_UNRECOGNIZED_NAME, "the client's server name is no name"};
        }
        return name;
    }

    void choose(const std::string& name) const {
        const TlsSettings& settings = *TlsGeneration::of(ssl_).settings;
        const auto named = find(settings, name);
        if (named != settings.server_names.end()) {
            switch_to(named->second);
            return;
        }
        if (settings.server_name_callback) {
            const std::optional<TlsContext> answer = call(settings, name);
            if (answer) {
                switch_to(*answer);
                return;
            }
        }
        if (settings.require_known_server_name && !is_our_own(name)) {
            throw TlsRefusal{SSL_AD_UNRECOGNIZED_NAME, "nobody here is called '" + name + "'"};
        }
    }

    static auto find(const TlsSettings& settings, const std::string& name)
        -> decltype(settings.server_names.end()) {
        const auto exact = settings.server_names.find(name);
        if (exact != settings.server_names.end()) {
            return exact;
        }
        const std::size_t dot = name.find('.');
        if (dot == 0 || dot == std::string::npos) {
            return settings.server_names.end();
        }
        return settings.server_names.find("*" + name.substr(dot));
    }

    static std::optional<TlsContext> call(const TlsSettings& settings, const std::string& name) {
        try {
            return settings.server_name_callback(name);
        } catch (const std::exception& error) {
            throw TlsRefusal{SSL_AD_INTERNAL_ERROR,
                             std::string("the server name callback threw: ") + error.what()};
        }
    }

    [[nodiscard]] bool is_our_own(const std::string& name) const noexcept {
        X509* const ours = SSL_get_certificate(ssl_);
        return ours != nullptr &&
               X509_check_host(ours, name.data(), name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                               nullptr) == 1;
    }

    void switch_to(const TlsContext& context) const {
        const TlsContextState& state = TlsContextState::of(context);
        if (!state.is_server()) {
            throw TlsRefusal{SSL_AD_INTERNAL_ERROR,
                             "the server name callback gave a context for clients"};
        }
        const SslCtxRef chosen = state.current();
        if (SSL_set_SSL_CTX(ssl_, chosen.get()) == nullptr) {
            throw std::bad_alloc();
        }
        carry_over(*chosen, state.settings());
    }

    /// What SSL_set_SSL_CTX() leaves as the first context had it: everything but the certificate,
    /// the callbacks and, because the session id context was inherited, that. Without this the name
    /// would be served with another name's rules for client certificates.
    void carry_over(SSL_CTX& chosen, const TlsSettings& settings) const {
        SSL_set_verify(ssl_, SSL_CTX_get_verify_mode(&chosen),
                       SSL_CTX_get_verify_callback(&chosen));
        X509_VERIFY_PARAM* const ours = SSL_get0_param(ssl_);
        X509_VERIFY_PARAM_clear_flags(ours, X509_VERIFY_PARAM_get_flags(ours));
        const std::uint64_t ticket_option = SSL_CTX_get_options(&chosen) & SSL_OP_NO_TICKET;
        SSL_clear_options(ssl_, SSL_OP_NO_TICKET);
        SSL_set_options(ssl_, ticket_option);
        if (settings.leaves_records_to_openssl() && settings.ktls == KernelTls::off) {
            SSL_clear_options(ssl_, SSL_OP_ENABLE_KTLS);
        } else {
            SSL_set_options(ssl_, SSL_OP_ENABLE_KTLS);
        }
        const bool carried =
            X509_VERIFY_PARAM_set1(ours, SSL_CTX_get0_param(&chosen)) == 1 &&
            SSL_set_num_tickets(ssl_, SSL_CTX_get_num_tickets(&chosen)) == 1 &&
            SSL_set_min_proto_version(ssl_, static_cast<int>(settings.minimum_version)) == 1 &&
            SSL_set_max_proto_version(ssl_, static_cast<int>(settings.maximum_version)) == 1 &&
            SSL_set1_groups_list(ssl_, settings.groups.c_str()) == 1;
        if (!carried) {
            throw std::bad_alloc();
        }
    }

    /// OpenSSL asks about protocols only when the client names some.
    void require_protocols() const {
        const TlsSettings& settings = *TlsGeneration::of(ssl_).settings;
        const unsigned char* data = nullptr;
        std::size_t size = 0;
        if (settings.alpn_required && !settings.alpn.empty() &&
            SSL_client_hello_get0_ext(ssl_, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                      &data, &size) != 1) {
            throw TlsRefusal{SSL_AD_NO_APPLICATION_PROTOCOL,
                             "the client names no application protocol"};
        }
    }

    SSL* ssl_;
};

}  // namespace sluice::inline v0_1::detail
