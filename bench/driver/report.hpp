// Shows what a run has found: aligned tables for people, JSON for bench/chart.py. Both say what differed from a clean
// measurement, who was left out and what failed. Measures nothing.
#pragma once

#include "machine.hpp"
#include "options.hpp"
#include "results.hpp"

#include <string>

namespace bench {

std::string tables(const Options& options, const Machine& machine, const Results& results);

/// The schema stands in bench/README.md.
std::string json_report(const Options& options, const Machine& machine, const Results& results);

/// True when any server gave wrong bytes, closed, stalled or could not be measured where it should have been.
bool any_failure(const Results& results);

}  // namespace bench
