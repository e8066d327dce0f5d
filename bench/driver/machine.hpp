// The place a run happens in: cores, network namespace, descriptor limit. Prepares this process (servers inherit it) and
// keeps a label for everything that could not be had, which every report must show. Knows no server.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

struct Machine {
    std::vector<int> cores;  // that this process may use
    int server_core = 0;
    int load_core = 0;
    bool own_namespace = false;
    std::string congestion_control;
    std::string cpu_model;
    std::string kernel;
    std::size_t descriptor_limit = 0;
    std::vector<std::string> labels;  // full sentences about what differs from a clean measurement
};

/// Moves this process into a network namespace of its own where that is allowed, pins it to the load's core and raises
/// the descriptor limit. Call once, before any thread or server exists. Never fails: what is refused becomes a label.
Machine prepare_machine();

/// Restricts the calling thread to the given cores.
void pin_to(const std::vector<int>& cores);

}  // namespace bench
