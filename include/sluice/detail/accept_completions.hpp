// AcceptCompletions: what a backend offers to acceptors that accepts connections itself instead of saying
// when some wait.
//
// An acceptor uses it in place of accept(2), for a watcher with Readiness::accepted, and everything else
// stays what it is: its turns, its rests, what becomes of a connection.
#pragma once

#include <sluice/detail/result.hpp>

namespace sluice::inline v0_1::detail {

class AcceptCompletions {
public:
    AcceptCompletions() = default;
    AcceptCompletions(const AcceptCompletions&) = delete;
    AcceptCompletions& operator=(const AcceptCompletions&) = delete;

    /// The oldest connection that nobody has taken, a descriptor as sys::accept() gives it, or the error
    /// that came after those. Would-block: none for now. What is not taken when `listener` is no
    /// longer watched is closed.
    [[nodiscard]] virtual Result<int> take_accepted(int listener) noexcept = 0;

protected:
    ~AcceptCompletions() = default;
};

}  // namespace sluice::inline v0_1::detail
