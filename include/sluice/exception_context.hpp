// What the loop's exception handler is told.
#pragma once

#include <sluice/config.hpp>

#include <exception>
#include <source_location>
#include <string>
#include <system_error>

namespace sluice::inline v0_1 {

class BaseProtocol;
class Transport;

/// Pointers are valid during the handler's call only.
struct ExceptionContext {
    std::string message;               ///< What failed, e.g. "protocol.data_received() failed".
    std::exception_ptr exception;      ///< What was thrown, if anything was.
    std::error_code error;             ///< What the system said, if that is the reason.
    Transport* transport = nullptr;    ///< The connection, if it is about one.
    BaseProtocol* protocol = nullptr;  ///< Its protocol, if it is about one.
    std::source_location where{};      ///< Where the callback was scheduled or, if it is about
                                       ///< something left open, where that was made; if known.
};

/// One line for a log: the message, then what() of the exception or the text of the error, then the
/// place.
SLUICE_API std::string to_string(const ExceptionContext& context);

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/exception_context.ipp>
#endif
