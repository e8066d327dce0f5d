// The main function of every test program: GoogleTest's, with room for a thousand connections.
//
// Both ends of a test's connections live in one process, and the usual soft limit of 1024 descriptors is not enough for
// them. It must not know any test.
#include <algorithm>
#include <cstdio>

#include <gmock/gmock.h>
#include <sys/resource.h>

namespace {

void raise_descriptor_limit() {
    // Some containers allow a billion; a test that walks over all descriptors would never end.
    constexpr rlim_t wanted = 16384;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return;
    }
    limit.rlim_cur = std::min(limit.rlim_max, wanted);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        std::perror("setrlimit(RLIMIT_NOFILE)");
    }
}

}  // namespace

int main(int argc, char** argv) {
    ::testing::InitGoogleMock(&argc, argv);
    raise_descriptor_limit();
    return RUN_ALL_TESTS();
}
