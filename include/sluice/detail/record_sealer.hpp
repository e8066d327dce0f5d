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

#include <sluice/detail/record_cipher.hpp>

namespace sluice::inline v0_1::detail {

class RecordSealer {
public:
    /// `crypto_info` is what OpenSSL hands over: a struct of <linux/tls.h>. Null for versions and
    /// ciphers that are left to OpenSSL, and without memory.
    static std::unique_ptr<RecordSealer> make(const void* crypto_info) noexcept;

    /// The size of that struct, 0 for ciphers that we do not know: behind it OpenSSL keeps things of
    /// its own.
    [[nodiscard]] static std::size_t keys_bytes(const void* crypto_info) noexcept;

    /// Seals `data`, at most limits::tls_record_bytes, as one record of `type`. `into` has room for
    /// data.size() + record::overhead_bytes, which is what it gets. False if the cipher fails, or
    /// the keys have sealed all they may.
    [[nodiscard]] bool seal(std::uint8_t type, Bytes data, std::byte* into) noexcept;

    void rest() noexcept { cipher_.rest(); }

    enum class Renumbered : std::uint8_t {
        done,
        key_update,  ///< And with it these keys have come to their end.
        failed,
    };
    /// Gives OpenSSL's next record, in place, the number that is next on the wire.
    [[nodiscard]] Renumbered renumber(MutableBytes sealed) noexcept;

private:
    RecordSealer(const evp_cipher_st& kind, const RecordCipher::Key& key,
                 const RecordCipher::Iv& iv, std::uint64_t number) noexcept
        : cipher_(kind, key, iv), number_(number), openssl_number_(number) {}

    RecordCipher cipher_;
    std::uint64_t number_;          // of the next record on the wire
    std::uint64_t openssl_number_;  // of OpenSSL's next
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/record_sealer.ipp>
#endif
