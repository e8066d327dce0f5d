// RecordSealer over EVP: one AEAD operation for each record.
#pragma once

#include <sluice/detail/record_sealer.hpp>
#include <sluice/limits.hpp>

#include <cstring>
#include <new>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#if defined(__linux__) && !defined(OPENSSL_NO_KTLS)
#include <linux/tls.h>
#define SLUICE_HAS_KEY_HANDOVER 1
#endif

namespace sluice::inline v0_1::detail {

SLUICE_INLINE void RecordSealer::CipherFree::operator()(evp_cipher_ctx_st* cipher) const noexcept {
    EVP_CIPHER_CTX_free(cipher);
}

SLUICE_INLINE RecordSealer::~RecordSealer() {
    OPENSSL_cleanse(key_.data(), key_.size());
}

#ifdef SLUICE_HAS_KEY_HANDOVER

/// A cipher of OpenSSL's, looked up once: every look-up by name takes a lock and a microsecond.
inline const EVP_CIPHER* fetched_cipher(unsigned short kind) noexcept {
    static const EVP_CIPHER* const aes_128 = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
    static const EVP_CIPHER* const aes_256 = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    static const EVP_CIPHER* const chacha = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
    switch (kind) {
        case TLS_CIPHER_AES_GCM_128:
            return aes_128;
        case TLS_CIPHER_AES_GCM_256:
            return aes_256;
        case TLS_CIPHER_CHACHA20_POLY1305:
            return chacha;
        default:
            return nullptr;
    }
}

/// What all of <linux/tls.h>'s structs hold, whatever they are called there.
struct HandedOverKeys {
    std::array<unsigned char, 32> key;
    std::array<unsigned char, 12> iv;
    std::uint64_t sequence;
};

template <class Info>
HandedOverKeys keys_in(const void* crypto_info) noexcept {
    // The kernel splits the nonce of AES in two, the one of ChaCha20 it does not.
    Info info;
    std::memcpy(&info, crypto_info, sizeof info);
    HandedOverKeys keys{};
    std::memcpy(keys.key.data(), info.key, sizeof info.key);
    constexpr std::size_t salt_bytes = 12 - sizeof info.iv;
    if constexpr (salt_bytes != 0) {
        std::memcpy(keys.iv.data(), info.salt, salt_bytes);
    }
    std::memcpy(keys.iv.data() + salt_bytes, info.iv, sizeof info.iv);
    for (const unsigned char byte : info.rec_seq) {
        keys.sequence = keys.sequence << 8 | byte;
    }
    OPENSSL_cleanse(&info, sizeof info);
    return keys;
}

SLUICE_INLINE std::unique_ptr<RecordSealer> RecordSealer::make(const void* crypto_info) {
    tls_crypto_info kind{};
    std::memcpy(&kind, crypto_info, sizeof kind);
    const EVP_CIPHER* const cipher = fetched_cipher(kind.cipher_type);
    if (kind.version != TLS1_3_VERSION || cipher == nullptr) {
        return nullptr;
    }
    HandedOverKeys keys{};
    switch (kind.cipher_type) {
        case TLS_CIPHER_AES_GCM_128:
            keys = keys_in<tls12_crypto_info_aes_gcm_128>(crypto_info);
            break;
        case TLS_CIPHER_AES_GCM_256:
            keys = keys_in<tls12_crypto_info_aes_gcm_256>(crypto_info);
            break;
        default:
            keys = keys_in<tls12_crypto_info_chacha20_poly1305>(crypto_info);
            break;
    }
    std::unique_ptr<RecordSealer> sealer(new RecordSealer);
    sealer->iv_ = keys.iv;
    sealer->sequence_ = keys.sequence;
    sealer->openssl_sequence_ = keys.sequence;
    sealer->kind_ = cipher;
    sealer->key_ = keys.key;
    OPENSSL_cleanse(keys.key.data(), keys.key.size());
    return sealer;
}

#else

SLUICE_INLINE std::unique_ptr<RecordSealer> RecordSealer::make(const void*) {
    return nullptr;
}

#endif

SLUICE_INLINE bool RecordSealer::make_cipher() noexcept {
    cipher_.reset(EVP_CIPHER_CTX_new());
    if (cipher_ != nullptr &&
        EVP_EncryptInit_ex2(cipher_.get(), kind_, key_.data(), nullptr, nullptr) != 1) {
        cipher_.reset();
    }
    return cipher_ != nullptr;
}

/// RFC 8446, 5.3.
SLUICE_INLINE std::array<unsigned char, 12> RecordSealer::nonce(
    std::uint64_t sequence) const noexcept {
    auto value = iv_;
    for (std::size_t i = 0; i < 8; ++i) {
        value[11 - i] ^= static_cast<unsigned char>(sequence >> (8 * i));
    }
    return value;
}

SLUICE_INLINE bool RecordSealer::seal(std::uint8_t type, Bytes data, std::byte* record) noexcept {
    if (cipher_ == nullptr && !make_cipher()) {
        return false;
    }
    constexpr unsigned char application_data = 23;
    const std::size_t inner = data.size() + 1;
    const std::size_t length = inner + tag_bytes;
    auto* const header = reinterpret_cast<unsigned char*>(record);
    header[0] = application_data;  // whatever is inside
    header[1] = 3;
    header[2] = 3;
    header[3] = static_cast<unsigned char>(length >> 8);
    header[4] = static_cast<unsigned char>(length & 0xff);
    unsigned char* const sealed = header + header_bytes;
    EVP_CIPHER_CTX* const cipher = cipher_.get();
    int count = 0;
    const auto* const plain = reinterpret_cast<const unsigned char*>(data.data());
    const auto size = static_cast<int>(data.size());
    const bool ok =
        EVP_EncryptInit_ex2(cipher, nullptr, nullptr, nonce(sequence_).data(), nullptr) == 1 &&
        EVP_EncryptUpdate(cipher, nullptr, &count, header, header_bytes) == 1 &&
        (size == 0 || EVP_EncryptUpdate(cipher, sealed, &count, plain, size) == 1) &&
        EVP_EncryptUpdate(cipher, sealed + size, &count, &type, 1) == 1 &&
        EVP_EncryptFinal_ex(cipher, sealed + inner, &count) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, tag_bytes, sealed + inner) == 1;
    // 5.3: the number must not wrap.
    return ok && ++sequence_ != 0;
}

