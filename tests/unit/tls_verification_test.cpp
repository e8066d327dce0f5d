// Whom a client trusts and which names it accepts: reliability.md C1, C3, C5, C6 and C15, and the
// names that are refused before anything is sent. Every refusal must say why.
#include "tls_pair.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/x509.h>

namespace sluice::test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// The client's failure when it meets a server with `identity`; an empty text if it met none.
TlsFailure refusal(const TlsIdentity& identity, const std::string& host = "example.test",
                   TlsOptions options = trusting_client()) {
    TlsPair pair(TlsContext::client(std::move(options)), server_of(identity), host);
    pair.handshake();
    EXPECT_EQ(pair.server().open(), pair.client().open());
    return pair.client().failure();
}

bool accepts(const std::vector<std::string>& names, const std::string& host) {
    const TlsFailure failure = refusal(pki().issue({.common_name = host, .names = names}), host);
    EXPECT_TRUE(!failure || failure.verify_code == X509_V_ERR_HOSTNAME_MISMATCH ||
                failure.verify_code == X509_V_ERR_IP_ADDRESS_MISMATCH)
        << failure.text;
    return !failure;
}

TEST(TlsVerification, a_good_certificate_is_accepted_without_a_further_call) {
    TlsPair pair(TlsContext::client(trusting_client()), usual_server());
    ASSERT_TRUE(pair.handshake()) << pair.client().failure().text;
    EXPECT_TRUE(pair.client().write("hello"));
    EXPECT_EQ(pair.server().read(), "hello");
    EXPECT_TRUE(pair.server().write("hello yourself"));
    EXPECT_EQ(pair.client().read(), "hello yourself");
    EXPECT_FALSE(pair.client().failure());
}

TEST(TlsVerification, C01_a_wrong_host_name_is_refused_and_the_names_are_told) {
    const TlsFailure failure = refusal(pki().other_server());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_HOSTNAME_MISMATCH);
    EXPECT_EQ(failure.verify_depth, 0);
    EXPECT_EQ(failure.host, "example.test");
    EXPECT_EQ(failure.alert_sent, "bad_certificate");
    EXPECT_EQ(failure.phase, "handshake");
    EXPECT_EQ(failure.text,
              "certificate verify failed: hostname mismatch: certificate is for DNS:other.test, "
              "asked for 'example.test' (depth 0, subject CN=other, issuer CN=Sluice Test "
              "Intermediate), alert sent: bad_certificate");
}

TEST(TlsVerification, C01_an_expired_certificate_is_refused) {
    const TlsFailure failure = refusal(pki().expired());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_CERT_HAS_EXPIRED);
    EXPECT_EQ(failure.subject, "CN=expired");
    EXPECT_EQ(failure.alert_sent, "certificate_expired");
    EXPECT_THAT(failure.text,
                StartsWith("certificate verify failed: certificate has expired, asked for "
                           "'example.test' (depth 0, subject CN=expired"));
}

TEST(TlsVerification, C01_a_certificate_of_the_future_is_refused) {
    const TlsFailure failure = refusal(pki().not_yet_valid());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_CERT_NOT_YET_VALID);
    EXPECT_THAT(failure.text, HasSubstr("certificate is not yet valid"));
}

TEST(TlsVerification, C01_a_self_signed_certificate_is_refused) {
    const TlsFailure failure = refusal(pki().self_signed());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
    EXPECT_THAT(failure.text, HasSubstr("self-signed certificate"));
}

TEST(TlsVerification, C01_an_unknown_authority_is_refused_and_named) {
    const TlsFailure failure = refusal(pki().unknown());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    EXPECT_EQ(failure.issuer, "CN=Unknown Test Root");
    EXPECT_EQ(failure.alert_sent, "unknown_ca");
    EXPECT_THAT(failure.text, HasSubstr("unable to get local issuer certificate"));
}

TEST(TlsVerification, C01_the_server_learns_from_the_alert_why_it_was_refused) {
    TlsPair pair(TlsContext::client(trusting_client()), server_of(pki().unknown()));
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.server().failure().alert_received, "unknown_ca");
    EXPECT_EQ(pair.server().failure().text,
              "TLS handshake failed: the peer sent the alert unknown_ca");
    EXPECT_EQ(pair.server().failure().verify_code, 0);
}

