// RecordCipher over EVP: one AEAD operation for each record.
#pragma once

#include <sluice/detail/record_cipher.hpp>

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

namespace sluice::inline v0_1::detail {

/// The ciphers we know, looked up once: every look-up by name takes a lock and a microsecond. Null
/// for others.
inline const EVP_CIPHER* record_cipher_kind(std::uint16_t suite) noexcept {
    const auto fetch = [](const char* name) {
        // One that is missing (FIPS has no ChaCha20) is no failure of the call that is running.
        ERR_set_mark();
        const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
        ERR_pop_to_mark();
        return cipher;
    };
    static const EVP_CIPHER* const aes_128 = fetch("AES-128-GCM");
    static const EVP_CIPHER* const aes_256 = fetch("AES-256-GCM");
    static const EVP_CIPHER* const chacha = fetch("ChaCha20-Poly1305");
    // RFC 8446, B.4.
    switch (suite) {
        case 0x1301:
            return aes_128;
        case 0x1302:
            return aes_256;
        case 0x1303:
            return chacha;
        default:
            return nullptr;
    }
}

SLUICE_INLINE void RecordCipher::ContextFree::operator()(
    evp_cipher_ctx_st* context) const noexcept {
    EVP_CIPHER_CTX_free(context);
}

SLUICE_INLINE RecordCipher::~RecordCipher() {
    OPENSSL_cleanse(key_.data(), key_.size());
}

SLUICE_INLINE bool RecordCipher::make_context() noexcept {
    context_.reset(EVP_CIPHER_CTX_new());
    if (context_ != nullptr &&
        EVP_CipherInit_ex2(context_.get(), kind_, key_.data(), nullptr, 1, nullptr) != 1) {
        context_.reset();
    }
    return context_ != nullptr;
}

SLUICE_INLINE RecordCipher::Iv RecordCipher::nonce(std::uint64_t number) const noexcept {
    Iv value = iv_;
    for (std::size_t i = 0; i < 8; ++i) {
        value[11 - i] ^= static_cast<unsigned char>(number >> (8 * i));
    }
    return value;
}

SLUICE_INLINE bool RecordCipher::seal(std::uint64_t number, std::uint8_t type, Bytes data,
                                      std::byte* into) noexcept {
    const std::size_t inner = data.size() + 1;
    const std::size_t body = inner + record::tag_bytes;
    auto* const header = reinterpret_cast<unsigned char*>(into);
    header[0] = record::application_data;  // whatever is inside
    header[1] = 3;
    header[2] = 3;
    header[3] = static_cast<unsigned char>(body >> 8);
    header[4] = static_cast<unsigned char>(body & 0xff);
    unsigned char* const sealed = header + record::header_bytes;
    const auto* const plain = reinterpret_cast<const unsigned char*>(data.data());
    const auto size = static_cast<int>(data.size());
    EVP_CIPHER_CTX* const cipher = context_.get();
    int count = 0;
    return EVP_EncryptInit_ex2(cipher, nullptr, nullptr, nonce(number).data(), nullptr) == 1 &&
           EVP_EncryptUpdate(cipher, nullptr, &count, header, record::header_bytes) == 1 &&
           (size == 0 || EVP_EncryptUpdate(cipher, sealed, &count, plain, size) == 1) &&
           EVP_EncryptUpdate(cipher, sealed + size, &count, &type, 1) == 1 &&
           EVP_EncryptFinal_ex(cipher, sealed + inner, &count) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, record::tag_bytes, sealed + inner) ==
               1;
}

SLUICE_INLINE bool RecordCipher::open(std::uint64_t number, Bytes record, std::byte* into,
                                      std::byte& last) noexcept {
    const auto* const header = reinterpret_cast<const unsigned char*>(record.data());
    const unsigned char* const sealed = header + record::header_bytes;
    const std::size_t inner = record.size() - record::header_bytes - record::tag_bytes;
    std::array<unsigned char, record::tag_bytes> tag;  // OpenSSL wants it writable
    std::copy_n(sealed + inner, tag.size(), tag.begin());
    auto* const plain = reinterpret_cast<unsigned char*>(into);
    const auto size = static_cast<int>(inner - 1);
    EVP_CIPHER_CTX* const cipher = context_.get();
    int count = 0;
    return EVP_DecryptInit_ex2(cipher, nullptr, nullptr, nonce(number).data(), nullptr) == 1 &&
           EVP_DecryptUpdate(cipher, nullptr, &count, header, record::header_bytes) == 1 &&
           (size == 0 || EVP_DecryptUpdate(cipher, plain, &count, sealed, size) == 1) &&
           EVP_DecryptUpdate(cipher, reinterpret_cast<unsigned char*>(&last), &count, sealed + size,
                             1) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, record::tag_bytes, tag.data()) == 1 &&
           EVP_DecryptFinal_ex(cipher, tag.data(), &count) == 1;
}

}  // namespace sluice::inline v0_1::detail
