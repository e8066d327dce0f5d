// PeerTls: OpenSSL as its manual shows it. See peer_tls.hpp.
#include "support/peer_tls.hpp"

#include "support/tls_pki.hpp"

#include <array>
#include <stdexcept>

#include <openssl/err.h>

namespace sluice::test {

namespace {

SSL_CTX* plain_context(bool server_side) {
    // One of each for the whole program: making one costs as much as many handshakes.
    static const std::unique_ptr<SSL_CTX, SslFree> client(SSL_CTX_new(TLS_client_method()));
    static const std::unique_ptr<SSL_CTX, SslFree> server = [] {
        std::unique_ptr<SSL_CTX, SslFree> context(SSL_CTX_new(TLS_server_method()));
        const TlsIdentity& identity = pki().server();
        if (SSL_CTX_use_certificate_chain_file(context.get(), identity.certificate_file.c_str()) !=
                1 ||
            SSL_CTX_use_PrivateKey_file(context.get(), identity.key_file.c_str(),
                                        SSL_FILETYPE_PEM) != 1) {
            throw std::runtime_error("PeerTls: cannot load " + identity.certificate_file);
        }
        SSL_CTX_set_num_tickets(context.get(), 0);
        return context;
    }();
    return server_side ? server.get() : client.get();
}

}  // namespace

PeerTls::PeerTls(bool server_side, int layers) : PeerTls(plain_context(server_side), server_side) {
    if (layers > 1) {
        below_ = std::make_unique<PeerTls>(server_side, layers - 1);
    }
}

PeerTls::PeerTls(SSL_CTX* context, bool server_side) : ssl_(SSL_new(context)) {
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (server_side) {
        SSL_set_accept_state(ssl_.get());
    } else {
        SSL_set_connect_state(ssl_.get());
    }
}

void PeerTls::feed(std::string_view ciphertext) {
    std::string opened;
    if (below_ != nullptr) {
        below_->feed(ciphertext);
        if (!below_->read(opened)) {
            // RFC 8446, 6.1: the answer to close_notify is close_notify.
            below_->shut_down();
        }
        ciphertext = opened;
    }
    BIO_write(SSL_get_rbio(ssl_.get()), ciphertext.data(), static_cast<int>(ciphertext.size()));
}

bool PeerTls::check(int result) {
    if (result > 0) {
        return true;
    }
    const int reason = SSL_get_error(ssl_.get(), result);
    failed_ = reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_ZERO_RETURN;
    return false;
}

bool PeerTls::read(std::string& plaintext) {
    std::array<char, 16 * 1024> space;
    std::size_t count = 0;
    ERR_clear_error();
    while (!failed_ && check(SSL_read_ex(ssl_.get(), space.data(), space.size(), &count))) {
        plaintext.append(space.data(), count);
    }
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) == 0;
}

bool PeerTls::write(std::string_view plaintext) {
    ERR_clear_error();
    if (failed_ || (!handshaken() && !check(SSL_do_handshake(ssl_.get())))) {
        return false;
    }
    std::size_t count = 0;
    return plaintext.empty() ||
           check(SSL_write_ex(ssl_.get(), plaintext.data(), plaintext.size(), &count));
}

void PeerTls::shut_down() {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
}

std::string PeerTls::take_output() {
    BIO* const wire = SSL_get_wbio(ssl_.get());
    std::string output(BIO_ctrl_pending(wire), '\0');
    if (!output.empty()) {
        BIO_read(wire, output.data(), static_cast<int>(output.size()));
    }
    if (below_ == nullptr) {
        return output;
    }
    waiting_below_ += output;
    if (below_->write(waiting_below_)) {
        waiting_below_.clear();
    }
    return below_->take_output();
}

bool PeerTls::saw_every_end() const {
    const bool here = (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    return here && (below_ == nullptr || below_->saw_every_end());
}

}  // namespace sluice::test
