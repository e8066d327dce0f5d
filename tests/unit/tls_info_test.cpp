// What both ends agree on (versions, ciphers, protocols, client certificates: reliability.md C9, C11
// and C16), and what TlsInfo and TlsFailure tell about it.
#include "tls_pair.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace sluice::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// ---- versions and ciphers ----

TEST(TlsVersions, are_1_3_unless_an_end_knows_only_1_2) {
    for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
        TlsPair pair(TlsContext::client(trusting_client().maximum_version(version)),
                     usual_server());
        ASSERT_TRUE(pair.handshake());
        EXPECT_EQ(pair.client().info().version(),
                  version == TlsVersion::tls1_2 ? "TLSv1.2" : "TLSv1.3");
        EXPECT_EQ(pair.server().info().version(), pair.client().info().version());
        EXPECT_EQ(pair.client().info().cipher_bits(), 128);
    }
}

TEST(TlsVersions, without_one_in_common_the_reason_is_told) {
    TlsPair pair(TlsContext::client(trusting_client().maximum_version(TlsVersion::tls1_2)),
                 usual_server(TlsOptions().minimum_version(TlsVersion::tls1_3)));
    EXPECT_FALSE(pair.handshake());
    EXPECT_THAT(pair.server().failure().text,
                StartsWith("TLS handshake failed: no TLS version in common ("));
    EXPECT_EQ(pair.client().failure().text,
              "TLS handshake failed: the peer sent the alert protocol_version, asked for "
              "'example.test'");
}

TEST(TlsVersions, C11_a_client_with_nothing_newer_than_TLS_1_1_is_refused) {
    for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
        detail::SslPtr client = foreign_client();
        SSL_set_max_proto_version(client.get(), version);
        TlsPair pair(std::move(client), usual_server());
        EXPECT_FALSE(pair.handshake());
        EXPECT_EQ(pair.server().failure().alert_sent, "protocol_version");
    }
}

TEST(TlsVersions, C11_a_client_with_only_weak_ciphers_is_refused) {
    // What OpenSSL knows at all of each kind; a list it does not know is not offered by it either.
    int refused = 0;
    for (const char* list : {"eNULL", "aNULL", "RC4", "3DES", "kRSA", "kDHE", "PSK", "SRP", "CBC",
                             "SHA1", "AESCCM", "CAMELLIA", "ARIA", "EXPORT", "LOW", "MD5"}) {
        detail::SslPtr client = foreign_client();
        SSL_set_max_proto_version(client.get(), TLS1_2_VERSION);
        const std::string weak = std::string(list) + ":@SECLEVEL=0";
        if (SSL_set_cipher_list(client.get(), weak.c_str()) != 1) {
            continue;
        }
        TlsPair pair(std::move(client), server_of(pki().server_rsa()));
        if (std::string(list) == "SHA1" || std::string(list) == "CBC") {
            SSL_set_cipher_list(pair.client().ssl(), "ECDHE+AES+SHA1:@SECLEVEL=0");
        }
        EXPECT_FALSE(pair.handshake()) << list;
        refused += pair.server().failed() || pair.client().failed() ? 1 : 0;
    }
    EXPECT_GE(refused, 8);
    ERR_clear_error();
}

TEST(TlsVersions, C11_a_client_offers_only_forward_secrecy_and_authenticated_encryption) {
    const TlsContext client = TlsContext::client(trusting_client());
    detail::TlsRecordOfTroubles troubles;
    const detail::SslPtr ssl = detail::make_ssl(client, {false, "example.test", 443}, troubles);
    STACK_OF(SSL_CIPHER)* const offered = SSL_get1_supported_ciphers(ssl.get());
    ASSERT_EQ(sk_SSL_CIPHER_num(offered), 9);
    for (int i = 0; i < sk_SSL_CIPHER_num(offered); ++i) {
        const SSL_CIPHER* const cipher = sk_SSL_CIPHER_value(offered, i);
        EXPECT_EQ(SSL_CIPHER_is_aead(cipher), 1) << SSL_CIPHER_get_name(cipher);
        EXPECT_TRUE(SSL_CIPHER_get_kx_nid(cipher) == NID_kx_any ||
                    SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe);
    }
    sk_SSL_CIPHER_free(offered);
    EXPECT_EQ(SSL_get_min_proto_version(ssl.get()), TLS1_2_VERSION);
}

