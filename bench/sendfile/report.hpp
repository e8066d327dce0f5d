// Shows what the file benchmark has found: tables for people, JSON for programs. Measures nothing.
#pragma once

#include "measure.hpp"

#include <string>

namespace bench::files {

std::string tables(const Options& options, const Machine& machine, const Results& results);

/// The schema stands in bench/README.md.
std::string json_report(const Options& options, const Machine& machine, const Results& results);

/// True when any server gave a wrong answer or none.
bool any_failure(const Results& results);

}  // namespace bench::files
