// How long a test waits for what must happen before it fails: the one place for machines that are slow.
//
// SLUICE_PATIENCE_FACTOR in the environment, a whole number, makes everything longer that is made of this; in a virtual
// machine a system call costs hundreds of times what it costs here. It knows no test and no clock.
#pragma once

#include <chrono>

namespace sluice::test {

/// SLUICE_PATIENCE_FACTOR, 1 without it. Throws std::invalid_argument for anything but 1 to 1000.
[[nodiscard]] int patience_factor();
/// Ten seconds, times the factor.
[[nodiscard]] std::chrono::seconds patience();
/// The same for poll(2).
[[nodiscard]] int patience_ms();
/// A limit which the library under test is given and which honest peers must be able to keep:
/// `limit` times the factor.
template <class Rep, class Period>
[[nodiscard]] std::chrono::duration<Rep, Period> patient(std::chrono::duration<Rep, Period> limit) {
    return limit * patience_factor();
}

}  // namespace sluice::test
