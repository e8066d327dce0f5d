// Shrinking: the smallest program that still fails in the same way.
//
// It tries programs with parts left out, each in a process of its own, because the failure may be a
// crash or a loop without end. It must not know what a failure is, only what class it belongs to.
#pragma once

#include "simulation/program.hpp"

#include <functional>
#include <string>

namespace sluice::test {

/// Runs the program in a child process. The failure, or empty. A crash and a hang are failures.
std::string run_apart(const Program& program);

/// What is wrong with a program when it is run, or empty.
using Judge = std::function<std::string(const Program&)>;

/// Programs like `failing` with less in them, until none fails with the same class of failure (the
/// text before the colon).
Program shrink(const Program& failing, const std::string& failure, Judge judge = run_apart);

}  // namespace sluice::test
