// NoBrokenPipe for Linux: calls that know no MSG_NOSIGNAL and can end in SIGPIPE all the same.
#pragma once

#include <sluice/config.hpp>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace sluice::inline v0_1::detail::sys {

/// Keeps SIGPIPE from this thread while it lives, and takes back the one that a call in between has
/// caused, whose errno must have been looked at by then. Others are left alone: one that was pending before belongs to the program.
class NoBrokenPipe {
public:
    explicit NoBrokenPipe(int /*fd*/) noexcept {
        ::sigemptyset(&signal_);
        ::sigaddset(&signal_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &signal_, &before_);
        // Only where it is blocked all the time can one have been waiting.
        was_blocked_ = ::sigismember(&before_, SIGPIPE) == 1;
        if (was_blocked_) {
            sigset_t pending;
            ::sigpending(&pending);
            was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
        }
    }
    NoBrokenPipe(const NoBrokenPipe&) = delete;
    NoBrokenPipe& operator=(const NoBrokenPipe&) = delete;
    ~NoBrokenPipe() {
        const timespec at_once{};
        while (!was_pending_ && ::sigtimedwait(&signal_, nullptr, &at_once) < 0 && errno == EINTR) {
        }
        if (!was_blocked_) {
            ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        }
    }

private:
    sigset_t signal_;
    sigset_t before_;
    bool was_blocked_ = false;
    bool was_pending_ = false;
};

}  // namespace sluice::inline v0_1::detail::sys
