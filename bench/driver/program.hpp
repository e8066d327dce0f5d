// How a benchmark driver ends: with what its run returned, 2 for arguments that it does not understand, 1 for anything else
// that went wrong.
#pragma once

#include <exception>
#include <stdexcept>

#include <fmt/core.h>

namespace bench {

template <class Run>
int run_driver(const char* name, const Run& run) {
    try {
        return run();
    } catch (const std::invalid_argument& error) {
        fmt::print(stderr, "{}: {}\n", name, error.what());
        return 2;
    } catch (const std::exception& error) {
        fmt::print(stderr, "{}: {}\n", name, error.what());
        return 1;
    }
}

}  // namespace bench