TEST(TlsVerification, C01_a_revoked_certificate_is_refused_when_there_is_a_list) {
    EXPECT_FALSE(refusal(pki().revoked())) << "without a list nobody knows";
    const auto with_list = [] {
        return std::move(trusting_client().revocation_list_file(pki().revocation_list_file()));
    };
    const TlsFailure failure = refusal(pki().revoked(), "example.test", with_list());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_CERT_REVOKED);
    EXPECT_EQ(failure.alert_sent, "certificate_revoked");
    EXPECT_THAT(failure.text, HasSubstr("certificate revoked"));
    EXPECT_FALSE(refusal(pki().server(), "example.test", with_list()));
}

TEST(TlsVerification, C01_a_list_out_of_date_refuses_everybody) {
    const TlsFailure failure =
        refusal(pki().server(), "example.test",
                trusting_client().revocation_list_file(pki().outdated_revocation_list_file()));
    EXPECT_EQ(failure.verify_code, X509_V_ERR_CRL_HAS_EXPIRED);
}

TEST(TlsVerification, C01_every_issuer_of_the_chain_needs_a_list) {
    std::ifstream file(pki().revocation_list_file());
    const std::string lists{std::istreambuf_iterator<char>(file), {}};
    const std::size_t second = lists.find("-----BEGIN", 1);
    ASSERT_NE(second, std::string::npos);
    const std::string only_the_intermediates =
        pki().write_file("half-lists.pem", lists.substr(second));
    const TlsFailure failure =
        refusal(pki().server(), "example.test",
                trusting_client().revocation_list_file(only_the_intermediates));
    EXPECT_EQ(failure.verify_code, X509_V_ERR_UNABLE_TO_GET_CRL);
    EXPECT_EQ(failure.subject, "CN=Sluice Test Intermediate");
    EXPECT_EQ(failure.verify_depth, 1);
}

TEST(TlsVerification, C01_a_certificate_for_clients_is_refused_as_a_servers) {
    const TlsFailure failure = refusal(
        pki().issue({.common_name = "c", .names = {"DNS:example.test"}, .usage = "clientAuth"}));
    EXPECT_EQ(failure.verify_code, X509_V_ERR_INVALID_PURPOSE);
}

TEST(TlsVerification, C03_wildcards_stand_for_exactly_one_whole_label) {
    EXPECT_TRUE(accepts({"DNS:*.a.test"}, "x.a.test"));
    EXPECT_TRUE(accepts({"DNS:*.a.test"}, "X.A.TEST"));
    EXPECT_FALSE(accepts({"DNS:*.a.test"}, "x.y.a.test"));
    EXPECT_FALSE(accepts({"DNS:*.a.test"}, "a.test"));
    EXPECT_FALSE(accepts({"DNS:*.test"}, "a.test")) << "a whole top-level domain";
    EXPECT_FALSE(accepts({"DNS:f*.a.test"}, "foo.a.test"));
    EXPECT_FALSE(accepts({"DNS:*o.a.test"}, "foo.a.test"));
    EXPECT_FALSE(accepts({"DNS:x.*.test"}, "x.a.test"));
    EXPECT_FALSE(accepts({"DNS:*.*.test"}, "x.a.test"));
    EXPECT_TRUE(accepts({"DNS:other.test", "DNS:*.a.test"}, "x.a.test"));
}

TEST(TlsVerification, C05_an_address_is_compared_with_the_addresses_of_the_certificate_alone) {
    EXPECT_TRUE(accepts({"IP:192.0.2.1"}, "192.0.2.1"));
    EXPECT_TRUE(accepts({"IP:2001:db8::1"}, "2001:db8::1"));
    EXPECT_TRUE(accepts({"IP:2001:db8::1"}, "2001:DB8:0::1"));
    EXPECT_FALSE(accepts({"IP:192.0.2.2"}, "192.0.2.1"));
    EXPECT_FALSE(accepts({"DNS:192.0.2.1"}, "192.0.2.1"));
    EXPECT_FALSE(accepts({}, "192.0.2.1")) << "the common name is the address";
    EXPECT_FALSE(accepts({"IP:192.0.2.1"}, "example.test"));
}

TEST(TlsVerification, C05_a_zone_is_no_part_of_the_address) {
    EXPECT_TRUE(accepts({"IP:fe80::1"}, "fe80::1%eth0"));
}

