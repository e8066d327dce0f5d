// What only a process of POSIX can do to itself: a limit on descriptors, a child by fork(2). See
// loop_fixture.hpp.
#include "support/checked.hpp"
#include "support/loop_fixture.hpp"
#include "support/patience.hpp"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::test {

DescriptorLimit::DescriptorLimit(std::size_t spare) {
    rlimit limit{};
    checked(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    before_ = limit.rlim_cur;
    // The limit is on the highest number (getrlimit(2)): it goes before the first gap too many.
    const std::vector<int> open = open_descriptors();
    std::size_t gaps = 0;
    int end = 0;
    for (std::size_t i = 0;; ++end) {
        if (i < open.size() && open[i] == end) {
            ++i;
        } else if (gaps++ == spare) {
            break;
        }
    }
    // Whatever is open above stays open; only new numbers are limited.
    limit.rlim_cur = static_cast<rlim_t>(end);
    checked(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

DescriptorLimit::~DescriptorLimit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = before_;
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
}

TakenDescriptors::TakenDescriptors(std::size_t spare) {
    int fd = -1;
    while ((fd = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0) {
        taken_.emplace_back(fd);
    }
    if (errno != EMFILE || taken_.size() < spare) {
        throw std::system_error(errno, std::system_category(), "F_DUPFD_CLOEXEC");
    }
    taken_.erase(taken_.end() - static_cast<std::ptrdiff_t>(spare), taken_.end());
}

bool in_forked_child(const std::function<bool()>& body) {
    const pid_t child = checked(::fork(), "fork");
    if (child == 0) {
        // A child that hangs ends by itself, after whatever it waits for in vain.
        ::alarm(2 * static_cast<unsigned>(patience().count()));
        bool good = false;
        try {
            good = body();
        } catch (const std::exception& error) {
            ::dprintf(STDERR_FILENO, "in the forked child: %s\n", error.what());
        }
        ::_exit(good ? 0 : 1);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            throw std::system_error(errno, std::system_category(), "waitpid");
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace sluice::test
