// RecordCipher: the AEAD of one direction of a TLS 1.3 connection, one record at a time
// (RFC 8446, 5.2 and 5.3).
//
// It sees keys, numbers and bytes, and knows neither what is in a record nor which number is next.
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

namespace record {
inline constexpr std::size_t header_bytes = 5;
inline constexpr std::size_t tag_bytes = 16;
/// What a record has beside its data: header, type and tag.
inline constexpr std::size_t overhead_bytes = header_bytes + 1 + tag_bytes;
/// Beside the data and the type there may be padding, up to this length behind the header.
inline constexpr std::size_t longest_body_bytes = 16'384 + 256;

/// The content types of RFC 8446, 5.1.
inline constexpr std::uint8_t handshake = 22;
inline constexpr std::uint8_t application_data = 23;

/// Whether `bytes` begin with a whole record, and how long it is; there must be a header for that.
[[nodiscard]] inline std::size_t size(Bytes bytes) noexcept {
    return header_bytes +
           (std::to_integer<std::size_t>(bytes[3]) << 8 | std::to_integer<std::size_t>(bytes[4]));
}
[[nodiscard]] inline bool is_whole(Bytes bytes) noexcept {
    return bytes.size() >= header_bytes && bytes.size() >= size(bytes);
}
}  // namespace record

class RecordCipher {
public:
    using Key = std::array<unsigned char, 32>;  // shorter keys leave the end unused
    using Iv = std::array<unsigned char, 12>;

    /// `kind` is one of OpenSSL's, looked up once.
    RecordCipher(const evp_cipher_st& kind, const Key& key, const Iv& iv) noexcept
        : kind_(&kind), key_(key), iv_(iv) {}
    RecordCipher(const RecordCipher&) = delete;
    RecordCipher& operator=(const RecordCipher&) = delete;
    ~RecordCipher();

    /// Gets the cipher's memory, 1.5 KiB, if it rests. False if there is none to be had.
    [[nodiscard]] bool wake() noexcept { return context_ != nullptr || make_context(); }
    /// Gives it back until it is needed again: that costs 0.3 us.
    void rest() noexcept { context_.reset(); }

    // ---- only while awake ----

    /// Seals `data` as one record of `type`. `into` has room for data.size() +
    /// record::overhead_bytes, which is what it gets. False if the cipher fails.
    [[nodiscard]] bool seal(std::uint64_t number, std::uint8_t type, Bytes data,
                            std::byte* into) noexcept;
    /// Opens a whole record. Its plaintext has size - overhead_bytes + 1 bytes, the last of which
    /// goes to `last`: users' buffers may end where the data does. It is faster if they do not and
    /// `last` is the byte behind. False if it is not what was sealed; then what stands in `into` must
    /// not be looked at.
    [[nodiscard]] bool open(std::uint64_t number, Bytes record, std::byte* into,
                            std::byte& last) noexcept;

private:
    struct ContextFree {
        void operator()(evp_cipher_ctx_st* context) const noexcept;
    };

    using Tag = std::array<unsigned char, record::tag_bytes>;

    [[nodiscard]] bool make_context() noexcept;
    [[nodiscard]] bool expect(Iv nonce, Tag tag) noexcept;
    [[nodiscard]] Iv nonce(std::uint64_t number) const noexcept;

    std::unique_ptr<evp_cipher_ctx_st, ContextFree> context_;  // null while it rests
    const evp_cipher_st* kind_;
    Key key_;
    Iv iv_;
    bool prepared_to_open_ = false;
};

}  // namespace sluice::inline v0_1::detail

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/record_cipher.ipp>
#endif
