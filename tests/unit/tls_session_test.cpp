// Resumption: what is resumed, and above all what is not.
#include <sluice/detail/tls_session_cache.hpp>

#include "tls_pair.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

namespace sluice::test {
namespace {

using detail::SslSessionPtr;
using detail::TlsSessionCache;

/// Connects and tells whether the session was resumed; the end is clean.
bool resumed(const TlsContext& client, const TlsContext& server,
             const std::string& host = "example.test", std::uint16_t port = 443) {
    TlsPair pair(client, server, host, port);
    if (!pair.handshake()) {
        ADD_FAILURE() << pair.client().failure().text << " / " << pair.server().failure().text;
        return false;
    }
    EXPECT_TRUE(pair.client().write("ping"));
    EXPECT_EQ(pair.server().read(), "ping");
    const bool reused = pair.client().info().session_reused();
    EXPECT_EQ(pair.server().info().session_reused(), reused);
    pair.shut_down();
    return reused;
}

class TlsResumption : public testing::TestWithParam<TlsVersion> {
protected:
    [[nodiscard]] TlsOptions client_options() const {
        return std::move(trusting_client().maximum_version(GetParam()));
    }
};

INSTANTIATE_TEST_SUITE_P(Every, TlsResumption,
                         testing::Values(TlsVersion::tls1_2, TlsVersion::tls1_3),
                         [](const testing::TestParamInfo<TlsVersion>& version) {
                             return version.param == TlsVersion::tls1_2 ? "tls12" : "tls13";
                         });

TEST_P(TlsResumption, the_second_connection_to_a_peer_is_resumed_and_the_third) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
}

TEST_P(TlsResumption, a_session_is_never_used_for_another_host_or_port) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server, "example.test", 443));
    EXPECT_FALSE(resumed(client, server, "localhost", 443));
    EXPECT_FALSE(resumed(client, server, "127.0.0.1", 443));
    EXPECT_FALSE(resumed(client, server, "example.test", 8443));
    EXPECT_TRUE(resumed(client, server, "EXAMPLE.test", 443)) << "names have no case";
    EXPECT_TRUE(resumed(client, server, "localhost", 443));
}

TEST_P(TlsResumption, a_session_is_never_used_by_another_context) {
    const TlsContext server = usual_server();
    const TlsContext careless =
        TlsContext::client(client_options().insecure_accept_any_certificate());
    EXPECT_FALSE(resumed(careless, server));
    EXPECT_FALSE(resumed(TlsContext::client(client_options()), server));
    EXPECT_TRUE(resumed(careless, server));
}

TEST_P(TlsResumption, two_connections_at_once_never_share_a_session) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    TlsPair first(client, server);
    TlsPair second(client, server);
    EXPECT_TRUE(first.handshake());
    EXPECT_TRUE(second.handshake());
    EXPECT_TRUE(first.client().info().session_reused());
    EXPECT_FALSE(second.client().info().session_reused());
}

TEST_P(TlsResumption, either_end_can_turn_it_off) {
    const TlsContext server = usual_server();
    const TlsContext off = TlsContext::client(client_options().session_resumption(false));
    EXPECT_FALSE(resumed(off, server));
    EXPECT_FALSE(resumed(off, server));
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server_off = usual_server(TlsOptions().session_resumption(false));
    EXPECT_FALSE(resumed(client, server_off));
    EXPECT_FALSE(resumed(client, server_off));
}

TEST_P(TlsResumption, a_reload_of_either_end_forgets_the_sessions) {
    TlsContext client = TlsContext::client(client_options());
    TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
    server.reload();
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
    client.reload();
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
}

TEST_P(TlsResumption, a_session_of_another_server_means_a_full_handshake) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext first = usual_server();
    const TlsContext second = usual_server();
    EXPECT_FALSE(resumed(client, first));
    EXPECT_FALSE(resumed(client, second));
}

TEST_P(TlsResumption, works_with_a_server_that_has_no_tickets) {
    TlsContext server = usual_server();
    SSL_CTX_set_options(server.native_handle(), SSL_OP_NO_TICKET);
    const TlsContext client = TlsContext::client(client_options());
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server));
    EXPECT_LE(SSL_CTX_sess_number(server.native_handle()), 2);
}

TEST_P(TlsResumption, a_session_with_a_failed_connection_is_forgotten) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    {
        const TlsPair abandoned(client, server);  // takes the session and goes away
    }
    EXPECT_FALSE(resumed(client, server));
}

TEST_P(TlsResumption, the_servers_memory_of_sessions_is_bounded) {
    const TlsContext server = usual_server(TlsOptions().session_cache_size(3));
    SSL_CTX_set_options(server.native_handle(), SSL_OP_NO_TICKET);
    for (int i = 0; i < 10; ++i) {
        EXPECT_FALSE(resumed(TlsContext::client(client_options()), server));
    }
    EXPECT_LE(SSL_CTX_sess_number(server.native_handle()), 3);
}

TEST_P(TlsResumption, the_peers_certificate_is_known_in_a_resumed_connection_too) {
    const TlsContext client = TlsContext::client(client_options());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    TlsPair pair(client, server);
    ASSERT_TRUE(pair.handshake());
    ASSERT_TRUE(pair.client().info().session_reused());
    EXPECT_EQ(pair.client().info().peer_certificate()->subject, "CN=server");
    EXPECT_TRUE(pair.client().info().verified_chain().empty()) << "nothing was verified";
}

