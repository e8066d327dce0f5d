// TlsTest: the frame of the cases about TLS that need a transport: our own clients and servers, raw
// peers with an OpenSSL of their own, and men in the middle.
//
// It adds to BackendTest that every case ends with as many SSL objects as it began with. It must
// not know what a case is about.
#pragma once

#include "support/loop_fixture.hpp"
#include "support/openssl_counts.hpp"
#include "support/peer_tls.hpp"
#include "support/tls_link.hpp"
#include "support/tls_pki.hpp"

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <openssl/ssl.h>

namespace sluice::test {

using SslContextPtr = std::unique_ptr<SSL_CTX, SslFree>;

/// A foreign client's context that verifies nothing.
SslContextPtr foreign_client_context();
/// A foreign server's context.
SslContextPtr foreign_server_context(const TlsIdentity& identity = pki().server());

/// One whose session tickets take several records.
SslContextPtr large_ticket_server_context();

/// Options that trust the test root.
TlsOptions trusting();
/// A client's and a server's options with these contexts' options.
ConnectOptions client_with(TlsOptions options, std::string name = "example.test");
ServerOptions server_with(const TlsIdentity& identity, TlsOptions options = TlsOptions());

/// The record headers at the front of `wire`: type and length (RFC 8446, 5.1), of whole records.
struct RecordHeader {
    unsigned type;
    std::size_t bytes;
};
std::vector<RecordHeader> records_of(std::string_view wire);

class TlsTest : public BackendTest {
protected:
    TlsTest() : ssl_objects_before_(live_ssl_objects()) {}
    void TearDown() override;

    /// Options of a server with the usual certificate, of a client that trusts it.
    [[nodiscard]] static ServerOptions secure_server();
    [[nodiscard]] static ConnectOptions secure_client();

    /// Our client on 127.0.0.1:port; its recorder. Throws what create_connection throws.
    Recorder& connect(std::uint16_t port, ConnectOptions options = secure_client());
    /// The same over a man in the middle, who is pumped while it connects.
    Recorder& connect(TlsLink& link, ConnectOptions options = secure_client());
    /// The TlsError that create_connection throws.
    std::optional<TlsError> refused(std::uint16_t port, ConnectOptions options = secure_client());

    /// Our client and a foreign server, both ready.
    struct ForeignServer {
        Peer peer;
        Recorder* ours = nullptr;
    };
    ForeignServer connect_to_foreign(SSL_CTX* context = nullptr,
                                     ConnectOptions options = secure_client());
    /// Who seals what our end sends.
    enum class Sealing { by_us, by_openssl };
    /// The same amid a message of the server's that is no data: the first record of a session ticket
    /// has arrived, the others are `rest`, to be sent raw.
    struct AmidTicket : ForeignServer {
        std::string rest;
    };
    AmidTicket connect_amid_ticket(Sealing sealing);
    /// A foreign client of our server, ready; what it connected to is connections().back().
    Peer connect_foreign(std::uint16_t port, SSL_CTX* context = nullptr);

    /// Runs the loop until `done()`, these peers reading and answering meanwhile.
    bool run_with(std::initializer_list<Peer*> peers, const std::function<bool()>& done,
                  std::source_location where = std::source_location::current());
    /// The same with a man in the middle.
    bool run_with(TlsLink& link, const std::function<bool()>& done,
                  std::source_location where = std::source_location::current());
    /// Enough iterations for everything to arrive.
    void settle(std::initializer_list<Peer*> peers);

    /// All SSL objects but those from before the test.
    [[nodiscard]] std::size_t new_ssl_objects() const {
        return live_ssl_objects() - ssl_objects_before_;
    }

private:
    std::size_t ssl_objects_before_;
};

}  // namespace sluice::test
