// The texts of sluice::Error and the out-of-line members that anchor the exception types' vtables.
#pragma once

#include <sluice/error.hpp>

#include <utility>

namespace sluice::inline v0_1 {

namespace detail {

class ErrorCategory final : public std::error_category {
public:
    const char* name() const noexcept override { return "sluice"; }

    std::string message(int value) const override {
        switch (static_cast<Error>(value)) {
            case Error::callback_failed:
                return "a protocol callback threw an exception";
            case Error::empty_buffer:
                return "get_buffer() returned an empty buffer";
            case Error::write_buffer_full:
                return "the hard limit of unsent bytes was reached";
            case Error::host_not_found:
                return "host or service not found";
            case Error::resolver_failed:
                return "name resolution failed";
            case Error::no_addresses:
                return "name resolution returned no addresses";
            case Error::no_matching_local_address:
                return "no matching local address";
            case Error::all_attempts_failed:
                return "every connection attempt failed";
            case Error::server_closed:
                return "the server is closed";
            case Error::cancelled:
                return "cancelled";
            case Error::tls_handshake_failed:
                return "the TLS handshake failed";
            case Error::tls_certificate_rejected:
                return "the peer's certificate was rejected";
            case Error::tls_protocol_error:
                return "TLS protocol error";
            case Error::tls_truncated:
                return "the TLS stream ended without close_notify";
            case Error::tls_handshake_timeout:
                return "the TLS handshake took too long";
            case Error::tls_shutdown_timeout:
                return "TLS shutdown timed out";
            case Error::tls_key_update:
                return "the peer asked for other keys, which kernel TLS cannot be given";
            case Error::file_truncated:
                return "the file ended before all that was promised of it had been sent";
            case Error::idle_timeout:
                return "nothing was received and nothing sent for too long";
            case Error::write_timeout:
                return "the peer took none of what was to be sent for too long";
        }
        return "unknown error " + std::to_string(value);
    }

    std::error_condition default_error_condition(int value) const noexcept override {
        // As asyncio's exceptions: CancelledError, ConnectionAbortedError, TimeoutError.
        switch (static_cast<Error>(value)) {
            case Error::cancelled:
                return std::errc::operation_canceled;
            case Error::tls_handshake_timeout:
                return std::errc::connection_aborted;
            case Error::tls_shutdown_timeout:
            case Error::idle_timeout:
            case Error::write_timeout:
                return std::errc::timed_out;
            default:
                return {value, *this};
        }
    }
};

}  // namespace detail

SLUICE_INLINE const std::error_category& error_category() noexcept {
    static const detail::ErrorCategory category;
    return category;
}

SLUICE_INLINE AddressError::AddressError(std::error_code code, const std::string& what,
                                         std::string address)
    : std::system_error(code, what), address_(std::move(address)) {}

SLUICE_INLINE AddressError::~AddressError() = default;

SLUICE_INLINE SendfileError::SendfileError(std::error_code code, std::uint64_t sent)
    : std::system_error(code,
                        "sendfile() ended after " + std::to_string(sent) + " bytes of the file"),
      sent_(sent) {}

SLUICE_INLINE SendfileError::~SendfileError() = default;

SLUICE_INLINE StopLoop::~StopLoop() = default;

SLUICE_INLINE const char* StopLoop::what() const noexcept {
    return "the event loop was asked to stop";
}

}  // namespace sluice::inline v0_1
