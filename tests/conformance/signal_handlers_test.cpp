// A signal handler that another thread is still in when its loop goes.
//
// The program is linked with wrapped calls: a handler's write waits until the loop's thread either waits for
// the handler, which it does by sched_yield, or has gone on without.
#include "support/loop_fixture.hpp"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <thread>

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

namespace {

std::atomic<bool> holds_write{false};
std::atomic<bool> in_handler{false};
std::atomic<bool> closing{false};
std::atomic<bool> waits{false};
std::atomic<bool> closed{false};
std::atomic<ssize_t> written{0};

}  // namespace

// These names are those that the linker makes up.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
int __real_sched_yield();
int __wrap_sched_yield();
ssize_t __real_write(int fd, const void* bytes, size_t count);
ssize_t __wrap_write(int fd, const void* bytes, size_t count);

int __wrap_sched_yield() {
    if (closing) {
        waits = true;
    }
    return __real_sched_yield();
}

ssize_t __wrap_write(int fd, const void* bytes, size_t count) {
    if (!holds_write.exchange(false)) {
        return __real_write(fd, bytes, count);
    }
    in_handler = true;
    while (!waits && !closed) {
        __real_sched_yield();
    }
    const ssize_t result = __real_write(fd, bytes, count);
    written = result;
    return result;
}
}
// NOLINTEND(bugprone-reserved-identifier)

namespace sluice::test {
namespace {

class SignalHandlers : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Every, SignalHandlers, testing::ValuesIn(backends()), backend_case_name);

TEST_P(SignalHandlers, T403_one_on_another_thread_is_done_when_its_descriptor_is_closed) {
    for (std::atomic<bool>* const flag : {&in_handler, &closing, &waits, &closed}) {
        *flag = false;
    }
    loop().add_signal_handler(SIGUSR1, [] {});
    holds_write = true;
    std::thread other([] { ::pthread_kill(::pthread_self(), SIGUSR1); });
    while (!in_handler) {
        std::this_thread::yield();
    }
    closing = true;
    loop().close();
    closed = true;
    other.join();
    EXPECT_TRUE(waits);
    EXPECT_EQ(written, static_cast<ssize_t>(sizeof(std::uint64_t))) << "the descriptor was closed";
}

}  // namespace
}  // namespace sluice::test
