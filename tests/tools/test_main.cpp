// The main function of every test program: GoogleTest's, with room for a thousand connections.
//
// Both ends of a test's connections live in one process, and the usual soft limit of 1024 descriptors is not enough for
// them. It must not know any test.
#include <algorithm>
#include <cstdio>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

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

/// CTest may start a program without standard input. A test's socket would then get number 0, which
/// makes a limit on numbers (RLIMIT_NOFILE) mean something else than the test thinks.
void open_standard_descriptors() {
    int fd = 0;
    do {
        fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        ::close(fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    ::testing::InitGoogleMock(&argc, argv);
    open_standard_descriptors();
    raise_descriptor_limit();
    return RUN_ALL_TESTS();
}