TEST(TlsVersions, ciphers_are_those_asked_for) {
    TlsPair modern(TlsContext::client(trusting_client()),
                   usual_server(TlsOptions().ciphersuites("TLS_CHACHA20_POLY1305_SHA256")));
    ASSERT_TRUE(modern.handshake());
    EXPECT_EQ(modern.client().info().cipher(), "TLS_CHACHA20_POLY1305_SHA256");
    TlsPair old(TlsContext::client(trusting_client().maximum_version(TlsVersion::tls1_2)),
                usual_server(TlsOptions().ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")));
    ASSERT_TRUE(old.handshake());
    EXPECT_EQ(old.server().info().cipher(), "ECDHE-ECDSA-AES256-GCM-SHA384");
    EXPECT_EQ(old.server().info().cipher_bits(), 256);
}

// ---- renegotiation ----

detail::SslPtr renegotiating_client() {
    detail::SslPtr client = foreign_client();
    SSL_set_max_proto_version(client.get(), TLS1_2_VERSION);
    return client;
}

TEST(TlsRenegotiation, C16_a_thousand_clients_that_ask_for_it_are_refused) {
    const TlsContext server = usual_server();
    for (int i = 0; i < 1000; ++i) {
        TlsPair pair(renegotiating_client(), server);
        ASSERT_TRUE(pair.handshake());
        ASSERT_EQ(SSL_renegotiate(pair.client().ssl()), 1);
        EXPECT_LE(SSL_do_handshake(pair.client().ssl()), 0);
        EXPECT_EQ(pair.server().read(), "");
        EXPECT_EQ(pair.server().troubles().alert_sent, SSL_AD_NO_RENEGOTIATION);
        EXPECT_EQ(SSL_num_renegotiations(pair.server().ssl()), 0);
        EXPECT_LE(SSL_do_handshake(pair.client().ssl()), 0);
        ERR_clear_error();
    }
}

TEST(TlsRenegotiation, C16_is_refused_to_servers_too) {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_use_certificate_chain_file(context, pki().server().certificate_file.c_str());
    SSL_CTX_use_PrivateKey_file(context, pki().server().key_file.c_str(), SSL_FILETYPE_PEM);
    detail::SslPtr server(SSL_new(context));
    SSL_CTX_free(context);
    SSL_set_accept_state(server.get());
    TlsPair pair(TlsContext::client(trusting_client()), std::move(server));
    ASSERT_TRUE(pair.handshake()) << pair.client().failure().text;
    ASSERT_EQ(SSL_renegotiate(pair.server().ssl()), 1);
    SSL_do_handshake(pair.server().ssl());
    EXPECT_EQ(pair.client().read(), "");
    EXPECT_EQ(pair.client().troubles().alert_sent, SSL_AD_NO_RENEGOTIATION);
    ERR_clear_error();
}

// ---- application protocols ----

struct ProtocolCase {
    std::vector<std::string> client;
    std::vector<std::string> server;
    std::string agreed;
};

TlsOptions with_protocols(TlsOptions options, const std::vector<std::string>& protocols) {
    return protocols.empty() ? options : options.alpn(protocols);
}

TEST(TlsProtocols, C09_are_chosen_in_the_servers_order) {
    const ProtocolCase cases[] = {
        {{"h2", "http/1.1"}, {"h2", "http/1.1"}, "h2"},
        {{"h2", "http/1.1"}, {"http/1.1", "h2"}, "http/1.1"},
        {{"h2", "http/1.1"}, {"spdy/1", "http/1.1"}, "http/1.1"},
        {{"h2"}, {"h"}, ""},
        {{"h"}, {"h2"}, ""},
        {{}, {"h2"}, ""},
        {{"h2"}, {}, ""},
        {{std::string(255, 'x')}, {std::string(255, 'x')}, std::string(255, 'x')},
    };
    for (const ProtocolCase& each : cases) {
        TlsPair pair(TlsContext::client(with_protocols(trusting_client(), each.client)),
                     usual_server(with_protocols(TlsOptions(), each.server)));
        ASSERT_TRUE(pair.handshake()) << pair.server().failure().text;
        EXPECT_EQ(pair.client().info().alpn(), each.agreed);
        EXPECT_EQ(pair.server().info().alpn(), each.agreed);
    }
}

TEST(TlsProtocols, C09_without_one_in_common_the_client_is_refused_when_that_is_wanted) {
    const TlsContext server = usual_server(TlsOptions().alpn({"h2"}).alpn_required(true));
    TlsPair other(TlsContext::client(trusting_client().alpn({"http/1.1"})), server);
    EXPECT_FALSE(other.handshake());
    EXPECT_EQ(other.server().failure().text,
              "TLS handshake failed: the client speaks none of our application protocols, alert "
              "sent: no_application_protocol");
    EXPECT_EQ(other.client().failure().alert_received, "no_application_protocol");
    TlsPair none(TlsContext::client(trusting_client()), server);
    EXPECT_FALSE(none.handshake());
    EXPECT_EQ(none.client().failure().alert_received, "no_application_protocol");
    EXPECT_TRUE(TlsPair(TlsContext::client(trusting_client().alpn({"h2"})), server).handshake());
}

TEST(TlsProtocols, C09_that_the_client_did_not_offer_are_refused_by_it) {
    const TlsContext server = usual_server();
    const auto choose_unasked = [](SSL*, const unsigned char** chosen, unsigned char* size,
                                   const unsigned char*, unsigned int, void*) {
        static const unsigned char unasked[] = {'g', 'o', 'p', 'h', 'e', 'r'};
        *chosen = unasked;
        *size = sizeof unasked;
        return SSL_TLSEXT_ERR_OK;
    };
    SSL_CTX_set_alpn_select_cb(server.native_handle(), choose_unasked, nullptr);
    TlsPair pair(TlsContext::client(trusting_client().alpn({"h2", "http/1.1"})), server);
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.client().failure().phase, "handshake");
    EXPECT_EQ(pair.server().failure().alert_received, "decode_error");  // OpenSSL's choice
}

// ---- client certificates ----

TlsContext server_that(ClientCertificates policy) {
    return usual_server(
        TlsOptions().certificate_authority_file(pki().root_file()).client_certificates(policy));
}

TlsContext client_with(const TlsIdentity& identity, TlsVersion version = TlsVersion::tls1_3) {
    return TlsContext::client(trusting_client()
                                  .identity_files(identity.certificate_file, identity.key_file)
                                  .maximum_version(version));
}

TEST(TlsClientCertificates, are_verified_when_asked_for) {
    for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
        for (const ClientCertificates policy :
             {ClientCertificates::required, ClientCertificates::optional}) {
            const TlsContext server = server_that(policy);
            TlsPair good(client_with(pki().client(), version), server);
            ASSERT_TRUE(good.handshake()) << good.server().failure().text;
            EXPECT_EQ(good.server().info().peer_certificate()->subject, "CN=client");

            TlsPair bad(client_with(pki().unknown_client(), version), server);
            EXPECT_FALSE(bad.handshake());
            EXPECT_EQ(bad.server().failure().subject, "CN=unknown client");
            EXPECT_EQ(bad.server().failure().text,
                      "certificate verify failed: unable to get local issuer certificate (depth "
                      "0, subject CN=unknown client, issuer CN=Unknown Test Root), alert sent: "
                      "unknown_ca");
            EXPECT_EQ(bad.client().failure().alert_received, "unknown_ca");
        }
    }
}