SLUICE_INLINE RecordSealer::Renumbered RecordSealer::renumber(MutableBytes record) noexcept {
    constexpr auto handshake = std::byte{22};
    constexpr auto key_update = std::byte{24};
    if (record.size() < overhead_bytes ||
        record.size() - overhead_bytes > limits::tls_record_bytes) {
        return Renumbered::failed;
    }
    constexpr std::size_t key_update_bytes = 5;
    if (sequence_ == openssl_sequence_ && record.size() != key_update_bytes + overhead_bytes) {
        // No data before it: it is right as it is.
        ++sequence_;
        ++openssl_sequence_;
        return Renumbered::done;
    }
    if (cipher_ == nullptr && !make_cipher()) {
        return Renumbered::failed;
    }
    // The type is behind the data: with padding in records OpenSSL does not offer its keys.
    std::array<std::byte, limits::tls_record_bytes + 1> inner;
    const std::size_t size = record.size() - header_bytes - tag_bytes;
    auto* const header = reinterpret_cast<unsigned char*>(record.data());
    unsigned char* const sealed = header + header_bytes;
    EVP_CIPHER_CTX* const cipher = cipher_.get();
    int count = 0;
    auto* const plain = reinterpret_cast<unsigned char*>(inner.data());
    const bool opened =
        EVP_DecryptInit_ex2(cipher, nullptr, nullptr, nonce(openssl_sequence_).data(), nullptr) ==
            1 &&
        EVP_DecryptUpdate(cipher, nullptr, &count, header, header_bytes) == 1 &&
        EVP_DecryptUpdate(cipher, plain, &count, sealed, static_cast<int>(size)) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, tag_bytes, sealed + size) == 1 &&
        EVP_DecryptFinal_ex(cipher, plain + size, &count) == 1;
    ++openssl_sequence_;
    const Bytes data = Bytes(inner).first(size - 1);
    const std::byte type = inner[size - 1];
    if (!opened || !seal(std::to_integer<std::uint8_t>(type), data, record.data())) {
        return Renumbered::failed;
    }
    return type == handshake && !data.empty() && data.front() == key_update ? Renumbered::key_update
                                                                            : Renumbered::done;
}

}  // namespace sluice::inline v0_1::detail
