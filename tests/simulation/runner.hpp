// Running many seeds: progress, what to say about a failing one, and what to do when it crashes.
//
// It must not know what programs are made of; the command line and the test cases are its users.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace sluice::test {

struct RunRequest {
    std::uint64_t first_seed = 1;
    std::uint64_t seeds = 1;
    bool verbose = false;               // a trace of every call, for few seeds
    bool progress = false;              // a line now and then
    std::optional<bool> over_io_uring;  // all of them, or none
    std::uint32_t left_out = 0;         // operations, as for generate()
    bool apart = false;  // each seed in a process of its own, so that crashes can be shrunk
};

/// The first failing seed described, shrunk, with the command that runs it again; empty when none
/// fails. Written to `out` as well.
std::string run_seeds(const RunRequest& request, std::FILE* out);

}  // namespace sluice::test
