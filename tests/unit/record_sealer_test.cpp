// Records that we seal ourselves, in front of an OpenSSL that opens them: every cipher, every size,
// and what OpenSSL says in between. And one record of RFC 8448, byte for byte.
//
// The engine is driven without transport or loop, as in tls_engine_test.cpp.
#include <sluice/detail/record_sealer.hpp>
#include <sluice/detail/tls_engine.hpp>
#include <sluice/limits.hpp>

#include "forger.hpp"
#include "support/conformance.hpp"
#include "support/peer_tls.hpp"
#include "tls_pair.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <linux/tls.h>
#include <openssl/err.h>

namespace sluice::test {
namespace {

using detail::RecordSealer;
using detail::TlsEngine;
using detail::TlsStatus;

using SslContext = std::unique_ptr<SSL_CTX, SslFree>;

SslContext foreign_client(int version = TLS1_3_VERSION, const char* suites = nullptr) {
    SslContext context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(context.get(), version);
    if (suites != nullptr) {
        EXPECT_EQ(SSL_CTX_set_ciphersuites(context.get(), suites), 1);
    }
    return context;
}

/// A server engine and a foreign client.
class Conversation final : public detail::TlsOutput {
public:
    explicit Conversation(SSL_CTX* context, const TlsContext& server = usual_server())
        : engine(server, {.server_side = true, .host = {}, .port = 0}, *this),
          client(context, false) {}

    [[nodiscard]] bool sealed(Bytes ciphertext) noexcept override {
        output += as_text(ciphertext);
        return true;
    }
    /// What the client says goes into the engine, whose status this is.
    TlsStatus hear() {
        const std::string said = client.take_output();
        engine.set_input(as_bytes(said));
        TlsStatus status = TlsStatus::want_input;
        if (!open) {
            status = engine.handshake();
            open = status == TlsStatus::done;
        }
        if (open) {
            std::array<std::byte, 1024> space{};
            std::size_t count = 0;
            do {
                status = engine.read(space, count);
                heard += as_text(Bytes(space).first(count));
            } while (status == TlsStatus::done);
        }
        engine.set_input({});
        return status;
    }
    /// The other way round.
    void tell() {
        client.feed(std::exchange(output, {}));
        client.read(told);
    }
    void shake_hands() {
        for (int flights = 0; flights < 6 && !(open && client.handshaken()); ++flights) {
            tell();
            hear();
        }
        tell();
        ASSERT_TRUE(open && client.handshaken());
    }
    TlsStatus write(std::string_view text) {
        std::size_t count = 0;
        const TlsStatus status = engine.write(as_bytes(text), count);
        EXPECT_TRUE(status != TlsStatus::done || count == text.size());
        return status;
    }
    void exchange(const std::string& text) {
        told.clear();
        heard.clear();
        ASSERT_EQ(write(text), TlsStatus::done);
        tell();
        ASSERT_EQ(told, text);
        ASSERT_TRUE(client.write(text));
        hear();
        ASSERT_EQ(heard, text);
    }
    /// The client changes its keys and wants ours changed.
    void change_keys() {
        ASSERT_EQ(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED), 1);
        ASSERT_EQ(SSL_do_handshake(client.ssl()), 1);
        EXPECT_EQ(hear(), TlsStatus::want_input);
        tell();
    }

