// The text of an exception group.
#pragma once

#include <sluice/exception_group.hpp>

namespace sluice::inline v0_1 {

struct ExceptionGroup::Content {
    std::string text;
    std::vector<std::exception_ptr> exceptions;
};

namespace detail {

SLUICE_INLINE std::string text_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

}  // namespace detail

SLUICE_INLINE ExceptionGroup::ExceptionGroup(const std::string& message,
                                             std::vector<std::exception_ptr> exceptions) {
    std::string text = message + " (" + std::to_string(exceptions.size()) +
                       (exceptions.size() == 1 ? " sub-exception)" : " sub-exceptions)");
    const char* separator = ": ";
    for (const std::exception_ptr& one : exceptions) {
        text += separator + detail::text_of(one);
        separator = "; ";
    }
    content_ = std::make_shared<const Content>(Content{std::move(text), std::move(exceptions)});
}

SLUICE_INLINE ExceptionGroup::~ExceptionGroup() = default;

SLUICE_INLINE const char* ExceptionGroup::what() const noexcept {
    return content_->text.c_str();
}

SLUICE_INLINE const std::vector<std::exception_ptr>& ExceptionGroup::exceptions() const noexcept {
    return content_->exceptions;
}

}  // namespace sluice::inline v0_1
