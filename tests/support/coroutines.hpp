// Coroutines that more than one suite starts and cancels.
#pragma once

#include <sluice/sleep.hpp>
#include <sluice/task.hpp>

#include <chrono>
#include <string>

namespace sluice::test {

/// Waits until it is cancelled, and then ends as if nothing had happened.
inline Task<> until_cancelled() {
    try {
        co_await sleep(std::chrono::hours(1));
    } catch (const Cancelled&) {
        co_return;
    }
}

/// Waits until it is cancelled, and then ends with an exception of its own.
template <class E>
Task<> throw_when_cancelled(std::string text) {
    Task<> waiting = until_cancelled();
    co_await waiting;
    throw E(text);
}

}  // namespace sluice::test