    bool open = false;
    std::string output;
    std::string told;
    std::string heard;
    TlsEngine engine;
    PeerTls client;
};

TEST(RecordSealer, OpenSSL_opens_records_of_every_size_and_cipher) {
    for (const char* suite :
         {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}) {
        SCOPED_TRACE(suite);
        const SslContext context = foreign_client(TLS1_3_VERSION, suite);
        Conversation talk(context.get());
        talk.shake_hands();
        ASSERT_TRUE(talk.engine.writes_directly());
        for (const std::size_t size :
             {1U, 2U, 15U, 16U, 17U, 63U, 64U, 16'383U, 16'384U, 16'385U, 32'768U, 100'000U}) {
            SCOPED_TRACE(size);
            talk.exchange(pattern(size));
        }
    }
}

TEST(RecordSealer, leaves_other_ciphers_and_versions_to_OpenSSL) {
    const SslContext ccm = foreign_client(TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256");
    const SslContext old = foreign_client(TLS1_2_VERSION);
    const TlsContext server = TlsContext::server(
        TlsOptions()
            .identity_files(pki().server().certificate_file, pki().server().key_file)
            .ciphersuites("TLS_AES_128_CCM_SHA256"));
    for (const bool is_old : {false, true}) {
        Conversation talk(is_old ? old.get() : ccm.get(), is_old ? usual_server() : server);
        talk.shake_hands();
        EXPECT_FALSE(talk.engine.writes_directly());
        talk.exchange(pattern(40'000));
    }
}

TEST(RecordSealer, leaves_everything_to_OpenSSL_when_asked_to) {
    const SslContext context = foreign_client();
    Conversation talk(context.get(), usual_server(TlsOptions().openssl_record_layer(true)));
    talk.shake_hands();
    EXPECT_FALSE(talk.engine.writes_directly());
    talk.exchange(pattern(40'000));
}

TEST(RecordSealer, what_OpenSSL_says_among_our_records_has_the_right_number) {
    const SslContext context = foreign_client();
    {
        Conversation closing(context.get());
        closing.shake_hands();
        closing.exchange(pattern(50'000));
        EXPECT_EQ(closing.engine.shutdown(), TlsStatus::want_input);
        closing.tell();
        EXPECT_TRUE(closing.client.saw_every_end());
        EXPECT_FALSE(closing.client.failed());
        EXPECT_EQ(closing.write("after the end"), TlsStatus::failed);
        EXPECT_EQ(closing.output, "");
    }
    Conversation failing(context.get());
    failing.shake_hands();
    failing.exchange(pattern(50'000));
    ASSERT_TRUE(failing.client.write("flipped"));
    std::string record = failing.client.take_output();
    record.back() = static_cast<char>(record.back() ^ 1);
    failing.engine.set_input(as_bytes(record));
    std::array<std::byte, 100> space{};
    std::size_t count = 0;
    EXPECT_EQ(failing.engine.read(space, count), TlsStatus::failed);
    failing.tell();
    EXPECT_TRUE(failing.client.failed());
    const unsigned long reason = ERR_peek_last_error();
    EXPECT_EQ(ERR_GET_REASON(reason), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC)
        << "the client could not read the alert";
    ERR_clear_error();
}

TEST(RecordSealer, a_change_of_keys_hands_sealing_back_to_OpenSSL) {
    const SslContext context = foreign_client();
    Conversation talk(context.get());
    talk.shake_hands();
    talk.exchange(pattern(50'000));
    for (int i = 0; i < 3; ++i) {
        talk.change_keys();
        EXPECT_FALSE(talk.engine.writes_directly());
        talk.exchange(pattern(50'000));
        EXPECT_FALSE(talk.engine.writes_directly());
    }
    EXPECT_EQ(talk.engine.shutdown(), TlsStatus::want_input);
    talk.tell();
    EXPECT_TRUE(talk.client.saw_every_end());
}

TEST(RecordSealer, a_change_of_keys_before_any_data_is_no_different) {
    const SslContext context = foreign_client();
    Conversation talk(context.get());
    talk.shake_hands();
    talk.change_keys();
    talk.exchange(pattern(50'000));
}

TEST(RecordSealer, nothing_is_sealed_before_the_client_has_finished) {
    const SslContext context = foreign_client();
    Conversation talk(context.get());
    std::string nothing;
    talk.client.read(nothing);
    ASSERT_EQ(talk.hear(), TlsStatus::want_input);
    ASSERT_NE(talk.output, "") << "the server has its keys now";
    talk.output.clear();
    EXPECT_EQ(talk.write("too early"), TlsStatus::want_input);
    EXPECT_EQ(talk.output, "");
}

// ---- on its own ----

template <std::size_t N>
void copy(unsigned char (&into)[N], const std::string& bytes) {
    ASSERT_EQ(bytes.size(), N);
    std::memcpy(into, bytes.data(), N);
}

/// RFC 8448, 3: the server's application traffic keys, with the ticket already sent.
tls12_crypto_info_aes_gcm_128 keys_of_the_rfc() {
    tls12_crypto_info_aes_gcm_128 info{};
    info.info.version = TLS1_3_VERSION;
    info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
    copy(info.key, from_hex("9f02283b6c9c07efc26bb9f2ac92e356"));
    copy(info.salt, from_hex("cf782b88"));
    copy(info.iv, from_hex("dd83549aadf1e984"));
    info.rec_seq[7] = 1;
    return info;
}

TEST(RecordSealer, seals_the_record_of_RFC_8448) {
    const auto info = keys_of_the_rfc();
    const auto sealer = RecordSealer::make(&info);
    ASSERT_NE(sealer, nullptr);
    std::array<std::byte, 50> data{};
    for (std::size_t i = 0; i < data.size(); ++i) {
        data[i] = static_cast<std::byte>(i);
    }
    std::array<std::byte, 50 + detail::record::overhead_bytes> record{};
    ASSERT_TRUE(sealer->seal(23, data, record.data()));
    EXPECT_EQ(
        as_text(record),
        from_hex("17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90"
                 "e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d"));
}

TEST(RecordSealer, keys_of_an_unknown_kind_are_declined) {
    auto info = keys_of_the_rfc();
    info.info.version = TLS1_2_VERSION;
    EXPECT_EQ(RecordSealer::make(&info), nullptr);
    info = keys_of_the_rfc();
    info.info.cipher_type = TLS_CIPHER_AES_CCM_128;
    EXPECT_EQ(RecordSealer::make(&info), nullptr);
    info.info.cipher_type = 9999;
    EXPECT_EQ(RecordSealer::make(&info), nullptr);
}

TEST(RecordSealer, a_record_that_is_not_OpenSSLs_is_not_renumbered) {
    const auto info = keys_of_the_rfc();
    const auto sealer = RecordSealer::make(&info);
    std::array<std::byte, detail::record::overhead_bytes + 1> ours{};
    ASSERT_TRUE(sealer->seal(23, as_bytes("x"), ours.data()));
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{5}, std::size_t{21}, std::size_t{100}, std::size_t{20'000}}) {
        std::vector<std::byte> record(size, std::byte{3});
        EXPECT_EQ(sealer->renumber(record), RecordSealer::Renumbered::failed) << size;
    }
}

}  // namespace
}  // namespace sluice::test
