// A consumer's first translation unit: runs, and compares what it was compiled with to what it was linked with.
#include <sluice/sluice.hpp>

#include <cstdio>
#include <cstring>

const char* version_seen_by_second_unit();

int main() {
    if (std::strcmp(sluice::version(), SLUICE_VERSION_STRING) != 0 ||
        sluice::version() != version_seen_by_second_unit()) {
        std::puts("the headers and the library differ");
        return 1;
    }
    std::printf("sluice %s\n", sluice::version());
}
