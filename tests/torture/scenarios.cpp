// The list of all scenarios, in the order in which they are run.
//
// It joins the parts and must not know what any of them does.
#include "torture/scenarios.hpp"

#include <ostream>

namespace sluice::test {

const std::vector<Scenario>& scenarios() {
    static const std::vector<Scenario> all = [] {
        std::vector<Scenario> made;
        for (const auto part :
             {connecting_scenarios(), serving_scenarios(), loop_scenarios(), tls_scenarios(),
              file_scenarios(), unix_scenarios(), datagram_scenarios(), net_scenarios()}) {
            made.insert(made.end(), part.begin(), part.end());
        }
        return made;
    }();
    return all;
}

void PrintTo(const Scenario& scenario, std::ostream* out) {
    *out << scenario.name;
}

}  // namespace sluice::test
