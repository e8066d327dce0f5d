// Decoding of certificates. What stands in them was written by others: nothing is trusted to be
// printable, short or within range.
#pragma once

#include <sluice/impl/tls_openssl.ipp>

#include <sluice/address.hpp>
#include <sluice/detail/tls_certificate.hpp>

#include <algorithm>
#include <array>

namespace sluice::inline v0_1::detail {

using GeneralNamesPtr = std::unique_ptr<GENERAL_NAMES, OpensslFree<GENERAL_NAMES_free>>;
using TimePtr = std::unique_ptr<ASN1_TIME, OpensslFree<ASN1_TIME_free>>;
using BignumPtr = std::unique_ptr<BIGNUM, OpensslFree<BN_free>>;

SLUICE_INLINE std::string printable(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string shown;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f && c != '\\') {
            shown += c;
        } else {
            shown.append("\\x").append({digits[byte >> 4U], digits[byte & 15U]});
        }
    }
    return shown;
}

SLUICE_INLINE std::string in_hexadecimal(Bytes bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const std::byte byte : bytes) {
        const auto value = std::to_integer<unsigned>(byte);
        text += digits[value >> 4U];
        text += digits[value & 15U];
    }
    return text;
}

inline std::string content_of(BIO& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(&bio, &data);
    return {data, static_cast<std::size_t>(size)};
}

SLUICE_INLINE std::string text_of(const X509_name_st* name) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    // The flag set escapes control and non-ASCII characters.
    if (!bio || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) {
        throw std::bad_alloc();
    }
    return content_of(*bio);
}

inline std::string ip_text(const ASN1_OCTET_STRING& address) {
    const unsigned char* const bytes = ASN1_STRING_get0_data(&address);
    const auto size = static_cast<std::size_t>(ASN1_STRING_length(&address));
    std::array<std::uint8_t, 4> ipv4;
    std::array<std::uint8_t, 16> ipv6;
    if (size == ipv4.size()) {
        std::copy_n(bytes, size, ipv4.begin());
        return "IP:" + SocketAddress::ipv4(ipv4, 0).host();
    }
    if (size == ipv6.size()) {
        std::copy_n(bytes, size, ipv6.begin());
        return "IP:" + SocketAddress::ipv6(ipv6, 0).host();
    }
    return "IP:(" + std::to_string(size) + " bytes)";
}

/// "DNS:example.org"; empty for kinds that name no host and no person.
inline std::string text_of(const GENERAL_NAME& name) {
    int kind = 0;
    const void* const value = GENERAL_NAME_get0_value(&name, &kind);
    const auto with_prefix = [&](const char* prefix) {
        const auto* text = static_cast<const ASN1_IA5STRING*>(value);
        return std::string(prefix).append(
            reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
            static_cast<std::size_t>(ASN1_STRING_length(text)));
    };
    switch (kind) {
        case GEN_DNS:
            return with_prefix("DNS:");
        case GEN_EMAIL:
            return with_prefix("email:");
        case GEN_URI:
            return with_prefix("URI:");
        case GEN_IPADD:
            return ip_text(*static_cast<const ASN1_OCTET_STRING*>(value));
        default:
            return {};
    }
}

inline std::vector<std::string> names_of(const X509& certificate) {
    std::vector<std::string> texts;
    const GeneralNamesPtr names(static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        std::string text = text_of(*sk_GENERAL_NAME_value(names.get(), i));
        if (!text.empty()) {
            texts.push_back(std::move(text));
        }
    }
    return texts;
}

SLUICE_INLINE std::string joined_names(const x509_st& certificate, std::size_t at_most) {
    const std::vector<std::string> names = names_of(certificate);
    std::string joined;
    for (std::size_t i = 0; i < std::min(at_most, names.size()); ++i) {
        joined.append(i == 0 ? "" : ", ").append(printable(names[i]));
    }
    if (names.size() > at_most) {
        joined += " and " + std::to_string(names.size() - at_most) + " more";
    }
    return joined;
}

inline std::chrono::system_clock::time_point time_of(const ASN1_TIME* time) {
    using Clock = std::chrono::system_clock;
    const TimePtr epoch(ASN1_TIME_set(nullptr, 0));
    int days = 0;
    int seconds = 0;
    if (!epoch || ASN1_TIME_diff(&days, &seconds, epoch.get(), time) != 1) {
        return {};
    }
    const std::chrono::seconds since = std::chrono::days(days) + std::chrono::seconds(seconds);
    // "Never expires" is written as the year 9999 (RFC 5280), which the clock may not reach.
    constexpr auto last = std::chrono::duration_cast<std::chrono::seconds>(Clock::duration::max());
    constexpr auto first = std::chrono::duration_cast<std::chrono::seconds>(Clock::duration::min());
    return Clock::time_point(std::clamp(since, first, last));
}

inline std::string serial_of(const X509& certificate) {
    const BignumPtr number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr));
    if (!number) {
        return {};
    }
    const std::unique_ptr<char, decltype([](char* text) { OPENSSL_free(text); })> text(
        BN_bn2hex(number.get()));
    if (!text) {
        throw std::bad_alloc();
    }
    return text.get();
}

SLUICE_INLINE TlsCertificate decode(x509_st& certificate) {
    TlsCertificate decoded;
    decoded.subject = text_of(X509_get_subject_name(&certificate));
    decoded.issuer = text_of(X509_get_issuer_name(&certificate));
    decoded.names = names_of(certificate);
    decoded.not_before = time_of(X509_get0_notBefore(&certificate));
    decoded.not_after = time_of(X509_get0_notAfter(&certificate));
    decoded.serial_number = serial_of(certificate);
    const int size = i2d_X509(&certificate, nullptr);
    if (size > 0) {
        decoded.der.resize(static_cast<std::size_t>(size));
        auto* into = reinterpret_cast<unsigned char*>(decoded.der.data());
        i2d_X509(&certificate, &into);
    }
    std::array<std::byte, EVP_MAX_MD_SIZE> digest;
    unsigned int digest_size = 0;
    if (X509_digest(&certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(digest.data()),
                    &digest_size) == 1) {
        decoded.fingerprint = in_hexadecimal(Bytes(digest.data(), digest_size));
    }
    // A malformed extension leaves its complaints in the queue, which belongs to the whole thread.
    ERR_clear_error();
    return decoded;
}

}  // namespace sluice::inline v0_1::detail
