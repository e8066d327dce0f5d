// A consumer's second translation unit: includes everything once more, so that a definition that is neither inline nor
// compiled once shows up as a duplicate symbol.
#include <sluice/sluice.hpp>

const char* version_seen_by_second_unit() {
    return sluice::version();
}
