// The fixture of the TLS cases. See tls_fixture.hpp.
#include "support/tls_fixture.hpp"

#include "support/transport_pair.hpp"

#include <stdexcept>
#include <utility>

namespace sluice::test {

namespace {

constexpr int settling_rounds = 50;

}  // namespace

SslContextPtr foreign_client_context() {
    return SslContextPtr(SSL_CTX_new(TLS_client_method()));
}

SslContextPtr foreign_server_context(const TlsIdentity& identity) {
    SslContextPtr context(SSL_CTX_new(TLS_server_method()));
    if (SSL_CTX_use_certificate_chain_file(context.get(), identity.certificate_file.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), identity.key_file.c_str(), SSL_FILETYPE_PEM) !=
            1) {
        throw std::runtime_error("cannot load " + identity.certificate_file);
    }
    return context;
}

SslContextPtr large_ticket_server_context() {
    SslContextPtr context = foreign_server_context();
    SSL_CTX_set_num_tickets(context.get(), 0);
    SSL_CTX_set_max_send_fragment(context.get(), 512);
    SSL_CTX_set_session_ticket_cb(
        context.get(),
        [](SSL* ssl, void*) {
            const std::string data(2'000, 't');
            return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
        },
        nullptr, nullptr);
    return context;
}

TlsOptions trusting() {
    return TlsOptions().certificate_authority_file(pki().root_file());
}

ConnectOptions client_with(TlsOptions options, std::string name) {
    return ConnectOptions()
        .tls(TlsContext::client(std::move(options)))
        .server_hostname(std::move(name));
}

ServerOptions server_with(const TlsIdentity& identity, TlsOptions options) {
    return ServerOptions().tls(
        TlsContext::server(identity.certificate_file, identity.key_file, std::move(options)));
}

std::vector<RecordHeader> records_of(std::string_view wire) {
    constexpr std::size_t header_bytes = 5;
    std::vector<RecordHeader> records;
    const auto byte = [&wire](std::size_t index) {
        return static_cast<unsigned>(static_cast<unsigned char>(wire[index]));
    };
    while (wire.size() >= header_bytes) {
        const std::size_t length = byte(3) << 8 | byte(4);
        if (wire.size() < header_bytes + length) {
            break;
        }
        records.push_back({byte(0), length});
        wire.remove_prefix(header_bytes + length);
    }
    return records;
}

void TlsTest::TearDown() {
    BackendTest::TearDown();
    EXPECT_EQ(live_ssl_objects(), ssl_objects_before_) << "SSL objects leaked";
}

ServerOptions TlsTest::secure_server() {
    return ServerOptions().tls(test_server_context());
}

ConnectOptions TlsTest::secure_client() {
    return ConnectOptions().tls(test_client_context()).server_hostname("example.test");
}

Recorder& TlsTest::connect(std::uint16_t port, ConnectOptions options) {
    Recorder& recorder = make_recorder();
    run(loop().create_connection<RecordingProtocol>("127.0.0.1", port, std::move(options),
                                                    &recorder));
    return recorder;
}

Recorder& TlsTest::connect(TlsLink& link, ConnectOptions options) {
    Recorder& recorder = make_recorder();
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", link.port(), std::move(options), &recorder));
    run_with(link, [&] { return connecting.done(); });
    connecting.result();
    return recorder;
}

std::optional<TlsError> TlsTest::refused(std::uint16_t port, ConnectOptions options) {
    return caught<TlsError>([&] { connect(port, std::move(options)); });
}

TlsTest::ForeignServer TlsTest::connect_to_foreign(SSL_CTX* context, ConnectOptions options) {
    Listener listener;
    ForeignServer made;
    made.ours = &make_recorder();
    auto connecting = loop().create_task(loop().create_connection<RecordingProtocol>(
        "127.0.0.1", listener.port(), std::move(options), made.ours));
    run_until([&] {
        if (!made.peer.is_open()) {
            if (std::optional<Peer> accepted = listener.accept()) {
                made.peer = std::move(*accepted);
                send_at_once(made.peer.fd());
                made.peer.speak_tls(context == nullptr ? std::make_unique<PeerTls>(true)
                                                       : std::make_unique<PeerTls>(context, true));
            }
        }
        made.peer.receive_available();
        // A handshake that cannot succeed ends the task.
        const bool spoken = made.peer.is_open() && made.peer.tls()->handshaken();
        return connecting.done() && (spoken || connecting.exception());
    });
    connecting.result();
    return made;
}

TlsTest::AmidTicket TlsTest::connect_amid_ticket(Sealing sealing) {
    const SslContextPtr context = large_ticket_server_context();
    AmidTicket made{connect_to_foreign(context.get()), {}};
    PeerTls& tls = *made.peer.tls();
    if (sealing == Sealing::by_openssl) {
        // It changes our keys, which OpenSSL keeps to itself from then on.
        EXPECT_EQ(SSL_key_update(tls.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
        EXPECT_EQ(SSL_do_handshake(tls.ssl()), 1);
        made.peer.send_some({});
        EXPECT_TRUE(wait_readable(fd_of(made.ours->transport())));
        settle({&made.peer});
    }
    EXPECT_EQ(SSL_new_session_ticket(tls.ssl()), 1);
    EXPECT_EQ(SSL_do_handshake(tls.ssl()), 1);
    const std::string ticket = tls.take_output();
    const std::vector<RecordHeader> records = records_of(ticket);
    EXPECT_GT(records.size(), 2U) << "the ticket is not large";
    const std::size_t first = 5 + records.at(0).bytes;
    made.peer.send_raw(std::string_view(ticket).substr(0, first));
    made.rest = ticket.substr(first);
    EXPECT_TRUE(wait_readable(fd_of(made.ours->transport())));
    run_idle();
    return made;
}

Peer TlsTest::connect_foreign(std::uint16_t port, SSL_CTX* context) {
    Peer peer = Peer::connect(port);
    send_at_once(peer.fd());
    peer.speak_tls(context == nullptr ? std::make_unique<PeerTls>(false)
                                      : std::make_unique<PeerTls>(context, false));
    const std::size_t wanted = connections().size() + 1;
    run_with({&peer}, [&] {
        return connections().size() == wanted && connections().back()->made() &&
               peer.tls()->handshaken();
    });
    return peer;
}

bool TlsTest::run_with(std::initializer_list<Peer*> peers, const std::function<bool()>& done,
                       std::source_location where) {
    return run_until(
        [&] {
            for (Peer* const peer : peers) {
                peer->receive_available();
            }
            return done();
        },
        where);
}

bool TlsTest::run_with(TlsLink& link, const std::function<bool()>& done,
                       std::source_location where) {
    return run_until(
        [&] {
            link.pump();
            return done();
        },
        where);
}

void TlsTest::settle(std::initializer_list<Peer*> peers) {
    for (int round = 0; round < settling_rounds; ++round) {
        loop().run_once();
        for (Peer* const peer : peers) {
            peer->receive_available();
        }
    }
}

}  // namespace sluice::test