TEST(TlsVerification, C05_a_wrong_address_is_told_as_such) {
    const TlsFailure failure = refusal(pki().other_server(), "127.0.0.1");
    EXPECT_EQ(failure.verify_code, X509_V_ERR_IP_ADDRESS_MISMATCH);
    EXPECT_EQ(failure.host, "127.0.0.1");
    EXPECT_THAT(failure.text, HasSubstr("IP address mismatch: certificate is for DNS:other.test, "
                                        "asked for '127.0.0.1'"));
}

TEST(TlsVerification, C05_an_address_is_never_sent_as_a_server_name) {
    for (const char* host : {"127.0.0.1", "::1"}) {
        TlsPair pair(TlsContext::client(trusting_client()), usual_server(), host);
        ASSERT_TRUE(pair.handshake()) << pair.client().failure().text;
        EXPECT_EQ(pair.server().info().server_name(), "");
        EXPECT_EQ(pair.client().info().server_name(), "");
    }
}

TEST(TlsVerification, C06_a_common_name_is_not_a_host_name) {
    const TlsFailure failure = refusal(pki().common_name_only());
    EXPECT_EQ(failure.verify_code, X509_V_ERR_HOSTNAME_MISMATCH);
    EXPECT_THAT(failure.text,
                HasSubstr("certificate names no host, asked for 'example.test' (depth 0, subject "
                          "CN=example.test"));
}

TEST(TlsVerification, C15_a_chain_longer_than_any_real_one_is_refused) {
    EXPECT_FALSE(refusal(pki().issue_deep(16)));
    const TlsFailure failure = refusal(pki().issue_deep(40));
    EXPECT_EQ(failure.verify_code, X509_V_ERR_CERT_CHAIN_TOO_LONG) << failure.text;
}

TEST(TlsVerification, C15_a_certificate_of_a_megabyte_is_refused_before_it_is_read) {
    const TlsIdentity huge = pki().issue({.common_name = "huge",
                                          .names = {"DNS:example.test"},
                                          .padding_bytes = std::size_t{1024} * 1024});
    const TlsFailure failure = refusal(huge);
    EXPECT_EQ(failure.verify_code, 0);
    EXPECT_EQ(failure.alert_sent, "illegal_parameter");
    EXPECT_THAT(failure.text, HasSubstr("excessive message size"));
}

TEST(TlsVerification, the_text_of_a_failure_is_one_printable_line_whatever_the_certificate_says) {
    const TlsFailure failure = refusal(pki().issue(
        {.common_name = "evil\nINFO all is well \x1b[2J", .names = {"DNS:evil\n.test"}}));
    EXPECT_EQ(failure.verify_code, X509_V_ERR_HOSTNAME_MISMATCH);
    for (const char c : failure.text) {
        EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
    }
    EXPECT_THAT(failure.text, HasSubstr("DNS:evil\\x0a.test"));
}

TEST(TlsVerification, many_names_are_cut_short_in_the_text) {
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) {
        names.push_back("DNS:n" + std::to_string(i) + ".test");
    }
    const TlsFailure failure = refusal(pki().issue({.common_name = "many", .names = names}));
    EXPECT_THAT(failure.text, HasSubstr("DNS:n7.test and 92 more, asked for"));
}

TEST(TlsVerification, without_an_authority_the_systems_store_decides) {
    const TlsFailure failure = refusal(pki().server(), "example.test", TlsOptions());
    EXPECT_NE(failure.verify_code, 0) << "the test root is in no system's store";
}

TEST(TlsVerification, an_intermediate_may_be_the_authority) {
    const TlsIdentity& server = pki().server();
    const std::size_t second = server.pem.find("-----BEGIN", 1);
    EXPECT_FALSE(refusal(server, "example.test",
                         TlsOptions().certificate_authority(server.pem.substr(second))));
}

TEST(TlsVerification, the_systems_store_can_stand_beside_a_private_authority) {
    EXPECT_FALSE(refusal(pki().server(), "example.test",
                         trusting_client().system_certificate_authorities(true)));
}

