// explore(): tries the first failure, the second, ... until a run meets none, in processes of their
// own.
//
// A failure that ends the process (std::terminate out of a noexcept function, an assertion, a
// sanitizer) is a finding about that one run; the next ones are tried all the same.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sluice::test {

struct Attempt {
    bool hit = false;     // the failure was met
    std::string problem;  // what must not be; empty: all well
};

struct Exploration {
    std::uint64_t failures_met = 0;
    std::vector<std::string> problems;
};

/// `attempt(n)` runs with the nth failure, from 1. With SLUICE_TORTURE_FAILURE=n in the environment
/// only the nth, in this process, for a debugger.
Exploration explore(const std::function<Attempt(std::uint64_t)>& attempt);

}  // namespace sluice::test