TEST(TlsClientCertificates, may_be_missing_only_when_optional) {
    const TlsContext client = TlsContext::client(trusting_client());
    TlsPair optional(client, server_that(ClientCertificates::optional));
    ASSERT_TRUE(optional.handshake());
    EXPECT_FALSE(optional.server().info().peer_certificate());
    EXPECT_TRUE(optional.server().info().peer_chain().empty());
    EXPECT_TRUE(optional.server().info().verified_chain().empty());
    TlsPair required(client, server_that(ClientCertificates::required));
    EXPECT_FALSE(required.handshake());
    EXPECT_THAT(required.server().failure().text, HasSubstr("the client sent no certificate"));
    EXPECT_EQ(required.client().failure().alert_received, "certificate_required");
}

TEST(TlsClientCertificates, are_not_asked_for_by_itself) {
    TlsPair pair(client_with(pki().client()), usual_server());
    ASSERT_TRUE(pair.handshake());
    EXPECT_FALSE(pair.server().info().peer_certificate());
}

TEST(TlsClientCertificates, of_servers_are_refused) {
    TlsPair pair(client_with(pki().other_server()), server_that(ClientCertificates::required));
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.server().failure().verify_code, X509_V_ERR_INVALID_PURPOSE);
}

TEST(TlsClientCertificates, can_be_collected_without_judging_them) {
    TlsPair pair(client_with(pki().unknown_client()),
                 usual_server(TlsOptions().insecure_accept_any_certificate().client_certificates(
                     ClientCertificates::required)));
    ASSERT_TRUE(pair.handshake()) << pair.server().failure().text;
    EXPECT_EQ(pair.server().info().peer_certificate()->subject, "CN=unknown client");
    EXPECT_TRUE(pair.server().info().verified_chain().empty());
}

