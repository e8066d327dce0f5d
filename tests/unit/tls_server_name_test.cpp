// Servers with several names: the table, the callback, what a client's junk leads to, and that a
// name brings its own rules with it (reliability.md C8).
#include <sluice/detail/tls_session_cache.hpp>

#include "tls_pair.hpp"

#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::test {
namespace {

using testing::HasSubstr;

TlsContext named(const std::string& subject, TlsOptions options = TlsOptions()) {
    return server_of(pki().issue({.common_name = subject,
                                  .names = {"DNS:example.test", "DNS:*.test", "DNS:*.a.test"}}),
                     std::move(options));
}

TlsOptions careless_client() {
    return std::move(TlsOptions().insecure_accept_any_certificate());
}

/// Who answers a client that asks for `host`, or the server's reason to refuse.
std::string answer(const TlsContext& server, const std::string& host) {
    TlsPair pair(TlsContext::client(careless_client()), server, host);
    return pair.handshake() ? pair.client().info().peer_certificate()->subject
                            : pair.server().failure().text;
}

TEST(TlsServerNameTable, C08_leads_each_name_to_its_context_whatever_the_case) {
    const TlsContext server = named("default", TlsOptions()
                                                   .server_name("One.test", named("one"))
                                                   .server_name("*.a.test", named("wild"))
                                                   .server_name("exact.a.test", named("exact")));
    EXPECT_EQ(answer(server, "one.test"), "CN=one");
    EXPECT_EQ(answer(server, "ONE.TEST"), "CN=one");
    EXPECT_EQ(answer(server, "x.a.test"), "CN=wild");
    EXPECT_EQ(answer(server, "X.A.Test"), "CN=wild");
    EXPECT_EQ(answer(server, "exact.a.test"), "CN=exact") << "exact names win";
    EXPECT_EQ(answer(server, "x.y.a.test"), "CN=default") << "a wildcard is one label";
    EXPECT_EQ(answer(server, "a.test"), "CN=default");
    EXPECT_EQ(answer(server, "two.test"), "CN=default");
    EXPECT_EQ(answer(server, "127.0.0.1"), "CN=default") << "no name at all";
}

TEST(TlsServerNameTable, C08_the_name_is_told_in_lower_case) {
    TlsPair pair(TlsContext::client(careless_client()), usual_server(), "EXAMPLE.Test");
    ASSERT_TRUE(pair.handshake());
    EXPECT_EQ(pair.server().info().server_name(), "example.test");
}

TEST(TlsServerNameTable, C08_an_unknown_name_is_refused_when_that_is_wanted) {
    const TlsContext server = usual_server(
        TlsOptions().server_name("known.test", named("known")).require_known_server_name(true));
    EXPECT_EQ(answer(server, "known.test"), "CN=known");
    EXPECT_EQ(answer(server, "127.0.0.1"), "CN=server") << "nobody is asked for";
    EXPECT_EQ(answer(server, "example.test"), "CN=server") << "a name of our own certificate";
    EXPECT_EQ(answer(server, "unknown.test"),
              "TLS handshake failed: nobody here is called 'unknown.test', alert sent: "
              "unrecognized_name");
    TlsPair pair(TlsContext::client(careless_client()), server, "unknown.test");
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.client().failure().alert_received, "unrecognized_name");
}

TEST(TlsServerNameTable, reload_of_one_name_leaves_the_others_alone) {
    const TlsIdentity& first = pki().server();
    const TlsIdentity& second = pki().other_server();
    const std::string certificate = pki().write_file("named.pem", first.pem);
    const std::string key = pki().write_file("named-key.pem", first.key_pem);
    TlsContext one = TlsContext::server(certificate, key);
    const TlsContext server = named("default", TlsOptions().server_name("one.test", one));
    EXPECT_EQ(answer(server, "one.test"), "CN=server");
    std::ofstream(certificate, std::ios::trunc) << second.pem;
    std::ofstream(key, std::ios::trunc) << second.key_pem;
    one.reload();
    EXPECT_EQ(answer(server, "one.test"), "CN=other");
    EXPECT_EQ(answer(server, "two.test"), "CN=default");
}

