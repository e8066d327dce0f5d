// Rendering an ExceptionContext.
#pragma once

#include <sluice/exception_context.hpp>

namespace sluice::inline v0_1 {

SLUICE_INLINE std::string to_string(const ExceptionContext& context) {
    std::string line = context.message;
    if (context.exception) {
        try {
            std::rethrow_exception(context.exception);
        } catch (const std::exception& error) {
            line += std::string(": ") + error.what();
        } catch (...) {
            line += ": an exception that is not a std::exception";
        }
    } else if (context.error) {
        line += ": " + context.error.message();
    }
    if (context.where.line() != 0) {
        line += std::string(" (scheduled at ") + context.where.file_name() + ":" +
                std::to_string(context.where.line()) + ")";
    }
    return line;
}

}  // namespace sluice::inline v0_1
