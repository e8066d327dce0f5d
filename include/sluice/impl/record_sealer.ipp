// RecordSealer: the keys that OpenSSL offers the kernel, and the numbers of records.
#pragma once

#include <sluice/impl/record_cipher.ipp>

#include <sluice/detail/record_sealer.hpp>
#include <sluice/limits.hpp>

#include <cstring>
#include <new>

#if defined(__linux__) && !defined(OPENSSL_NO_KTLS)
#include <linux/tls.h>
#define SLUICE_HAS_KEY_HANDOVER 1
#endif

namespace sluice::inline v0_1::detail {

#ifdef SLUICE_HAS_KEY_HANDOVER

/// What all of <linux/tls.h>'s structs hold, whatever they are called there.
struct HandedOverKeys {
    RecordCipher::Key key;
    RecordCipher::Iv iv;
    std::uint64_t number;
};

/// Fills `keys` in place, so that they are in one place only, to be wiped there.
template <class Info>
void read_keys(const void* crypto_info, HandedOverKeys& keys) noexcept {
    // The kernel splits the nonce of AES in two, the one of ChaCha20 it does not.
    Info info;
    std::memcpy(&info, crypto_info, sizeof info);
    std::memcpy(keys.key.data(), info.key, sizeof info.key);
    constexpr std::size_t salt_bytes = 12 - sizeof info.iv;
    if constexpr (salt_bytes != 0) {
        std::memcpy(keys.iv.data(), info.salt, salt_bytes);
    }
    std::memcpy(keys.iv.data() + salt_bytes, info.iv, sizeof info.iv);
    for (const unsigned char byte : info.rec_seq) {
        keys.number = keys.number << 8 | byte;
    }
    OPENSSL_cleanse(&info, sizeof info);
}

SLUICE_INLINE std::unique_ptr<RecordSealer> RecordSealer::make(const void* crypto_info) noexcept {
    tls_crypto_info kind{};
    std::memcpy(&kind, crypto_info, sizeof kind);
    constexpr unsigned short tls_1_3 = 0x0304;
    if (kind.version != tls_1_3) {
        return nullptr;
    }
    HandedOverKeys keys{};
    const EVP_CIPHER* cipher = nullptr;
    switch (kind.cipher_type) {
        case TLS_CIPHER_AES_GCM_128:
            read_keys<tls12_crypto_info_aes_gcm_128>(crypto_info, keys);
            cipher = record_cipher_kind(0x1301);
            break;
        case TLS_CIPHER_AES_GCM_256:
            read_keys<tls12_crypto_info_aes_gcm_256>(crypto_info, keys);
            cipher = record_cipher_kind(0x1302);
            break;
        case TLS_CIPHER_CHACHA20_POLY1305:
            read_keys<tls12_crypto_info_chacha20_poly1305>(crypto_info, keys);
            cipher = record_cipher_kind(0x1303);
            break;
        default:
            break;
    }
    std::unique_ptr<RecordSealer> sealer;
    if (cipher != nullptr) {
        sealer.reset(new (std::nothrow) RecordSealer(*cipher, keys.key, keys.iv, keys.number));
    }
    OPENSSL_cleanse(keys.key.data(), keys.key.size());
    return sealer;
}

SLUICE_INLINE std::size_t RecordSealer::keys_bytes(const void* crypto_info) noexcept {
    tls_crypto_info kind{};
    std::memcpy(&kind, crypto_info, sizeof kind);
    switch (kind.cipher_type) {
        case TLS_CIPHER_AES_GCM_128:
            return sizeof(tls12_crypto_info_aes_gcm_128);
        case TLS_CIPHER_AES_GCM_256:
            return sizeof(tls12_crypto_info_aes_gcm_256);
        case TLS_CIPHER_CHACHA20_POLY1305:
            return sizeof(tls12_crypto_info_chacha20_poly1305);
        default:
            return 0;
    }
}

#else

SLUICE_INLINE std::unique_ptr<RecordSealer> RecordSealer::make(const void*) noexcept {
    return nullptr;
}

SLUICE_INLINE std::size_t RecordSealer::keys_bytes(const void*) noexcept {
    return 0;
}

#endif

SLUICE_INLINE bool RecordSealer::seal(std::uint8_t type, Bytes data, std::byte* into) noexcept {
    if (!cipher_.wake() || !cipher_.seal(number_, type, data, into)) {
        return false;
    }
    ++number_;
    return number_ != 0;  // RFC 8446, 5.3: it must not wrap
}

SLUICE_INLINE RecordSealer::Renumbered RecordSealer::renumber(MutableBytes sealed) noexcept {
    constexpr auto key_update = std::byte{24};
    constexpr std::size_t key_update_bytes = 5;
    if (sealed.size() < record::overhead_bytes ||
        sealed.size() - record::overhead_bytes > limits::tls_record_bytes) {
        return Renumbered::failed;
    }
    if (number_ == openssl_number_ && sealed.size() != key_update_bytes + record::overhead_bytes) {
        // No data before it: it is right as it is.
        ++number_;
        ++openssl_number_;
        return Renumbered::done;
    }
    // The type is behind the data: with padding in records OpenSSL does not offer its keys.
    std::array<std::byte, limits::tls_record_bytes> plain;
    std::byte type{};
    if (!cipher_.wake() || !cipher_.open(openssl_number_, sealed, plain.data(), type)) {
        return Renumbered::failed;
    }
    ++openssl_number_;
    const Bytes data = Bytes(plain).first(sealed.size() - record::overhead_bytes);
    const auto content = std::to_integer<std::uint8_t>(type);
    if (!seal(content, data, sealed.data())) {
        return Renumbered::failed;
    }
    return content == record::handshake && !data.empty() && data.front() == key_update
               ? Renumbered::key_update
               : Renumbered::done;
}

}  // namespace sluice::inline v0_1::detail
