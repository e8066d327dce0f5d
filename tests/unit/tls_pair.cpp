// See tls_pair.hpp.
#include "tls_pair.hpp"

#include <array>
#include <new>

#include <openssl/err.h>

namespace sluice::test {

TlsEnd::TlsEnd(const TlsContext& context, const detail::TlsEndpoint& endpoint)
    : ssl_(detail::make_ssl(context, endpoint, troubles_)) {}

void TlsEnd::fail(const char* phase) {
    state_ = State::failed;
    failure_ = detail::describe_failure(*ssl_, troubles_, phase);
}

bool TlsEnd::step() {
    if (state_ != State::handshake) {
        return false;
    }
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) {
        state_ = State::open;
        return true;
    }
    if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) {
        fail("handshake");
        return true;
    }
    return false;
}

std::string TlsEnd::read() {
    std::string text;
    std::array<char, 16384> piece;
    while (state_ == State::open) {
        ERR_clear_error();
        const int count = SSL_read(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
        if (count > 0) {
            text.append(piece.data(), static_cast<std::size_t>(count));
            continue;
        }
        const int error = SSL_get_error(ssl_.get(), count);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_ZERO_RETURN) {
            fail("data");
        }
        break;
    }
    return text;
}

bool TlsEnd::write(std::string_view text) {
    ERR_clear_error();
    if (SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) > 0) {
        return true;
    }
    fail("data");
    return false;
}

TlsPair::TlsPair(const TlsContext& client, const TlsContext& server, std::string host,
                 std::uint16_t port)
    : client_(client, {false, std::move(host), port}), server_(server, {true, {}, 0}) {
    join();
}

TlsPair::TlsPair(detail::SslPtr foreign_client, const TlsContext& server)
    : client_(std::move(foreign_client)), server_(server, {true, {}, 0}) {
    join();
}

TlsPair::TlsPair(const TlsContext& client, detail::SslPtr foreign_server)
    : client_(client, {false, "example.test", 443}), server_(std::move(foreign_server)) {
    join();
}

void TlsPair::join() {
    const auto bio = [] {
        BIO* const made = BIO_new(BIO_s_mem());
        if (made == nullptr) {
            throw std::bad_alloc();
        }
        // Empty means "later" and not "the end".
        BIO_set_mem_eof_return(made, -1);
        return made;
    };
    BIO* const to_server = bio();
    BIO* const to_client = bio();
    BIO_up_ref(to_server);
    BIO_up_ref(to_client);
    SSL_set_bio(client_.ssl(), to_client, to_server);
    SSL_set_bio(server_.ssl(), to_server, to_client);
}

bool TlsPair::handshake() {
    // A flight each until nothing moves: the bound is the number of flights there are.
    for (int flight = 0; flight < 8; ++flight) {
        client_.step();
        server_.step();
    }
    // TLS 1.3: the client is open before it knows that the server refuses it; and tickets.
    client_.read();
    server_.read();
    return client_.open() && server_.open();
}

void TlsPair::shut_down() {
    SSL_shutdown(client_.ssl());
    SSL_shutdown(server_.ssl());
}

TlsOptions trusting_client() {
    return std::move(TlsOptions().certificate_authority_file(pki().root_file()));
}

TlsContext server_of(const TlsIdentity& identity, TlsOptions options) {
    return TlsContext::server(identity.certificate_file, identity.key_file, std::move(options));
}

TlsContext usual_server(TlsOptions options) {
    return server_of(pki().server(), std::move(options));
}

detail::SslPtr foreign_client() {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, 0);
    SSL_CTX_set_cipher_list(context, "ALL:COMPLEMENTOFALL:@SECLEVEL=0");
    detail::SslPtr ssl(SSL_new(context));
    SSL_CTX_free(context);
    SSL_set_connect_state(ssl.get());
    SSL_set_tlsext_host_name(ssl.get(), "example.test");
    return ssl;
}

}  // namespace sluice::test
