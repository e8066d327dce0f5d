// Coroutines that more than one suite starts and cancels.
#pragma once

#include <sluice/sleep.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <string>

namespace sluice::test {

/// Waits until it is cancelled, and then ends with an exception of its own.
template <class E>
Task<> throw_when_cancelled(std::string text) {
    bool cancelled = false;
    try {
        co_await sleep(std::chrono::hours(1));
    } catch (const Cancelled&) {
        cancelled = true;
    }
    if (cancelled) {
        throw E(text);
    }
}

}  // namespace sluice::test
