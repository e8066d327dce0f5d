// Deriving keys and sealing records by hand. See forger.hpp.
#include "forger.hpp"

#include <memory>

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

namespace sluice::test {

std::string from_hex(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
    }
    return bytes;
}

void note_client_secret(const SSL* ssl, const char* line) {
    const std::string_view text(line);
    if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
        *static_cast<std::string*>(SSL_get_app_data(ssl)) =
            from_hex(text.substr(text.rfind(' ') + 1));
    }
}

std::string expand_label(const std::string& secret, std::string_view label, std::size_t size) {
    std::string info{'\0', static_cast<char>(size), static_cast<char>(6 + label.size())};
    info.append("tls13 ").append(label).append(1, '\0');
    std::string key(size, '\0');
    const std::unique_ptr<EVP_PKEY_CTX, decltype([](EVP_PKEY_CTX* c) { EVP_PKEY_CTX_free(c); })>
        context(EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, nullptr));
    const auto* const bytes = reinterpret_cast<const unsigned char*>(secret.data());
    EXPECT_EQ(EVP_PKEY_derive_init(context.get()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_hkdf_mode(context.get(), EVP_PKEY_HKDEF_MODE_EXPAND_ONLY), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_hkdf_md(context.get(), EVP_sha256()), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set1_hkdf_key(context.get(), bytes, static_cast<int>(secret.size())), 1);
    EXPECT_EQ(EVP_PKEY_CTX_add1_hkdf_info(context.get(),
                                          reinterpret_cast<const unsigned char*>(info.data()),
                                          static_cast<int>(info.size())),
              1);
    EXPECT_EQ(EVP_PKEY_derive(context.get(), reinterpret_cast<unsigned char*>(key.data()), &size),
              1);
    return key;
}

Forger::Forger(const std::string& secret)
    : key_(expand_label(secret, "key", 16)), iv_(expand_label(secret, "iv", 12)) {}

std::string Forger::seal(const std::string& inner) {
    const std::size_t body = inner.size() + 16;
    std::string record{'\x17', '\3', '\3', static_cast<char>(body >> 8),
                       static_cast<char>(body & 0xff)};
    std::string nonce = iv_;
    for (std::size_t i = 0; i < 8; ++i) {
        nonce[11 - i] = static_cast<char>(nonce[11 - i] ^ static_cast<char>(number_ >> (8 * i)));
    }
    ++number_;
    const std::unique_ptr<EVP_CIPHER_CTX,
                          decltype([](EVP_CIPHER_CTX* c) { EVP_CIPHER_CTX_free(c); })>
        cipher(EVP_CIPHER_CTX_new());
    const auto octets = [](const std::string& text) {
        return reinterpret_cast<const unsigned char*>(text.data());
    };
    record.resize(5 + body);
    auto* const out = reinterpret_cast<unsigned char*>(record.data());
    int count = 0;
    EXPECT_EQ(
        EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_gcm(), nullptr, octets(key_), octets(nonce)),
        1);
    EXPECT_EQ(EVP_EncryptUpdate(cipher.get(), nullptr, &count, out, 5), 1);
    EXPECT_EQ(EVP_EncryptUpdate(cipher.get(), out + 5, &count, octets(inner),
                                static_cast<int>(inner.size())),
              1);
    EXPECT_EQ(EVP_EncryptFinal_ex(cipher.get(), out + 5 + inner.size(), &count), 1);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, 16, out + 5 + inner.size()),
              1);
    return record;
}

}  // namespace sluice::test
