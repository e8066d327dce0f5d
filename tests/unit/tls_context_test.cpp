// How contexts are made and replaced: reliability.md C12 and C13, options that make no sense, and
// what is asked for only on request (key log, stapling).
#include <sluice/error.hpp>

#include "tls_pair.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ocsp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace sluice::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string server_refusal(TlsOptions options) {
    return refusal_of([&] { TlsContext::server(std::move(options)); });
}

std::string client_refusal(TlsOptions options) {
    return refusal_of([&] { TlsContext::client(std::move(options)); });
}

std::string content_of(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
}

void overwrite(const std::string& file, const std::string& content) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

// ---- loading ----

TEST(TlsContexts, C12_a_missing_file_is_named_with_the_systems_reason) {
    const TlsIdentity& good = pki().server();
    const std::string missing = pki().folder() + "/missing.pem";
    EXPECT_EQ(server_refusal(TlsOptions().identity_files(missing, good.key_file)),
              "cannot read the certificate '" + missing + "': No such file or directory");
    EXPECT_EQ(server_refusal(TlsOptions().identity_files(good.certificate_file, missing)),
              "cannot read the private key '" + missing + "': No such file or directory");
    EXPECT_EQ(client_refusal(TlsOptions().certificate_authority_file(missing)),
              "cannot read the certificate authority '" + missing + "': No such file or directory");
    EXPECT_EQ(client_refusal(trusting_client().revocation_list_file(missing)),
              "cannot read the revocation list '" + missing + "': No such file or directory");
    try {
        TlsContext::client(TlsOptions().certificate_authority_file(missing));
        FAIL();
    } catch (const TlsConfigError& error) {
        EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    }
}

TEST(TlsContexts, C12_a_directory_an_empty_file_and_an_endless_one_are_named_with_the_reason) {
    const std::string folder = pki().folder();
    EXPECT_EQ(client_refusal(TlsOptions().certificate_authority_file(folder)),
              "cannot read the certificate authority '" + folder + "': Is a directory");
    const std::string empty = pki().write_file("empty.pem", "");
    EXPECT_THAT(client_refusal(TlsOptions().certificate_authority_file(empty)),
                StartsWith("the certificate authority '" + empty + "' is empty"));
    EXPECT_EQ(client_refusal(TlsOptions().certificate_authority_file("/dev/zero")),
              "cannot read the certificate authority '/dev/zero': File too large");
}

TEST(TlsContexts, C12_garbage_is_named_with_the_reason) {
    const TlsIdentity& good = pki().server();
    const std::string garbage = pki().write_file("garbage.pem", "this is not PEM\n");
    EXPECT_EQ(server_refusal(TlsOptions().identity_files(garbage, good.key_file)),
              "cannot read the certificate '" + garbage + "': no start line");
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(good.certificate_file, garbage)),
                StartsWith("cannot read the private key '" + garbage + "': "));
    EXPECT_THAT(server_refusal(TlsOptions().identity("nothing", good.key_pem)),
                StartsWith("cannot read the certificate in memory: "));
    // A certificate whose second half was lost on the way.
    const std::string cut = pki().write_file("cut.pem", good.pem.substr(0, 300));
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(cut, good.key_file)),
                StartsWith("cannot read the certificate '" + cut + "': "));
    // The leaf is whole, the intermediate is not.
    const std::string half = pki().write_file("half.pem", good.pem.substr(0, good.pem.size() - 60));
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(half, good.key_file)),
                StartsWith("cannot read the certificate '" + half + "': "));
    const std::string base64 = pki().write_file(
        "base64.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(base64, good.key_file)),
                StartsWith("cannot read the certificate '" + base64 + "': "));
    EXPECT_THAT(client_refusal(trusting_client().revocation_list_file(good.certificate_file)),
                StartsWith("cannot read the revocation list '" + good.certificate_file + "': "));
    EXPECT_THAT(server_refusal(TlsOptions()
                                   .identity_files(good.certificate_file, good.key_file)
                                   .ocsp_response_file(garbage)),
                StartsWith("cannot read the OCSP response '" + garbage + "': "));
}

