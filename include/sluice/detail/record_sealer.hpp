// RecordSealer: outgoing TLS 1.3 records, sealed by ourselves with the keys that OpenSSL hands over.
//
// OpenSSL's own record layer needs some 0.9 us for a record of 64 bytes, of which the cipher takes
// 0.2, and copies large ones once more. During the handshake it offers its keys, meant for the kernel;
// we note them and decline. So it goes on sealing what it has to say itself, tickets, alerts, key
// updates, with numbers of its own, and such a record is renumbered: opened, and sealed with the
// number it has on the wire.
//
// It sees one direction of one connection: no SSL object, no BIO.
#pragma once

#include <sluice/bytes.hpp>
#include <sluice/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

struct evp_cipher_ctx_st;
struct evp_cipher_st;

namespace sluice::inline v0_1::detail {

class RecordSealer {
public:
    /// What a record has beside its data: header, type and tag (RFC 8446, 5.2).
    static constexpr std::size_t overhead_bytes = 5 + 1 + 16;

    /// `crypto_info` is what OpenSSL hands over: a struct of <linux/tls.h>. Null for versions and
    /// ciphers that are left to OpenSSL. May throw std::bad_alloc.
    static std::unique_ptr<RecordSealer> make(const void* crypto_info);

    RecordSealer(const RecordSealer&) = delete;
    RecordSealer& operator=(const RecordSealer&) = delete;
    ~RecordSealer();

    /// Seals `data`, at most limits::tls_record_bytes, as one record of `type` (RFC 8446, 5.1).
    /// `record` has room for data.size() + overhead_bytes, which is what it gets. False if the
    /// cipher fails, or the keys have sealed all they may.
    [[nodiscard]] bool seal(std::uint8_t type, Bytes data, std::byte* record) noexcept;

    /// Gives back the cipher's memory, 1.5 KiB, until it is needed again: that costs 0.3 us.
    void rest() noexcept { cipher_.reset(); }

    // ---- records of OpenSSL's, sealed with the same keys ----

    enum class Renumbered : std::uint8_t {
        done,
        key_update,  ///< And with it these keys have come to their end.
        failed,
    };
    /// Whether `bytes` begin with a whole record, and how long it is.
    [[nodiscard]] static bool holds_record(Bytes bytes) noexcept {
        return bytes.size() >= header_bytes && bytes.size() >= record_bytes(bytes);
    }
    [[nodiscard]] static std::size_t record_bytes(Bytes bytes) noexcept {
        return header_bytes + (std::to_integer<std::size_t>(bytes[3]) << 8 |
                               std::to_integer<std::size_t>(bytes[4]));
    }
    /// Gives OpenSSL's next record, in place, the number that is next on the wire.
    [[nodiscard]] Renumbered renumber(MutableBytes record) noexcept;

private:
    static constexpr std::size_t header_bytes = 5;
    static constexpr std::size_t tag_bytes = 16;

    struct CipherFree {
        void operator()(evp_cipher_ctx_st* cipher) const noexcept;
    };

    RecordSealer() = default;
    [[nodiscard]] std::array<unsigned char, 12> nonce(std::uint64_t sequence) const noexcept;
    [[nodiscard]] bool make_cipher() noexcept;

    std::unique_ptr<evp_cipher_ctx_st, CipherFree> cipher_;  // null while it rests
    const evp_cipher_st* kind_ = nullptr;
    std::array<unsigned char, 32> key_{};
    std::array<unsigned char, 12> iv_{};
    std::uint64_t sequence_ = 0;          // of the next record on the wire
    std::uint64_t openssl_sequence_ = 0;  // of OpenSSL's next
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/record_sealer.ipp>
#endif
