// A client that shakes hands as OpenSSL does and then seals what no TLS library would.
//
// It knows RFC 8446's record layer and nothing of ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

namespace sluice::test {

namespace content {
inline constexpr std::uint8_t alert = 21;
inline constexpr std::uint8_t handshake = 22;
inline constexpr std::uint8_t application_data = 23;
}  // namespace content

/// The bytes that hexadecimal digits stand for.
std::string from_hex(std::string_view text);

/// A key log callback: puts the client's application traffic secret into the std::string that is the
/// SSL object's app data.
void note_client_secret(const SSL* ssl, const char* line);

/// HKDF-Expand-Label with SHA-256 and an empty context, by OpenSSL's older interface: not what the
/// library uses.
std::string expand_label(const std::string& secret, std::string_view label, std::size_t size);

/// Seals with AES-128-GCM and a secret's keys, whatever it is given.
class Forger {
public:
    explicit Forger(const std::string& secret);

    /// A record with `inner` as its plaintext: data, type and padding.
    std::string seal(const std::string& inner);
    std::string seal(std::uint8_t type, const std::string& data, std::size_t padding = 0) {
        return seal(data + static_cast<char>(type) + std::string(padding, '\0'));
    }

private:
    std::string key_;
    std::string iv_;
    std::uint64_t number_ = 0;
};

}  // namespace sluice::test
