// ExceptionGroup: several exceptions thrown as one, so that none is lost.
#pragma once

#include <sluice/config.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace sluice::inline v0_1 {

/// What a task group throws when tasks of it failed. `what()` names each of them. Copies share the
/// exceptions. The counterpart of Python's ExceptionGroup.
class SLUICE_API ExceptionGroup : public std::exception {
public:
    /// `message` says whose they are; `exceptions` are not empty, none is null.
    ExceptionGroup(const std::string& message, std::vector<std::exception_ptr> exceptions);
    ~ExceptionGroup() override;
    ///@{
    /// Shares the exceptions.
    ExceptionGroup(const ExceptionGroup&) noexcept = default;
    ExceptionGroup& operator=(const ExceptionGroup&) noexcept = default;
    ///@}

    /// The message, how many there are, and what() of each.
    [[nodiscard]] const char* what() const noexcept override;
    /// In the order in which they were thrown; a group among them stands for itself.
    [[nodiscard]] const std::vector<std::exception_ptr>& exceptions() const noexcept;

    /// Calls `handle(const E&)` for every E, those inside groups included, and gives how many there
    /// were. What `except* E` is in Python.
    template <class E, class F>
    std::size_t for_each(F&& handle) const {
        std::size_t count = 0;
        for (const std::exception_ptr& one : exceptions()) {
            try {
                std::rethrow_exception(one);
            } catch (const E& wanted) {
                ++count;
                handle(wanted);
            } catch (const ExceptionGroup& group) {
                count += group.template for_each<E>(handle);
            } catch (...) {
                // Somebody else's.
            }
        }
        return count;
    }
    /// True if there is an E, also inside a group.
    template <class E>
    [[nodiscard]] bool contains() const {
        return for_each<E>([](const E&) {}) > 0;
    }

private:
    struct Content;
    // Copying an exception must not throw.
    std::shared_ptr<const Content> content_;
};

}  // namespace sluice::inline v0_1

#ifdef SLUICE_HEADER_ONLY
#include <sluice/impl/exception_group.ipp>
#endif