TEST_P(TlsResumption, a_client_certificate_is_known_in_a_resumed_connection_too) {
    const TlsContext server = usual_server(TlsOptions()
                                               .certificate_authority_file(pki().root_file())
                                               .client_certificates(ClientCertificates::required));
    const TlsIdentity& identity = pki().client();
    const TlsContext client = TlsContext::client(
        client_options().identity_files(identity.certificate_file, identity.key_file));
    EXPECT_FALSE(resumed(client, server));
    TlsPair pair(client, server);
    ASSERT_TRUE(pair.handshake());
    ASSERT_TRUE(pair.server().info().session_reused());
    EXPECT_EQ(pair.server().info().peer_certificate()->subject, "CN=client");
}

// reliability.md D12.
TEST(TlsTickets, D012_ten_thousand_of_them_leave_four) {
    const TlsContext client = TlsContext::client(trusting_client());
    TlsPair pair(client, usual_server());
    ASSERT_TRUE(pair.handshake());
    for (int i = 0; i < 10'000; ++i) {
        ASSERT_EQ(SSL_new_session_ticket(pair.server().ssl()), 1);
        ASSERT_TRUE(pair.server().write("."));
        ASSERT_EQ(pair.client().read(), ".");
    }
    // Four connections at once find a session, the fifth does not.
    const TlsContext server = usual_server();
    int offered = 0;
    std::vector<std::unique_ptr<TlsPair>> pairs;
    for (int i = 0; i < 8; ++i) {
        pairs.push_back(std::make_unique<TlsPair>(client, server));
        offered += SSL_get_session(pairs.back()->client().ssl()) != nullptr ? 1 : 0;
    }
    EXPECT_EQ(offered, 4);
}

TEST(TlsTickets, there_is_one_per_handshake) {
    const TlsContext client = TlsContext::client(trusting_client());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    EXPECT_TRUE(resumed(client, server)) << "the first ticket is gone, a second has come";
    TlsPair first(client, server);
    TlsPair second(client, server);
    EXPECT_NE(SSL_get_session(first.client().ssl()), nullptr);
    EXPECT_EQ(SSL_get_session(second.client().ssl()), nullptr);
}

TEST(TlsTickets, D013_early_data_is_not_offered) {
    const TlsContext client = TlsContext::client(trusting_client());
    const TlsContext server = usual_server();
    EXPECT_FALSE(resumed(client, server));
    TlsPair next(client, server);
    const SSL_SESSION* const session = SSL_get_session(next.client().ssl());
    ASSERT_NE(session, nullptr);
    EXPECT_EQ(SSL_SESSION_get_max_early_data(session), 0U);
    std::size_t written = 0;
    EXPECT_EQ(SSL_write_early_data(next.client().ssl(), "early", 5, &written), 0);
}

// ---- the cache by itself ----

SslSessionPtr session() {
    return SslSessionPtr(SSL_SESSION_new());
}

TEST(TlsSessions, are_given_once_the_newest_first) {
    TlsSessionCache cache(10, 4);
    EXPECT_EQ(cache.take("a"), nullptr);
    SslSessionPtr older = session();
    SslSessionPtr newer = session();
    const auto* const older_address = older.get();
    const auto* const newer_address = newer.get();
    cache.put("a", std::move(older));
    cache.put("a", std::move(newer));
    EXPECT_EQ(cache.take("b"), nullptr);
    EXPECT_EQ(cache.take("a").get(), newer_address);
    EXPECT_EQ(cache.take("a").get(), older_address);
    EXPECT_EQ(cache.take("a"), nullptr);
    EXPECT_EQ(cache.size(), 0U);
}

TEST(TlsSessions, of_the_peer_unused_for_longest_go_first) {
    TlsSessionCache cache(3, 4);
    cache.put("a", session());
    cache.put("b", session());
    cache.put("c", session());
    cache.put("a", session());  // the fourth: b is now the oldest
    EXPECT_EQ(cache.size(), 3U);
    EXPECT_EQ(cache.take("b"), nullptr);
    EXPECT_NE(cache.take("a"), nullptr);
    EXPECT_NE(cache.take("a"), nullptr);
    EXPECT_NE(cache.take("c"), nullptr);
}

TEST(TlsSessions, of_one_peer_are_bounded_by_themselves) {
    TlsSessionCache cache(100, 4);
    for (int i = 0; i < 50; ++i) {
        cache.put("a", session());
    }
    EXPECT_EQ(cache.size(), 4U);
    for (int i = 0; i < 500; ++i) {
        cache.put("peer " + std::to_string(i), session());
    }
    EXPECT_EQ(cache.size(), 100U);
    EXPECT_EQ(cache.take("a"), nullptr);
    EXPECT_NE(cache.take("peer 499"), nullptr);
    EXPECT_EQ(cache.take("peer 399"), nullptr);
    EXPECT_NE(cache.take("peer 400"), nullptr);
}

TEST(TlsSessions, even_a_cache_for_one_works) {
    TlsSessionCache cache(1, 4);
    cache.put("a", session());
    cache.put("a", session());
    EXPECT_EQ(cache.size(), 1U);
    cache.put("b", session());
    EXPECT_EQ(cache.take("a"), nullptr);
    EXPECT_NE(cache.take("b"), nullptr);
}

}  // namespace
}  // namespace sluice::test