TEST(TlsVerification, accepting_any_certificate_accepts_any) {
    for (const TlsIdentity& identity :
         {pki().other_server(), pki().expired(), pki().self_signed(), pki().unknown()}) {
        TlsPair pair(TlsContext::client(TlsOptions().insecure_accept_any_certificate()),
                     server_of(identity));
        ASSERT_TRUE(pair.handshake()) << identity.subject << ": " << pair.client().failure().text;
        EXPECT_EQ(pair.client().info().peer_certificate()->subject, identity.subject);
        EXPECT_TRUE(pair.client().info().verified_chain().empty());
    }
}

TEST(TlsVerification, a_verifying_client_needs_a_name) {
    detail::TlsRecordOfTroubles troubles;
    const TlsContext verifying = TlsContext::client(trusting_client());
    EXPECT_THROW(detail::make_ssl(verifying, {false, "", 443}, troubles), std::invalid_argument);
    const TlsContext careless = TlsContext::client(TlsOptions().insecure_accept_any_certificate());
    EXPECT_NE(detail::make_ssl(careless, {false, "", 443}, troubles), nullptr);
}

TEST(TlsVerification, a_context_serves_only_its_own_role) {
    detail::TlsRecordOfTroubles troubles;
    const TlsContext client = TlsContext::client(trusting_client());
    EXPECT_THROW(detail::make_ssl(client, {true, "", 0}, troubles), std::invalid_argument);
    const TlsContext server = usual_server();
    EXPECT_THROW(detail::make_ssl(server, {false, "a.test", 0}, troubles), std::invalid_argument);
}

TEST(TlsVerification, a_trailing_dot_is_for_the_resolver_only) {
    TlsPair pair(TlsContext::client(trusting_client()), usual_server(), "example.test.");
    ASSERT_TRUE(pair.handshake()) << pair.client().failure().text;
    EXPECT_EQ(pair.server().info().server_name(), "example.test");
}

std::string name_refusal(std::string_view name) {
    return refusal_of([&] { detail::check_server_name(name, "create_connection"); });
}

TEST(TlsServerNames, that_cannot_be_names_are_refused_at_the_call) {
    EXPECT_EQ(name_refusal(""), "create_connection: '' is empty");
    EXPECT_EQ(name_refusal("."), "create_connection: '.' is empty");
    EXPECT_EQ(name_refusal(".example.test"),
              "create_connection: '.example.test' has an empty label");
    EXPECT_THAT(name_refusal("example..test"), EndsWith("has an empty label"));
    EXPECT_THAT(name_refusal("example.test.."), EndsWith("has an empty label"));
    EXPECT_EQ(name_refusal(std::string_view("example.test\0.evil.test", 23)),
              "create_connection: 'example.test\\x00.evil.test' has a character that no host name "
              "has");
    EXPECT_EQ(name_refusal("b\xc3\xbc"
                           "cher.test"),
              "create_connection: 'b\\xc3\\xbc"
              "cher.test' is not ASCII: give the form that begins with xn--");
    EXPECT_THAT(name_refusal("*.example.test"), EndsWith("has a character that no host name has"));
    EXPECT_THAT(name_refusal("exa mple.test"), EndsWith("has a character that no host name has"));
    EXPECT_THAT(name_refusal("example.test/"), EndsWith("has a character that no host name has"));
    EXPECT_THAT(name_refusal("[::1]"), EndsWith("has a character that no host name has"));
    EXPECT_THAT(name_refusal(std::string(64, 'a') + ".test"),
                EndsWith("has a label of more than 63 characters"));
    EXPECT_THAT(name_refusal(std::string_view("::1%a\0b", 7)), HasSubstr("no host name has"));
    std::string longest;
    while (longest.size() < 254) {
        longest += "a.";
    }
    EXPECT_EQ(name_refusal(longest.substr(0, 253)), "(accepted)");
    EXPECT_THAT(name_refusal(longest + "b"),
                EndsWith("is longer than a host name can be (253 characters)"));
    EXPECT_LT(name_refusal(std::string(1'000'000, 'x')).size(), 1000U);
}

TEST(TlsServerNames, of_every_usual_kind_are_accepted) {
    for (const char* name :
         {"example.test", "localhost", "a", "xn--bcher-kva.test", "EXAMPLE.test",
          "_dmarc.example.test", "1.test", "example.test.", "127.0.0.1", "::1", "fe80::1%eth0"}) {
        EXPECT_EQ(name_refusal(name), "(accepted)") << name;
    }
}

}  // namespace
}  // namespace sluice::test
