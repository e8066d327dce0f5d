// PeerTls: a Peer's own TLS, plain OpenSSL between two memory BIOs, without any of our code; also
// TLS inside TLS, to any depth.
//
// It moves bytes between strings and knows no socket.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

namespace sluice::test {

struct SslFree {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};

class PeerTls {
public:
    /// A server with pki().server(), which sends no session tickets so that only what a test sends
    /// arrives, or a client that verifies nothing. With more than one layer the plaintext of each
    /// is the wire of the next.
    explicit PeerTls(bool server_side, int layers = 1);
    /// With a context of the test's own.
    PeerTls(SSL_CTX* context, bool server_side);

    /// Ciphertext from the wire.
    void feed(std::string_view ciphertext);
    /// Decrypts what is there onto `plaintext`; the handshake goes on by itself. False once the
    /// other end has sent close_notify.
    bool read(std::string& plaintext);
    /// Encrypts everything; false while the handshake is not complete, and then nothing happens.
    bool write(std::string_view plaintext);
    /// Produces close_notify.
    void shut_down();
    /// What is to go onto the wire now.
    [[nodiscard]] std::string take_output();

    [[nodiscard]] bool handshaken() const { return SSL_is_init_finished(ssl_.get()) == 1; }
    /// close_notify has arrived on every layer: nothing more will come.
    [[nodiscard]] bool saw_every_end() const;
    /// OpenSSL gave up: a fatal alert, or bytes that are no TLS.
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }
    /// The layer that carries this one; null for the lowest.
    [[nodiscard]] PeerTls* below() const noexcept { return below_.get(); }

private:
    bool check(int result);

    std::unique_ptr<SSL, SslFree> ssl_;
    std::unique_ptr<PeerTls> below_;  // what carries our ciphertext, if it is TLS
    std::string waiting_below_;       // ciphertext for a layer below that is still shaking hands
    bool failed_ = false;
};

}  // namespace sluice::test
