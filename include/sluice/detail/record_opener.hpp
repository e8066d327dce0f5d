// RecordOpener: incoming TLS 1.3 records, opened by ourselves with the peer's traffic secret.
//
// OpenSSL's record layer needs some 0.9 us for a small record and copies every byte twice: into its
// buffer and out of it. Data is opened from where it was received straight into the user's buffer
// instead. Everything else is OpenSSL's business, alerts, key updates, whatever breaks a rule: such a
// record is handed over to it, under the number that OpenSSL expects next.
//
// It sees one direction of one connection: no SSL object, no BIO.
#pragma once

#include <sluice/detail/record_cipher.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace sluice::inline v0_1::detail {

class RecordOpener {
public:
    /// `suite` is a cipher suite's number (RFC 8446, B.4), `secret` the peer's application traffic
    /// secret (7.1), `number` that of the next record: OpenSSL has opened those before, the last of
    /// which was data. Null for suites that are left to OpenSSL, without memory, or if the keys cannot
    /// be derived.
    static std::unique_ptr<RecordOpener> make(std::uint16_t suite, Bytes secret,
                                              std::uint64_t number) noexcept;

    enum class Next : std::uint8_t {
        record,     ///< There is one.
        more,       ///< All of `input` is taken, and more is needed.
        malformed,  ///< No record of data: give_back() and let OpenSSL judge.
    };
    /// Cuts the next record off `input`, and takes the rest of it only when a record's end is
    /// missing. `sealed` is valid until the next call. May throw std::bad_alloc.
    [[nodiscard]] Next next(Bytes& input, Bytes& sealed);
    /// The beginning of a record whose end next() has not seen.
    [[nodiscard]] std::vector<std::byte> give_back() noexcept {
        return part_is_whole_ ? std::vector<std::byte>() : std::move(part_);
    }

    enum class Opened : std::uint8_t {
        data,              ///< `room` has some of it, and the rest is left over.
        for_openssl,       ///< Not data: OpenSSL is to read for_openssl().
        last_for_openssl,  ///< The same, and with it these keys have come to their end.
        broken,            ///< Not sealed with these keys and the number that is due.
    };
    /// Opens what next() has cut off. Nothing may be left over from before. May throw
    /// std::bad_alloc.
    [[nodiscard]] Opened open(Bytes sealed, MutableBytes room, std::size_t& count);
    /// Valid until the next call of next() or open().
    [[nodiscard]] Bytes for_openssl() const noexcept { return for_openssl_; }

    /// Data that did not fit the room.
    [[nodiscard]] bool has_left_over() const noexcept { return !left_over_.empty(); }
    [[nodiscard]] std::size_t take_left_over(MutableBytes room) noexcept;

    void rest() noexcept { cipher_.rest(); }

private:
    RecordOpener(const evp_cipher_st& kind, const RecordCipher::Key& key,
                 const RecordCipher::Iv& iv, std::uint64_t number) noexcept
        : cipher_(kind, key, iv), number_(number), openssl_number_(number) {}

    [[nodiscard]] std::byte* scratch(std::size_t size);
    [[nodiscard]] bool ends_keys(std::uint8_t type, std::size_t size) noexcept;
    void renumber(Bytes sealed, std::uint8_t type, Bytes data);

    RecordCipher cipher_;
    std::uint64_t number_;          // of the next record on the wire
    std::uint64_t openssl_number_;  // that OpenSSL expects next
    // OpenSSL counts empty records and warnings in a row: it must see what ends the row.
    bool in_a_row_ = false;
    bool part_is_whole_ = false;
    std::size_t key_update_bytes_ = 0;  // seen of it
    std::vector<std::byte> part_;       // of a record; then, of the whole
    std::vector<std::byte> scratch_;    // a record in plain text behind its header, or renumbered
    Bytes left_over_;
    Bytes for_openssl_;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/record_opener.ipp>
#endif