// ---- TlsInfo ----

TEST(TlsInfoTest, tells_what_both_ends_know) {
    TlsPair pair(TlsContext::client(trusting_client().alpn({"h2"})),
                 usual_server(TlsOptions().alpn({"h2"})), "Example.test");
    ASSERT_TRUE(pair.handshake());
    const TlsInfo client = pair.client().info();
    const TlsInfo server = pair.server().info();
    EXPECT_TRUE(client);
    EXPECT_EQ(client.version(), "TLSv1.3");
    EXPECT_EQ(client.cipher(), "TLS_AES_128_GCM_SHA256");
    EXPECT_EQ(client.cipher_bits(), 128);
    EXPECT_EQ(client.alpn(), "h2");
    EXPECT_EQ(client.server_name(), "Example.test");
    EXPECT_EQ(server.server_name(), "example.test");
    EXPECT_FALSE(client.session_reused());
    EXPECT_EQ(client.layer(), 0);
    EXPECT_FALSE(client.ktls_send());
    EXPECT_FALSE(client.ktls_recv());
    EXPECT_EQ(client.ktls_reason(), "not asked for");
    EXPECT_FALSE(server.peer_certificate());
    EXPECT_EQ(TlsInfo(detail::describe_connection(*pair.client().ssl(), 2)).layer(), 2);
}

TEST(TlsInfoTest, shows_the_certificate_decoded) {
    TlsPair pair(TlsContext::client(trusting_client()), usual_server());
    const auto now = std::chrono::system_clock::now();
    ASSERT_TRUE(pair.handshake());
    const TlsInfo info = pair.client().info();
    const TlsCertificate& leaf = *info.peer_certificate();
    EXPECT_EQ(leaf.subject, "CN=server");
    EXPECT_EQ(leaf.issuer, "CN=Sluice Test Intermediate");
    EXPECT_THAT(leaf.names, ElementsAre("DNS:example.test", "DNS:*.wild.test", "DNS:localhost",
                                        "IP:127.0.0.1", "IP:::1"));
    EXPECT_LT(leaf.not_before, now);
    EXPECT_GT(leaf.not_after, now + std::chrono::hours(22));
    EXPECT_LT(leaf.not_after, now + std::chrono::hours(25));
    EXPECT_EQ(leaf.serial_number.size(), 8U);

    std::vector<unsigned char> digest(32);
    ASSERT_EQ(
        EVP_Digest(leaf.der.data(), leaf.der.size(), digest.data(), nullptr, EVP_sha256(), nullptr),
        1);
    std::string expected;
    for (const unsigned char byte : digest) {
        char text[3];
        std::snprintf(text, sizeof text, "%02x", static_cast<unsigned>(byte));
        expected += text;
    }
    EXPECT_EQ(leaf.fingerprint, expected);
    const auto* at = reinterpret_cast<const unsigned char*>(leaf.der.data());
    X509* const parsed = d2i_X509(nullptr, &at, static_cast<long>(leaf.der.size()));
    ASSERT_NE(parsed, nullptr);
    EXPECT_EQ(X509_cmp(parsed, SSL_get0_peer_certificate(pair.client().ssl())), 0);
    X509_free(parsed);
}

