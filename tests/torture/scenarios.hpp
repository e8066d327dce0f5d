// The scenarios that torture runs over and over, each time with another call or allocation failing.
//
// A scenario is a small program on its own kernel and loop that does one kind of thing from
// beginning to end. Undisturbed it must reach its goal; disturbed it must end all the same, by its
// goal or by an error that says why.
#pragma once

#include "support/sys_sim.hpp"

#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace sluice::test {

class Stage;

struct Scenario {
    const char* name;
    void (*run)(Stage& stage);
};

const std::vector<Scenario>& scenarios();

// The parts, one per file.
std::span<const Scenario> connecting_scenarios();
std::span<const Scenario> serving_scenarios();
std::span<const Scenario> loop_scenarios();
std::span<const Scenario> tls_scenarios();
std::span<const Scenario> file_scenarios();
std::span<const Scenario> unix_scenarios();
std::span<const Scenario> datagram_scenarios();
std::span<const Scenario> net_scenarios();

/// For GoogleTest's messages.
void PrintTo(const Scenario& scenario, std::ostream* out);

/// What became of one run.
struct Performance {
    bool reached_goal = false;
    std::string error;    // of the control path, if it ended by one
    std::string problem;  // what must not be: a hang, something left open, a wrong call
};

/// Runs `scenario` on `kernel`, which the caller has prepared.
Performance perform(const Scenario& scenario, SimKernel& kernel);

}  // namespace sluice::test
