// RecordCipher over EVP: one AEAD operation for each record.
#pragma once

#include <sluice/detail/record_cipher.hpp>

#include <algorithm>
#include <cstring>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

namespace sluice::inline v0_1::detail {

// Copying as much costs less than one more of EVP's calls, 45 ns.
inline constexpr std::size_t seal_copy_bytes = 1024;

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
    prepared_to_open_ = false;
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
    const auto* plain = reinterpret_cast<const unsigned char*>(data.data());
    auto size = static_cast<int>(data.size());
    // What is small is copied to where its type stands behind it, and both are sealed at once.
    const bool in_one = data.size() <= seal_copy_bytes;
    if (in_one) {
        if (!data.empty()) {
            std::memmove(sealed, plain, data.size());
        }
        sealed[size++] = type;
        plain = sealed;
    }
    EVP_CIPHER_CTX* const cipher = context_.get();
    prepared_to_open_ = false;
    int count = 0;
    return EVP_EncryptInit_ex2(cipher, nullptr, nullptr, nonce(number).data(), nullptr) == 1 &&
           EVP_EncryptUpdate(cipher, nullptr, &count, header, record::header_bytes) == 1 &&
           (size == 0 || EVP_EncryptUpdate(cipher, sealed, &count, plain, size) == 1) &&
           (in_one || EVP_EncryptUpdate(cipher, sealed + size, &count, &type, 1) == 1) &&
           EVP_EncryptFinal_ex(cipher, sealed + inner, &count) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, record::tag_bytes, sealed + inner) ==
               1;
}

/// Has the cipher expect this nonce and this tag.
SLUICE_INLINE bool RecordCipher::expect(Iv nonce, Tag tag) noexcept {
    EVP_CIPHER_CTX* const cipher = context_.get();
    const auto octets = [](const char* key, auto& bytes) {
        return OSSL_PARAM_construct_octet_string(key, bytes.data(), bytes.size());
    };
    if (EVP_CIPHER_get_mode(kind_) != EVP_CIPH_GCM_MODE) {
        const std::array parameters = {octets(OSSL_CIPHER_PARAM_AEAD_TAG, tag),
                                       OSSL_PARAM_construct_end()};
        return EVP_DecryptInit_ex2(cipher, nullptr, nullptr, nonce.data(), parameters.data()) == 1;
    }
    // A nonce and a tag each given by its own call take 124 of the 300 ns for a small record, in
    // look-ups of their names. TLS 1.2's way to give a nonce spares most of that; it wants the first
    // four bytes given once before.
    if (!prepared_to_open_) {
        prepared_to_open_ = EVP_DecryptInit_ex2(cipher, nullptr, nullptr, nullptr, nullptr) == 1 &&
                            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_IV_FIXED,
                                                EVP_GCM_TLS_FIXED_IV_LEN, nonce.data()) == 1;
    }
    const std::array parameters = {octets(OSSL_CIPHER_PARAM_AEAD_TAG, tag),
                                   octets(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, nonce),
                                   OSSL_PARAM_construct_end()};
    return prepared_to_open_ && EVP_CIPHER_CTX_set_params(cipher, parameters.data()) == 1;
}

SLUICE_INLINE bool RecordCipher::open(std::uint64_t number, Bytes record, std::byte* into,
                                      std::byte& last) noexcept {
    const auto* const header = reinterpret_cast<const unsigned char*>(record.data());
    const unsigned char* const sealed = header + record::header_bytes;
    const std::size_t inner = record.size() - record::header_bytes - record::tag_bytes;
    Tag tag;
    std::copy_n(sealed + inner, tag.size(), tag.begin());
    auto* const plain = reinterpret_cast<unsigned char*>(into);
    const bool in_one = &last == into + inner - 1;
    const auto size = static_cast<int>(in_one ? inner : inner - 1);
    EVP_CIPHER_CTX* const cipher = context_.get();
    int count = 0;
    return expect(nonce(number), tag) &&
           EVP_DecryptUpdate(cipher, nullptr, &count, header, record::header_bytes) == 1 &&
           (size == 0 || EVP_DecryptUpdate(cipher, plain, &count, sealed, size) == 1) &&
           (in_one || EVP_DecryptUpdate(cipher, reinterpret_cast<unsigned char*>(&last), &count,
                                        sealed + size, 1) == 1) &&
           EVP_DecryptFinal_ex(cipher, tag.data(), &count) == 1;
}

}  // namespace sluice::inline v0_1::detail
