// OpenSSL over shared memory: see tls_client.hpp. A connection leaves no bytes behind in that memory, because OpenSSL takes
// all there is into a buffer of its own when a record is not yet complete.
#include "tls_client.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

namespace bench {

TlsClient::TlsClient()
    : context_(SSL_CTX_new(TLS_client_method())),
      method_(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bench memory")) {
    if (context_ == nullptr || method_ == nullptr ||
        SSL_CTX_set_min_proto_version(context_, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context_, "TLS_AES_128_GCM_SHA256") != 1) {
        throw TlsError("OpenSSL offers no TLS 1.3 with AES-128-GCM");
    }
    BIO_meth_set_read(method_, read_input);
    BIO_meth_set_write(method_, write_output);
    BIO_meth_set_ctrl(method_, control);
    SSL_CTX_set_verify(context_, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context_, 1);
    // Sessions come to us, in place of into a cache that the context would search.
    SSL_CTX_set_session_cache_mode(context_,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context_, keep_session);
    SSL_CTX_set_app_data(context_, this);
}

TlsClient::~TlsClient() {
    for (SSL_SESSION* const session : sessions_) {
        SSL_SESSION_free(session);
    }
    SSL_CTX_free(context_);
    BIO_meth_free(method_);
}

int TlsClient::read_input(bio_st* bio, char* bytes, int size) {
    auto& input = static_cast<TlsClient*>(BIO_get_data(bio))->input_;
    BIO_clear_retry_flags(bio);
    if (input.empty()) {
        BIO_set_retry_read(bio);
        return -1;
    }
    const std::size_t count = std::min(static_cast<std::size_t>(size), input.size());
    std::memcpy(bytes, input.data(), count);
    input = input.subspan(count);
    return static_cast<int>(count);
}

int TlsClient::write_output(bio_st* bio, const char* bytes, int size) {
    auto& output = static_cast<TlsClient*>(BIO_get_data(bio))->output_;
    BIO_clear_retry_flags(bio);
    output.insert(output.end(), bytes, bytes + size);
    return size;
}

long TlsClient::control(bio_st*, int command, long, void*) {
    // OpenSSL flushes at the end of each flight and takes 0 for a failure.
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int TlsClient::keep_session(ssl_st* ssl, ssl_session_st* session) {
    auto* client = static_cast<TlsClient*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    if (!client->resumes_) {
        return 0;
    }
    client->sessions_.push_back(session);
    return 1;
}

TlsConnection::TlsConnection(TlsClient& client) : client_(&client), ssl_(SSL_new(client.context_)) {
    BIO* const bio = ssl_ != nullptr ? BIO_new(client.method_) : nullptr;
    if (bio == nullptr) {
        SSL_free(ssl_);
        throw TlsError("OpenSSL gives no connection");
    }
    BIO_set_data(bio, &client);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_connect_state(ssl_);
    if (!client.sessions_.empty()) {
        SSL_SESSION* const session = client.sessions_.back();
        client.sessions_.pop_back();
        offers_session_ = SSL_set_session(ssl_, session) == 1;
        SSL_SESSION_free(session);
    }
}

TlsConnection::~TlsConnection() {
    SSL_free(ssl_);
}

TlsConnection::TlsConnection(TlsConnection&& other) noexcept
    : client_(other.client_),
      ssl_(std::exchange(other.ssl_, nullptr)),
      offers_session_(other.offers_session_) {}

TlsConnection& TlsConnection::operator=(TlsConnection&& other) noexcept {
    std::swap(client_, other.client_);
    std::swap(ssl_, other.ssl_);
    std::swap(offers_session_, other.offers_session_);
    return *this;
}

bool TlsConnection::handshake(std::span<const char> arrived) {
    feed(arrived);
    const int result = SSL_do_handshake(ssl_);
    if (result != 1 && SSL_get_error(ssl_, result) != SSL_ERROR_WANT_READ) {
        fail("handshake");
    }
    return result == 1;
}

bool TlsConnection::is_resumed() const {
    return SSL_session_reused(ssl_) == 1;
}

void TlsConnection::feed(std::span<const char> arrived) {
    client_->input_ = arrived;
}

std::size_t TlsConnection::read(std::span<char> room) {
    const int count = SSL_read(ssl_, room.data(), static_cast<int>(room.size()));
    if (count > 0) {
        return static_cast<std::size_t>(count);
    }
    const int error = SSL_get_error(ssl_, count);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) {
        fail("reading");
    }
    return 0;
}

bool TlsConnection::has_ended() const {
    return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void TlsConnection::write(std::span<const char> message) {
    if (SSL_write(ssl_, message.data(), static_cast<int>(message.size())) <= 0) {
        fail("writing");
    }
}

void TlsConnection::write_end() {
    SSL_shutdown(ssl_);
}

void TlsConnection::fail(const char* doing) const {
    char text[256];
    const unsigned long code = ERR_get_error();
    ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    throw TlsError(std::string("TLS, ") + doing + ": " + (code != 0 ? text : "ended"));
}

}  // namespace bench
