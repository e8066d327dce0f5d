// Errors the library itself defines, as std::error_code, and the exception types of the control
// path.
//
// System errors keep their own category (std::system_category); these are for what no errno says.
#pragma once

#include <sluice/config.hpp>

#include <cstdint>
#include <string>
#include <system_error>

namespace sluice::inline v0_1 {

/// What no errno says; compares with std::error_code.
enum class Error {
    callback_failed =
        1,         // A read callback threw; the exception itself went to the exception handler.
    empty_buffer,  // BufferedProtocol::get_buffer() returned no room.
    write_buffer_full,          // The hard cap on unsent bytes was reached.
    host_not_found,             // The resolver knows no such host or service.
    resolver_failed,            // The resolver failed for now; trying again may help.
    no_addresses,               // The resolver answered with an empty list.
    no_matching_local_address,  // No local address has the family of any remote one.
    all_attempts_failed,        // Several addresses were tried and each failed in its own way.
    server_closed,              // The server is closed.
    cancelled,                  // The operation was cancelled.
    tls_handshake_failed,       // The TLS handshake failed; TlsFailure says why.
    tls_certificate_rejected,   // We do not trust the peer's certificate; TlsFailure says why.
    tls_protocol_error,         // The peer broke the TLS protocol, or sent a fatal alert.
    tls_truncated,              // The stream ended without close_notify: somebody may have cut it.
    tls_handshake_timeout,      // The handshake did not end in time.
    tls_shutdown_timeout,       // The peer did not answer close_notify in time.
    tls_key_update,             // The peer asked for other keys, which kernel TLS cannot be given.
    file_truncated,             // A file ended before all that sendfile() had promised of it.
    idle_timeout,               // Nothing was received and nothing sent for too long.
    write_timeout,              // Bytes were waiting and the peer took none for too long.
};

/// The category named "sluice".
SLUICE_API const std::error_category& error_category() noexcept;

inline std::error_code make_error_code(Error error) noexcept {
    return {static_cast<int>(error), error_category()};
}

/// Failure of a name look-up or of connecting to or binding an address. `what()` names the host or
/// address and says why; the code is that of the underlying failure.
class SLUICE_API AddressError : public std::system_error {
public:
    /// `what` is the whole message, `address` what was tried.
    AddressError(std::error_code code, const std::string& what, std::string address);
    ~AddressError() override;

    /// The address or host that was tried, as text.
    [[nodiscard]] const std::string& address() const noexcept { return address_; }

private:
    std::string address_;
};

/// What awaiting EventLoop::sendfile() throws when not all of the file was sent. `what()` says how
/// much was, and why no more.
class SLUICE_API SendfileError : public std::system_error {
public:
    /// `sent` bytes went before `code` ended it.
    SendfileError(std::error_code code, std::uint64_t sent);
    ~SendfileError() override;

    /// How many bytes of the file went, in bytes.
    [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

private:
    std::uint64_t sent_;
};

/// Thrown out of any callback, it ends run_forever() or run_until_complete(), which throw it on; no
/// connection is harmed and no exception handler called. The counterpart of SystemExit in asyncio.
class SLUICE_API StopLoop : public std::exception {
public:
    StopLoop() noexcept = default;
    ~StopLoop() override;
    /// A fixed text.
    [[nodiscard]] const char* what() const noexcept override;
};

/// Thrown at the awaiting point of a coroutine that was cancelled. Not a std::exception on purpose:
/// code that catches those must not swallow it.
class SLUICE_API Cancelled {
public:
    Cancelled() noexcept = default;
};

}  // namespace sluice::inline v0_1

template <>
struct std::is_error_code_enum<sluice::Error> : std::true_type {};

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/error.ipp>
#endif