TEST(TlsServerNameCallback, is_asked_for_names_that_are_not_in_the_table) {
    std::vector<std::string> asked;
    const TlsContext dynamic = named("dynamic");
    const TlsContext server =
        named("default",
              TlsOptions()
                  .server_name("static.test", named("static"))
                  .server_name_callback([&](std::string_view name) -> std::optional<TlsContext> {
                      asked.emplace_back(name);
                      if (name == "dynamic.test") {
                          return dynamic;
                      }
                      return std::nullopt;
                  }));
    EXPECT_EQ(answer(server, "static.test"), "CN=static");
    EXPECT_EQ(answer(server, "DYNAMIC.test"), "CN=dynamic");
    EXPECT_EQ(answer(server, "other.test"), "CN=default");
    EXPECT_EQ(answer(server, "127.0.0.1"), "CN=default");
    EXPECT_EQ(asked, (std::vector<std::string>{"dynamic.test", "other.test"}));
}

TEST(TlsServerNameCallback, that_throws_fails_this_handshake_and_no_other) {
    const TlsContext server = named(
        "default",
        TlsOptions().server_name_callback([](std::string_view name) -> std::optional<TlsContext> {
            if (name == "bad.test") {
                throw std::runtime_error("the data base is away\n");
            }
            if (name == "odd.test") {
                throw 42;
            }
            return std::nullopt;
        }));
    EXPECT_EQ(answer(server, "bad.test"),
              "TLS handshake failed: the server name callback threw: the data base is away\\x0a, "
              "alert sent: internal_error");
    EXPECT_EQ(answer(server, "odd.test"),
              "TLS handshake failed: the server name callback threw no std::exception, alert sent: "
              "internal_error");
    EXPECT_EQ(answer(server, "good.test"), "CN=default");
}

TEST(TlsServerNameCallback, that_gives_a_clients_context_fails_the_handshake) {
    const TlsContext server = usual_server(TlsOptions().server_name_callback(
        [](std::string_view) { return TlsContext::client(careless_client()); }));
    EXPECT_THAT(answer(server, "any.test"), HasSubstr("a context for clients"));
}

// ---- a name's own rules ----

TlsOptions demanding() {
    return std::move(TlsOptions()
                         .certificate_authority_file(pki().root_file())
                         .client_certificates(ClientCertificates::required));
}

TlsOptions with_identity(TlsOptions options) {
    const TlsIdentity& identity = pki().client();
    return std::move(options.identity_files(identity.certificate_file, identity.key_file));
}

TEST(TlsServerNameRules, C08_client_certificates_are_demanded_as_the_name_wants_it) {
    const TlsContext server =
        named("open", TlsOptions().server_name("closed.test", named("closed", demanding())));
    EXPECT_EQ(answer(server, "open.test"), "CN=open");
    EXPECT_THAT(answer(server, "closed.test"), HasSubstr("the client sent no certificate"));
    TlsPair pair(TlsContext::client(with_identity(careless_client())), server, "closed.test");
    ASSERT_TRUE(pair.handshake()) << pair.server().failure().text;
    EXPECT_EQ(pair.server().info().peer_certificate()->subject, "CN=client");
    EXPECT_EQ(pair.server().info().verified_chain().size(), 3U);

    const TlsContext reversed =
        named("closed", demanding().server_name("open.test", named("open")));
    EXPECT_EQ(answer(reversed, "open.test"), "CN=open") << "looser rules are carried over, too";
    EXPECT_THAT(answer(reversed, "other.test"), HasSubstr("the client sent no certificate"));
}

// Otherwise a certificate from an authority that only the default context trusts would do.
TEST(TlsServerNameRules, C08_client_certificates_are_verified_with_the_names_authorities) {
    const TlsContext server = named(
        "default", demanding().server_name(
                       "foreign.test",
                       named("foreign", TlsOptions()
                                            .certificate_authority_file(pki().unknown_root_file())
                                            .client_certificates(ClientCertificates::required))));
    const TlsContext ours = TlsContext::client(with_identity(careless_client()));
    EXPECT_TRUE(TlsPair(ours, server, "default.test").handshake());
    TlsPair refused(ours, server, "foreign.test");
    EXPECT_FALSE(refused.handshake());
    EXPECT_NE(refused.server().failure().verify_code, 0);
    const TlsIdentity& theirs = pki().unknown_client();
    const TlsContext foreign = TlsContext::client(
        careless_client().identity_files(theirs.certificate_file, theirs.key_file));
    EXPECT_TRUE(TlsPair(foreign, server, "foreign.test").handshake());
    EXPECT_FALSE(TlsPair(foreign, server, "default.test").handshake());
}

