// RecordOpener: cutting the stream into records, and telling data from what is OpenSSL's.
#pragma once

#include <sluice/impl/record_cipher.ipp>

#include <sluice/detail/record_opener.hpp>
#include <sluice/limits.hpp>

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

namespace sluice::inline v0_1::detail {

// ---- keys ----

/// HKDF-Expand-Label(secret, label, "", into.size()) of RFC 8446, 7.1.
inline bool expand_label(const char* digest, Bytes secret, std::string_view label,
                         std::span<unsigned char> into) noexcept {
    static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, nullptr);
    struct Free {
        void operator()(EVP_KDF_CTX* context) const noexcept { EVP_KDF_CTX_free(context); }
    };
    const std::unique_ptr<EVP_KDF_CTX, Free> context(kdf == nullptr ? nullptr
                                                                    : EVP_KDF_CTX_new(kdf));
    if (context == nullptr) {
        return false;
    }
    // What is taken by OSSL_PARAM is only read, but its type does not say so.
    const auto octets = [](const char* key, std::string_view text) {
        return OSSL_PARAM_construct_octet_string(key, const_cast<char*>(text.data()), text.size());
    };
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    const std::array<OSSL_PARAM, 6> parameters = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(digest), 0),
        octets(OSSL_KDF_PARAM_KEY, {reinterpret_cast<const char*>(secret.data()), secret.size()}),
        octets(OSSL_KDF_PARAM_PREFIX, "tls13 "),
        octets(OSSL_KDF_PARAM_LABEL, label),
        OSSL_PARAM_construct_end(),
    };
    return EVP_KDF_derive(context.get(), into.data(), into.size(), parameters.data()) == 1;
}

SLUICE_INLINE std::unique_ptr<RecordOpener> RecordOpener::make(std::uint16_t suite, Bytes secret,
                                                               std::uint64_t number) noexcept {
    const EVP_CIPHER* const kind = record_cipher_kind(suite);
    if (kind == nullptr) {
        return nullptr;
    }
    const char* const digest = suite == 0x1302 ? "SHA384" : "SHA256";
    RecordCipher::Key key{};
    RecordCipher::Iv iv{};
    const auto key_bytes = static_cast<std::size_t>(EVP_CIPHER_get_key_length(kind));
    std::unique_ptr<RecordOpener> opener;
    if (expand_label(digest, secret, "key", std::span(key).first(key_bytes)) &&
        expand_label(digest, secret, "iv", iv)) {
        opener.reset(new (std::nothrow) RecordOpener(*kind, key, iv, number));
    }
    OPENSSL_cleanse(key.data(), key.size());
    return opener;
}

// ---- records ----

/// Whether OpenSSL would read on behind this header in TLS 1.3, and what it would read could be data.
inline bool may_be_data(Bytes header) noexcept {
    constexpr auto version = std::byte{3};  // RFC 8446, 5.2: TLS 1.2's, 3.3
    const std::size_t size = record::size(header);
    return std::to_integer<std::uint8_t>(header[0]) == record::application_data &&
           header[1] == version && header[2] == version && size >= record::overhead_bytes &&
           size <= record::header_bytes + record::longest_body_bytes;
}

SLUICE_INLINE RecordOpener::Next RecordOpener::next(Bytes& input, Bytes& sealed) {
    if (part_is_whole_) {
        part_is_whole_ = false;
        part_ = std::vector<std::byte>();  // {} would keep the memory
    }
    if (part_.empty() && input.size() >= record::header_bytes) {
        if (!may_be_data(input)) {
            return Next::malformed;
        }
        if (record::is_whole(input)) {
            sealed = input.first(record::size(input));
            input = input.subspan(sealed.size());
            return Next::record;
        }
        part_.reserve(record::size(input));
    }
    const auto take_up_to = [&](std::size_t size) {
        const Bytes some = input.first(std::min(size - part_.size(), input.size()));
        part_.insert(part_.end(), some.begin(), some.end());
        input = input.subspan(some.size());
        return part_.size() == size;
    };
    if (part_.size() < record::header_bytes && !take_up_to(record::header_bytes)) {
        return Next::more;
    }
    if (!may_be_data(part_)) {
        return Next::malformed;
    }
    if (!take_up_to(record::size(part_))) {
        return Next::more;
    }
    part_is_whole_ = true;
    sealed = part_;
    return Next::record;
}

/// Room for a record whose data has `size` bytes.
SLUICE_INLINE std::byte* RecordOpener::scratch(std::size_t size) {
    scratch_.resize(size + record::overhead_bytes);
    return scratch_.data();
}

SLUICE_INLINE RecordOpener::Opened RecordOpener::open(Bytes sealed, MutableBytes room,
                                                      std::size_t& count) {
    if (!cipher_.wake()) {
        throw std::bad_alloc();
    }
    // Padding is opened like data, so this may be too much by that.
    std::size_t size = sealed.size() - record::overhead_bytes;
    const bool fits = size <= room.size();
    std::byte* const plain = fits ? room.data() : scratch(size) + record::header_bytes;
    std::byte own{};
    std::byte& behind = fits && size == room.size() ? own : plain[size];
    if (!cipher_.open(number_, sealed, plain, behind)) {
        return Opened::broken;
    }
    std::byte last = behind;
    ++number_;
    while (last == std::byte{0} && size != 0) {
        last = plain[--size];
    }
    const auto type = std::to_integer<std::uint8_t>(last);
    const bool is_data =
        type == record::application_data && size != 0 && size <= limits::tls_record_bytes;
    if (!is_data || in_a_row_) {
        in_a_row_ = !is_data;
        renumber(sealed, type, Bytes(plain, size));
        return ends_keys(type, size) ? Opened::last_for_openssl : Opened::for_openssl;
    }
    if (fits) {
        count = size;
        scratch_ = std::vector<std::byte>();
    } else {
        left_over_ = Bytes(plain, size);
        count = take_left_over(room);
    }
    return Opened::data;
}

/// Without padding, and where it stands with the number it has if that is right.
SLUICE_INLINE void RecordOpener::renumber(Bytes sealed, std::uint8_t type, Bytes data) {
    for_openssl_ = sealed;
    if (openssl_number_ != number_ - 1) {
        // What was opened into scratch_ is already where sealing puts it: the cipher works in place.
        const bool in_place =
            !scratch_.empty() && data.data() == scratch_.data() + record::header_bytes;
        std::byte* const into = in_place ? scratch_.data() : scratch(data.size());
        if (!cipher_.seal(openssl_number_, type, data, into)) {
            throw std::bad_alloc();
        }
        for_openssl_ = Bytes(into, data.size() + record::overhead_bytes);
    }
    ++openssl_number_;
}

/// A message of the handshake's layer behind the handshake can only be a KeyUpdate; anything else is
/// an error, which OpenSSL notices.
SLUICE_INLINE bool RecordOpener::ends_keys(std::uint8_t type, std::size_t size) noexcept {
    constexpr std::size_t whole_key_update_bytes = 5;
    if (type == record::handshake) {
        key_update_bytes_ += size;
    }
    return key_update_bytes_ >= whole_key_update_bytes;
}

SLUICE_INLINE std::size_t RecordOpener::take_left_over(MutableBytes room) noexcept {
    const std::size_t count = std::min(room.size(), left_over_.size());
    std::memcpy(room.data(), left_over_.data(), count);
    left_over_ = left_over_.subspan(count);
    if (left_over_.empty()) {
        scratch_ = std::vector<std::byte>();
    }
    return count;
}

}  // namespace sluice::inline v0_1::detail