std::vector<std::string> subjects(const std::vector<TlsCertificate>& chain) {
    std::vector<std::string> all;
    for (const TlsCertificate& certificate : chain) {
        all.push_back(certificate.subject);
    }
    return all;
}

TEST(TlsInfoTest, shows_the_chain_as_sent_and_as_verified_at_both_ends) {
    TlsPair pair(client_with(pki().client()), server_that(ClientCertificates::required));
    ASSERT_TRUE(pair.handshake());
    EXPECT_THAT(subjects(pair.client().info().peer_chain()),
                ElementsAre("CN=server", "CN=Sluice Test Intermediate"));
    EXPECT_THAT(subjects(pair.client().info().verified_chain()),
                ElementsAre("CN=server", "CN=Sluice Test Intermediate", "CN=Sluice Test Root"));
    EXPECT_THAT(subjects(pair.server().info().peer_chain()),
                ElementsAre("CN=client", "CN=Sluice Test Intermediate"));
    EXPECT_THAT(subjects(pair.server().info().verified_chain()),
                ElementsAre("CN=client", "CN=Sluice Test Intermediate", "CN=Sluice Test Root"));
}

TEST(TlsInfoTest, channel_bindings_are_the_same_at_both_ends_and_new_each_time) {
    for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
        const TlsContext client = TlsContext::client(trusting_client().maximum_version(version));
        const TlsContext server = usual_server();
        std::vector<std::byte> last;
        for (const bool resumed : {false, true}) {
            TlsPair pair(client, server);
            ASSERT_TRUE(pair.handshake());
            ASSERT_EQ(pair.client().info().session_reused(), resumed);
            for (const char* type : {"tls-exporter", "tls-unique", "tls-server-end-point"}) {
                EXPECT_EQ(pair.client().info().channel_binding(type),
                          pair.server().info().channel_binding(type))
                    << type;
            }
            const std::vector<std::byte> exporter =
                pair.client().info().channel_binding("tls-exporter");
            EXPECT_EQ(exporter.size(), 32U);
            EXPECT_NE(exporter, last);
            last = exporter;
            EXPECT_EQ(pair.client().info().channel_binding("tls-unique").size(),
                      version == TlsVersion::tls1_2 ? 12U : 0U);
            if (version == TlsVersion::tls1_2) {
                // RFC 5929, 3: the first Finished, the server's when resumed.
                TlsEnd& first = resumed ? pair.server() : pair.client();
                std::vector<std::byte> finished(12);
                SSL_get_finished(first.ssl(), finished.data(), finished.size());
                EXPECT_EQ(pair.client().info().channel_binding("tls-unique"), finished);
            }
            EXPECT_EQ(pair.client().info().channel_binding("tls-server-end-point").size(), 32U);
            EXPECT_THROW((void)pair.client().info().channel_binding("tls-nonsense"),
                         std::invalid_argument);
            pair.shut_down();
        }
    }
}

TEST(TlsInfoTest, outlives_its_connection) {
    TlsInfo info;
    {
        TlsPair pair(TlsContext::client(trusting_client()), usual_server());
        ASSERT_TRUE(pair.handshake());
        info = pair.client().info();
    }
    EXPECT_EQ(info.peer_certificate()->subject, "CN=server");
}