TEST(TlsServerNameRules, C08_revocation_lists_belong_to_the_name) {
    const TlsContext server = named(
        "default", demanding().server_name(
                       "strict.test", named("strict", demanding().revocation_list_file(
                                                          pki().outdated_revocation_list_file()))));
    const TlsContext client = TlsContext::client(with_identity(careless_client()));
    EXPECT_TRUE(TlsPair(client, server, "default.test").handshake());
    EXPECT_THAT(
        [&] {
            TlsPair pair(client, server, "strict.test");
            pair.handshake();
            return pair.server().failure().text;
        }(),
        HasSubstr("CRL has expired"));
    const TlsContext reversed =
        named("strict", demanding()
                            .revocation_list_file(pki().outdated_revocation_list_file())
                            .server_name("lenient.test", named("lenient", demanding())));
    EXPECT_TRUE(TlsPair(client, reversed, "lenient.test").handshake());
}

// The hole of other servers: a ticket that an open name has given opens a name that demands
// certificates.
TEST(TlsServerNameRules, C08_a_ticket_of_one_name_does_not_open_another) {
    for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
        const TlsContext server =
            named("open", TlsOptions().server_name("closed.test", named("closed", demanding())));
        const TlsContext client = TlsContext::client(careless_client().maximum_version(version));
        TlsPair open(client, server, "open.test");
        ASSERT_TRUE(open.handshake());
        const detail::SslSessionPtr ticket(SSL_get1_session(open.client().ssl()));
        open.shut_down();

        TlsPair same(client, server, "open.test", 1);
        SSL_set_session(same.client().ssl(), ticket.get());
        ASSERT_TRUE(same.handshake());
        EXPECT_TRUE(same.server().info().session_reused()) << "the ticket is good";

        TlsPair closed(client, server, "closed.test");
        SSL_set_session(closed.client().ssl(), ticket.get());
        EXPECT_FALSE(closed.handshake());
        EXPECT_THAT(closed.server().failure().text, HasSubstr("the client sent no certificate"));
    }
}

TEST(TlsServerNameRules, versions_protocols_groups_and_resumption_are_the_names_own) {
    const TlsContext server =
        named("default",
              TlsOptions()
                  .alpn({"http/1.1"})
                  .server_name("new.test", named("new", TlsOptions()
                                                            .minimum_version(TlsVersion::tls1_3)
                                                            .groups("P-384")
                                                            .alpn({"h2"})
                                                            .session_resumption(false)))
                  .server_name("old.test",
                               named("old", TlsOptions().maximum_version(TlsVersion::tls1_2))));
    const TlsContext client = TlsContext::client(careless_client().alpn({"http/1.1", "h2"}));
    TlsPair usual(client, server, "default.test");
    ASSERT_TRUE(usual.handshake());
    EXPECT_EQ(usual.client().info().alpn(), "http/1.1");
    for (int i = 0; i < 2; ++i) {
        TlsPair modern(client, server, "new.test");
        ASSERT_TRUE(modern.handshake()) << modern.server().failure().text;
        EXPECT_EQ(modern.client().info().alpn(), "h2");
        EXPECT_EQ(SSL_get_negotiated_group(modern.client().ssl()), NID_secp384r1);
        EXPECT_FALSE(modern.client().info().session_reused());
        modern.shut_down();
    }
    TlsPair old(client, server, "old.test");
    ASSERT_TRUE(old.handshake());
    EXPECT_EQ(old.client().info().version(), "TLSv1.2");
    EXPECT_EQ(old.client().info().alpn(), "");
    const TlsContext old_client =
        TlsContext::client(careless_client().maximum_version(TlsVersion::tls1_2));
    EXPECT_TRUE(TlsPair(old_client, server, "default.test").handshake());
    TlsPair too_old(old_client, server, "new.test");
    EXPECT_FALSE(too_old.handshake());
    EXPECT_EQ(too_old.client().failure().alert_received, "protocol_version");
}

// ---- what only an attacker sends ----

/// A ClientHello whose extension server_name has this body, in as many records as it takes.
std::string client_hello(const std::string& server_name_body) {
    const auto number = [](std::size_t value, int bytes) {
        std::string text;
        for (int i = bytes - 1; i >= 0; --i) {
            text += static_cast<char>(value >> (8 * i));
        }
        return text;
    };
    const std::string extension =
        number(0, 2) + number(server_name_body.size(), 2) + server_name_body;
    const std::string body = number(0x0303, 2) + std::string(32, 'r') + number(0, 1) +
                             number(2, 2) + number(0xc02b, 2) + number(1, 1) + number(0, 1) +
                             number(extension.size(), 2) + extension;
    const std::string message = number(1, 1) + number(body.size(), 3) + body;
    constexpr std::size_t record_bytes = 16384;
    std::string records;
    for (std::size_t at = 0; at < message.size(); at += record_bytes) {
        const std::string piece = message.substr(at, record_bytes);
        records += number(22, 1) + number(0x0303, 2) + number(piece.size(), 2) + piece;
    }
    return records;
}

