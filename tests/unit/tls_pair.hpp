// TlsPair: a client and a server of make_ssl(), joined by memory, no socket and no loop.
//
// It drives both until neither has anything left to say. It must not know what a case is about.
#pragma once

#include <sluice/detail/tls_session.hpp>
#include <sluice/tls.hpp>

#include "support/tls_pki.hpp"

#include <string>
#include <string_view>
#include <utility>

#include <openssl/ssl.h>

namespace sluice::test {

/// One end: an SSL object and what became of it.
class TlsEnd {
public:
    enum class State { handshake, open, failed };

    TlsEnd(const TlsContext& context, const detail::TlsEndpoint& endpoint);
    /// An SSL object from elsewhere, as a foreign peer has it.
    explicit TlsEnd(detail::SslPtr foreign) : ssl_(std::move(foreign)) {}

    /// Goes on with the handshake; false if nothing came of it.
    bool step();
    /// Reads what has arrived, tickets included.
    std::string read();
    /// False if it failed.
    bool write(std::string_view text);

    [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }
    [[nodiscard]] bool open() const noexcept { return state_ == State::open; }
    [[nodiscard]] bool failed() const noexcept { return state_ == State::failed; }
    [[nodiscard]] const TlsFailure& failure() const noexcept { return failure_; }
    [[nodiscard]] const detail::TlsRecordOfTroubles& troubles() const noexcept { return troubles_; }
    /// After the handshake.
    [[nodiscard]] TlsInfo info() const { return TlsInfo(detail::describe_connection(*ssl_, 0)); }

private:
    void fail(const char* phase);

    detail::TlsRecordOfTroubles troubles_;
    detail::SslPtr ssl_;
    State state_ = State::handshake;
    TlsFailure failure_;
};

class TlsPair {
public:
    TlsPair(const TlsContext& client, const TlsContext& server, std::string host = "example.test",
            std::uint16_t port = 443);
    /// Our server with a foreign client.
    TlsPair(detail::SslPtr foreign_client, const TlsContext& server);
    /// Our client with a foreign server.
    TlsPair(const TlsContext& client, detail::SslPtr foreign_server);

    /// Both until both are open or one has failed and the other knows; true if both are open. The
    /// client has then read the server's tickets.
    bool handshake();
    /// As a clean end does, so that sessions stay good.
    void shut_down();

    [[nodiscard]] TlsEnd& client() noexcept { return client_; }
    [[nodiscard]] TlsEnd& server() noexcept { return server_; }

private:
    void join();

    TlsEnd client_;
    TlsEnd server_;
};

/// Options of a client that trusts the test root.
TlsOptions trusting_client();
/// A server with the usual certificate.
TlsContext usual_server(TlsOptions options = TlsOptions());
TlsContext server_of(const TlsIdentity& identity, TlsOptions options = TlsOptions());

/// A client's SSL object that OpenSSL alone has configured: everything allowed, nothing verified.
detail::SslPtr foreign_client();

/// What `call` throws, or "(accepted)".
template <class Call>
std::string refusal_of(Call&& call) {
    try {
        std::forward<Call>(call)();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "(accepted)";
}

}  // namespace sluice::test