TEST(TlsInfoTest, of_nothing_is_false_and_throws) {
    const TlsInfo info;
    EXPECT_FALSE(info);
    EXPECT_THROW((void)info.version(), std::logic_error);
    EXPECT_THROW((void)info.channel_binding("tls-exporter"), std::logic_error);
}

TEST(TlsInfoTest, a_certificate_valid_for_ever_has_a_time_that_is_late) {
    const TlsIdentity eternal = pki().issue({.common_name = "eternal",
                                             .names = {"DNS:example.test"},
                                             .not_after = std::chrono::hours(24 * 365 * 7900)});
    TlsPair pair(TlsContext::client(trusting_client()), server_of(eternal));
    ASSERT_TRUE(pair.handshake());
    EXPECT_GT(pair.client().info().peer_certificate()->not_after,
              std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 100));
}

// ---- other failures ----

TlsFailure failure_for_bytes(std::string_view bytes) {
    TlsPair pair(foreign_client(), usual_server());
    BIO_write(SSL_get_wbio(pair.client().ssl()), bytes.data(), static_cast<int>(bytes.size()));
    pair.server().step();
    EXPECT_TRUE(pair.server().failed());
    return pair.server().failure();
}

TEST(TlsFailures, D002_a_peer_that_does_not_speak_TLS_is_called_so) {
    EXPECT_EQ(failure_for_bytes("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n").text,
              "TLS handshake failed: the peer sent a plain HTTP request (SSL routines: http "
              "request)");
    EXPECT_THAT(failure_for_bytes("SSH-2.0-OpenSSH_9.2p1 Debian\r\n").text,
                StartsWith("TLS handshake failed: the peer does not speak TLS ("));
    EXPECT_FALSE(failure_for_bytes(std::string(100, '\0')).text.empty());
}

TEST(TlsFailures, D002_a_plain_server_is_called_so) {
    TlsPair pair(TlsContext::client(trusting_client()), foreign_client());
    pair.client().step();
    const std::string_view banner = "220 mail.example.test ESMTP ready\r\n";
    BIO_write(SSL_get_rbio(pair.client().ssl()), banner.data(), static_cast<int>(banner.size()));
    pair.client().step();
    EXPECT_EQ(pair.client().failure().text,
              "TLS handshake failed: the peer does not speak TLS (SSL routines: wrong version "
              "number), asked for 'example.test'");
}

TEST(TlsFailures, D011_a_flipped_bit_is_a_bad_record_and_what_was_left_in_the_queue_is_not_told) {
    TlsPair pair(TlsContext::client(trusting_client()), usual_server());
    ASSERT_TRUE(pair.handshake());
    ASSERT_TRUE(pair.server().write("secret"));
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_rbio(pair.client().ssl()), &data);
    data[size - 1] = static_cast<char>(data[size - 1] ^ 1);
    EXPECT_EQ(pair.client().read(), "");
    EXPECT_EQ(pair.client().failure().phase, "data");
    EXPECT_EQ(pair.client().failure().alert_sent, "bad_record_mac");
    EXPECT_THAT(pair.client().failure().text,
                StartsWith("TLS data failed: SSL routines: decryption failed or bad record mac"));
    EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST(TlsFailures, an_error_names_the_peer_and_keeps_the_failure) {
    TlsFailure failure;
    failure.phase = "handshake";
    failure.text = "certificate verify failed: because";
    const TlsError error(Error::tls_certificate_rejected, failure, "192.0.2.1:443");
    EXPECT_STREQ(error.what(),
                 "192.0.2.1:443: certificate verify failed: because: the peer's certificate was "
                 "rejected");
    EXPECT_EQ(error.address(), "192.0.2.1:443");
    EXPECT_EQ(error.failure().phase, "handshake");
    const TlsError copy = error;  // NOLINT(performance-unnecessary-copy-initialization): the point
    EXPECT_EQ(&copy.failure(), &error.failure());
}

}  // namespace
}  // namespace sluice::test