/// The alert that a server with a callback sends to this body; the callback is never asked.
std::string alert_for(const std::string& server_name_body) {
    const TlsContext server =
        usual_server(TlsOptions().require_known_server_name(true).server_name_callback(
            [](std::string_view name) -> std::optional<TlsContext> {
                ADD_FAILURE() << "asked for " << name.size() << " bytes";
                return std::nullopt;
            }));
    TlsPair pair(foreign_client(), server);
    const std::string hello = client_hello(server_name_body);
    BIO_write(SSL_get_wbio(pair.client().ssl()), hello.data(), static_cast<int>(hello.size()));
    for (int i = 0; i < 8; ++i) {
        pair.server().step();
    }
    EXPECT_TRUE(pair.server().failed());
    return pair.server().failure().alert_sent;
}

std::string body_for(const std::string& name, char type = 0) {
    const auto number = [](std::size_t value) {
        return std::string{static_cast<char>(value >> 8U), static_cast<char>(value)};
    };
    return number(name.size() + 3) + type + number(name.size()) + name;
}

TEST(TlsServerNameJunk, C08_is_refused_with_an_alert) {
    using namespace std::string_literals;
    EXPECT_EQ(alert_for(""), "decode_error");
    EXPECT_EQ(alert_for("\0"s), "decode_error");
    EXPECT_EQ(alert_for("\0\0"s), "decode_error");
    EXPECT_EQ(alert_for(body_for("")), "decode_error");
    EXPECT_EQ(alert_for(body_for("a.test", 1)), "decode_error") << "an unknown kind of name";
    EXPECT_EQ(alert_for(body_for("a.test") + "x"), "decode_error");
    EXPECT_EQ(alert_for(body_for("a.test").substr(0, 8)), "decode_error");
    EXPECT_EQ(alert_for(body_for("a.test\0.evil.test"s)), "unrecognized_name");
    EXPECT_EQ(alert_for(body_for(std::string(256, 'a'))), "unrecognized_name");
    EXPECT_EQ(alert_for(body_for(std::string(60'000, 'j'))), "unrecognized_name");
    EXPECT_EQ(alert_for(std::string(65'000, '\xff')), "decode_error");
}

TEST(TlsServerNameJunk, C08_in_a_name_is_looked_up_and_shown_harmlessly) {
    std::string asked;
    const TlsContext server =
        usual_server(TlsOptions().require_known_server_name(true).server_name_callback(
            [&](std::string_view name) -> std::optional<TlsContext> {
                asked = name;
                return std::nullopt;
            }));
    TlsPair pair(foreign_client(), server);
    const std::string hello = client_hello(body_for("A\n\xff..*/%s"));
    BIO_write(SSL_get_wbio(pair.client().ssl()), hello.data(), static_cast<int>(hello.size()));
    pair.server().step();
    EXPECT_EQ(asked, "a\n\xff..*/%s");
    EXPECT_EQ(pair.server().failure().text,
              "TLS handshake failed: nobody here is called 'a\\x0a\\xff..*/%s', alert sent: "
              "unrecognized_name");
}

// A HelloRetryRequest makes the client say hello twice: once the decision is made, the name must
// stay the same.
TEST(TlsServerNameJunk, C08_another_name_in_the_second_hello_is_refused) {
    const TlsContext server = usual_server(
        TlsOptions().groups("X25519").server_name("closed.test", named("closed", demanding())));
    for (const bool changes : {false, true}) {
        TlsPair pair(TlsContext::client(careless_client().groups("P-256:X25519")), server,
                     "opened.test");
        pair.client().step();
        pair.server().step();  // HelloRetryRequest
        pair.client().step();
        BIO* const wire = SSL_get_wbio(pair.client().ssl());
        char* data = nullptr;
        const long size = BIO_get_mem_data(wire, &data);
        const std::string_view second(data, static_cast<std::size_t>(size));
        const std::size_t at = second.find("opened.test");
        ASSERT_NE(at, std::string_view::npos);
        if (changes) {
            std::string_view("closed").copy(data + at, 6);
        }
        EXPECT_EQ(pair.handshake(), !changes) << pair.server().failure().text;
        EXPECT_EQ(pair.server().failure().alert_sent, changes ? "illegal_parameter" : "");
    }
}

}  // namespace
}  // namespace sluice::test