TEST(TlsContexts, C12_a_key_of_another_certificate_is_refused) {
    const TlsIdentity& server = pki().server();
    const TlsIdentity& other = pki().other_server();
    EXPECT_EQ(server_refusal(TlsOptions().identity_files(server.certificate_file, other.key_file)),
              "the private key '" + other.key_file + "' does not belong to the certificate '" +
                  server.certificate_file + "': key values mismatch");
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(server.certificate_file,
                                                           pki().server_rsa().key_file)),
                HasSubstr("does not belong to the certificate"));
}

TEST(TlsContexts, C12_an_encrypted_key_needs_its_password_and_never_asks_a_terminal) {
    const TlsIdentity& locked = pki().encrypted_key();
    EXPECT_THAT(
        server_refusal(TlsOptions().identity_files(locked.certificate_file, locked.key_file)),
        StartsWith("the private key '" + locked.key_file +
                   "' is encrypted and no password was given"));
    EXPECT_THAT(server_refusal(
                    TlsOptions().identity_files(locked.certificate_file, locked.key_file, "wrong")),
                StartsWith("cannot decrypt the private key '" + locked.key_file +
                           "' with the password given: "));
    EXPECT_THAT(server_refusal(TlsOptions().identity_files(locked.certificate_file, locked.key_file,
                                                           std::string(100'000, 'x'))),
                HasSubstr("cannot decrypt the private key"));
    const std::string password(TlsPki::password);
    EXPECT_EQ(server_refusal(
                  TlsOptions().identity_files(locked.certificate_file, locked.key_file, password)),
              "(accepted)");
    EXPECT_EQ(server_refusal(TlsOptions().identity(locked.pem, locked.key_pem, password)),
              "(accepted)");
}

TEST(TlsContexts, C12_a_key_too_weak_for_today_is_refused) {
    const TlsIdentity& rsa = pki().server_rsa();
    EXPECT_THAT(
        server_refusal(TlsOptions()
                           .identity_files(rsa.certificate_file, rsa.key_file)
                           .ciphers("ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=4")),
        StartsWith("cannot use the certificate '" + rsa.certificate_file + "': ee key too small"));
}

TEST(TlsContexts, C12_weak_keys_and_signatures_are_refused_wherever_we_run) {
    EXPECT_EQ(SSL_CTX_get_security_level(usual_server().native_handle()), 2);
    EXPECT_EQ(SSL_CTX_get_security_level(TlsContext::client(trusting_client()).native_handle()), 2);
}

TEST(TlsContexts, PEM_from_memory_is_as_good_as_from_files) {
    const TlsIdentity& identity = pki().server();
    const TlsContext server =
        TlsContext::server(TlsOptions().identity(identity.pem, identity.key_pem));
    const TlsContext client =
        TlsContext::client(TlsOptions().certificate_authority(pki().root_pem()));
    TlsPair pair(client, server);
    EXPECT_TRUE(pair.handshake()) << pair.client().failure().text;
}

TEST(TlsContexts, an_RSA_and_an_Ed25519_server_work_as_well) {
    for (const TlsIdentity& identity : {pki().server_rsa(), pki().server_ed25519()}) {
        TlsPair pair(
            TlsContext::client(TlsOptions().certificate_authority_file(identity.root_file)),
            server_of(identity));
        EXPECT_TRUE(pair.handshake()) << pair.client().failure().text;
    }
}

// ---- options ----

TEST(TlsOptionsTest, that_contradict_each_other_are_refused_when_the_context_is_made) {
    EXPECT_THAT(server_refusal(TlsOptions()), StartsWith("a server needs an identity"));
    EXPECT_THAT(
        client_refusal(
            TlsOptions().minimum_version(TlsVersion::tls1_3).maximum_version(TlsVersion::tls1_2)),
        StartsWith("minimum_version is above maximum_version"));
    EXPECT_EQ(client_refusal(TlsOptions().ciphers("NO-SUCH-CIPHER")),
              "cannot use the ciphers 'NO-SUCH-CIPHER': no cipher match");
    EXPECT_THAT(client_refusal(TlsOptions().ciphersuites("TLS_NO_SUCH_SUITE")),
                StartsWith("cannot use the ciphersuites 'TLS_NO_SUCH_SUITE': "));
    EXPECT_THAT(client_refusal(TlsOptions().groups("P-256:no-such-group")),
                StartsWith("cannot use the groups 'P-256:no-such-group'"));
    const TlsIdentity& server = pki().server();
    EXPECT_THAT(server_refusal(TlsOptions()
                                   .identity_files(server.certificate_file, server.key_file)
                                   .client_certificates(ClientCertificates::required)),
                StartsWith("client_certificates needs a certificate_authority"));
}

TEST(TlsOptionsTest, C09_an_empty_or_malformed_ALPN_list_is_refused_at_the_call) {
    EXPECT_THROW(TlsOptions().alpn({}), std::invalid_argument);
    EXPECT_THROW(TlsOptions().alpn({"h2", ""}), std::invalid_argument);
    EXPECT_THROW(TlsOptions().alpn({std::string(256, 'x')}), std::invalid_argument);
    EXPECT_THROW(TlsOptions().alpn(std::vector<std::string>(300, std::string(255, 'x'))),
                 std::invalid_argument);
    EXPECT_NO_THROW(TlsOptions().alpn({std::string(255, 'x')}));
}

TEST(TlsOptionsTest, that_make_no_sense_are_refused_at_the_call) {
    EXPECT_THROW(TlsOptions().certificate_authority_file(""), std::invalid_argument);
    EXPECT_THROW(TlsOptions().certificate_authority(""), std::invalid_argument);
    EXPECT_THROW(TlsOptions().identity_files("", "key.pem"), std::invalid_argument);
    EXPECT_THROW(TlsOptions().identity_files("certificate.pem", ""), std::invalid_argument);
    EXPECT_THROW(TlsOptions().ciphers(""), std::invalid_argument);
    EXPECT_THROW(TlsOptions().session_cache_size(0), std::invalid_argument);
    EXPECT_THROW(TlsOptions().minimum_version(static_cast<TlsVersion>(0x0301)),
                 std::invalid_argument);
    const TlsContext server = usual_server();
    EXPECT_THROW(TlsOptions().server_name("", server), std::invalid_argument);
    EXPECT_THROW(TlsOptions().server_name("*.", server), std::invalid_argument);
    EXPECT_THROW(TlsOptions().server_name("a.*.test", server), std::invalid_argument);
    EXPECT_THROW(TlsOptions().server_name("a.test.", server), std::invalid_argument);
    EXPECT_THROW(TlsOptions().server_name("a.test", TlsContext::client(trusting_client())),
                 std::invalid_argument);
}

TEST(TlsOptionsTest, are_values) {
    TlsOptions first = trusting_client();
    const TlsOptions second = first;
    first.certificate_authority_file(pki().folder() + "/missing.pem");
    EXPECT_NE(client_refusal(first), "(accepted)");
    EXPECT_EQ(client_refusal(second), "(accepted)");
    first = second;
    EXPECT_EQ(client_refusal(first), "(accepted)");
}

// ---- reload ----

/// A server whose files a test can overwrite.
struct Reloadable {
    std::string certificate_file = pki().write_file("live.pem", pki().server().pem);
    std::string key_file = pki().write_file("live-key.pem", pki().server().key_pem);
    TlsContext context = TlsContext::server(certificate_file, key_file);

    void install(const TlsIdentity& identity) const {
        overwrite(certificate_file, identity.pem);
        overwrite(key_file, identity.key_pem);
    }
};

std::string subject_served_by(const TlsContext& server) {
    TlsPair pair(TlsContext::client(TlsOptions().insecure_accept_any_certificate()), server);
    return pair.handshake() ? pair.client().info().peer_certificate()->subject
                            : pair.client().failure().text;
}

TEST(TlsReload, C13_new_connections_get_the_new_certificate_and_open_ones_stay) {
    Reloadable server;
    const TlsContext copy = server.context;
    TlsPair before(TlsContext::client(trusting_client()), server.context);
    ASSERT_TRUE(before.handshake());
    server.install(pki().other_server());
    EXPECT_EQ(subject_served_by(server.context), "CN=server") << "nobody has asked to reload";
    server.context.reload();
    EXPECT_EQ(subject_served_by(server.context), "CN=other");
    EXPECT_EQ(subject_served_by(copy), "CN=other") << "a copy is the same context";
    EXPECT_TRUE(before.client().write("still here"));
    EXPECT_EQ(before.server().read(), "still here");
}

TEST(TlsReload, C13_a_broken_file_changes_nothing) {
    Reloadable server;
    const auto* const handle = server.context.native_handle();
    overwrite(server.key_file, "garbage");
    EXPECT_THROW(server.context.reload(), TlsConfigError);
    EXPECT_EQ(subject_served_by(server.context), "CN=server");
    overwrite(server.key_file, pki().other_server().key_pem);
    EXPECT_THROW(server.context.reload(), TlsConfigError) << "the certificate is still the old one";
    std::filesystem::remove(server.certificate_file);
    EXPECT_THROW(server.context.reload(), TlsConfigError);
    EXPECT_EQ(subject_served_by(server.context), "CN=server");
    EXPECT_EQ(server.context.native_handle(), handle);
    server.install(pki().other_server());
    server.context.reload();
    EXPECT_EQ(subject_served_by(server.context), "CN=other");
}

TEST(TlsReload, C13_a_handshake_under_way_is_finished_with_what_it_began_with) {
    Reloadable server;
    TlsPair pair(TlsContext::client(trusting_client()), server.context);
    pair.client().step();
    pair.server().step();
    server.install(pki().other_server());
    server.context.reload();
    ASSERT_TRUE(pair.handshake());
    EXPECT_EQ(pair.client().info().peer_certificate()->subject, "CN=server");
}

// Two loops' threads serve, a third reloads good and bad files: the data races are the sanitizer's
// to find, the mixtures of old and new ours.
TEST(TlsReload, C13_under_load_every_handshake_sees_one_of_the_two_and_never_a_mixture) {
    Reloadable server;
    std::atomic<int> working{2};
    std::atomic<int> wrong{0};
    // Shared as well: two threads take sessions from its cache and put them back.
    const TlsContext client = TlsContext::client(TlsOptions().insecure_accept_any_certificate());
    const auto serve = [&] {
        for (int i = 0; i < 250; ++i) {
            TlsPair pair(client, server.context);
            const bool open = pair.handshake();
            const std::string subject =
                open ? pair.client().info().peer_certificate()->subject : "";
            if (subject != "CN=server" && subject != "CN=other") {
                ++wrong;
            }
        }
        --working;
    };
    std::vector<std::thread> threads;
    threads.emplace_back(serve);
    threads.emplace_back(serve);
    int reloads = 0;
    while (working > 0 || reloads < 3) {
        server.install(reloads % 2 == 0 ? pki().other_server() : pki().server());
        server.context.reload();
        overwrite(server.certificate_file, "broken");
        EXPECT_THROW(server.context.reload(), TlsConfigError);
        ++reloads;
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
}

TEST(TlsReload, a_client_reads_its_authorities_again) {
    const std::string authorities = pki().write_file("authorities.pem", pki().root_pem());
    TlsContext client = TlsContext::client(TlsOptions().certificate_authority_file(authorities));
    EXPECT_TRUE(TlsPair(client, usual_server()).handshake());
    overwrite(authorities, content_of(pki().unknown_root_file()));
    client.reload();
    EXPECT_FALSE(TlsPair(client, usual_server()).handshake());
    EXPECT_TRUE(TlsPair(client, server_of(pki().unknown())).handshake());
}

TEST(TlsReload, a_context_may_go_while_its_connections_live) {
    auto client = std::make_unique<TlsContext>(TlsContext::client(trusting_client()));
    auto server = std::make_unique<TlsContext>(usual_server());
    TlsPair pair(*client, *server);
    client.reset();
    server.reset();
    ASSERT_TRUE(pair.handshake()) << "tickets arrive when the cache's context has gone";
    EXPECT_TRUE(pair.server().write("bye"));
    EXPECT_EQ(pair.client().read(), "bye");
}

// ---- on request only ----

TEST(TlsKeyLog, is_written_only_when_asked_for_and_for_its_owner_only) {
    const std::string file = pki().folder() + "/keys.log";
    TlsPair quiet(TlsContext::client(trusting_client()), usual_server());
    ASSERT_TRUE(quiet.handshake());
    EXPECT_FALSE(std::filesystem::exists(file));

    TlsPair loud(TlsContext::client(trusting_client().key_log_file(file)), usual_server());
    ASSERT_TRUE(loud.handshake());
    EXPECT_THAT(content_of(file), AllOf(HasSubstr("CLIENT_HANDSHAKE_TRAFFIC_SECRET "),
                                        HasSubstr("\nSERVER_TRAFFIC_SECRET_0 ")));
    struct stat status{};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);

    const std::string before = content_of(file);
    TlsPair again(TlsContext::client(trusting_client().key_log_file(file)), usual_server());
    ASSERT_TRUE(again.handshake());
    EXPECT_THAT(content_of(file), StartsWith(before)) << "appended";
}

TEST(TlsKeyLog, is_not_turned_on_by_the_environment) {
    const std::string file = pki().folder() + "/environment.log";
    ASSERT_EQ(::setenv("SSLKEYLOGFILE", file.c_str(), 1), 0);
    TlsPair pair(TlsContext::client(trusting_client()), usual_server());
    EXPECT_TRUE(pair.handshake());
    ::unsetenv("SSLKEYLOGFILE");
    EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(TlsKeyLog, that_cannot_be_written_is_an_error) {
    const std::string file = pki().folder() + "/no/such/folder/keys.log";
    EXPECT_EQ(client_refusal(trusting_client().key_log_file(file)),
              "cannot open the key log '" + file + "': No such file or directory");
}

TEST(TlsKeyLog, that_leads_elsewhere_is_refused) {
    const std::string victim = pki().folder() + "/victim.txt";
    std::ofstream(victim) << "precious";
    ASSERT_EQ(::chmod(victim.c_str(), 0644), 0);
    const std::string link = pki().folder() + "/link.log";
    ASSERT_EQ(::symlink(victim.c_str(), link.c_str()), 0);
    EXPECT_EQ(client_refusal(trusting_client().key_log_file(link)),
              "cannot open the key log '" + link + "': Too many levels of symbolic links");
    const std::string fifo = pki().folder() + "/fifo.log";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_THAT(client_refusal(trusting_client().key_log_file(fifo)),
                StartsWith("cannot open the key log '" + fifo + "': "));
    EXPECT_EQ(client_refusal(trusting_client().key_log_file("/dev/null")),
              "cannot open the key log '/dev/null': Invalid argument");
    EXPECT_EQ(content_of(victim), "precious");
    struct stat status{};
    ASSERT_EQ(::stat(victim.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0644U);
}

TEST(TlsKeyLog, of_somebody_else_is_refused) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "only root can give a file away";
    }
    const std::string file = pki().folder() + "/theirs.log";
    std::ofstream(file) << "";
    ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
    EXPECT_EQ(client_refusal(trusting_client().key_log_file(file)),
              "cannot open the key log '" + file + "': Operation not permitted");
}

std::string stapled(TlsPair& pair) {
    const unsigned char* response = nullptr;
    const long size =
        SSL_get_tlsext_status_ocsp_resp(pair.client().ssl(), static_cast<void*>(&response));
    return size <= 0 ? std::string()
                     : std::string(reinterpret_cast<const char*>(response),
                                   static_cast<std::size_t>(size));
}

TEST(TlsStapling, sends_the_response_to_clients_that_ask) {
    const std::string file = pki().ocsp_response_file(TlsStanding::good);
    TlsContext server = usual_server(TlsOptions().ocsp_response_file(file));
    const TlsContext client = TlsContext::client(trusting_client());
    for (const bool asks : {true, false}) {
        TlsPair pair(client, server, asks ? "example.test" : "localhost");
        if (asks) {
            SSL_set_tlsext_status_type(pair.client().ssl(), TLSEXT_STATUSTYPE_ocsp);
        }
        ASSERT_TRUE(pair.handshake()) << pair.client().failure().text;
        EXPECT_EQ(stapled(pair), asks ? content_of(file) : "");
    }
    overwrite(file, content_of(pki().ocsp_response_file(TlsStanding::revoked)));
    server.reload();
    TlsPair pair(client, server, "127.0.0.1");
    SSL_set_tlsext_status_type(pair.client().ssl(), TLSEXT_STATUSTYPE_ocsp);
    ASSERT_TRUE(pair.handshake());
    EXPECT_EQ(stapled(pair), content_of(file)) << "reload() reads it again";
}

}  // namespace
}  // namespace sluice::test
