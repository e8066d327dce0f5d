// SyscallCounter: which socket calls the process really makes, and a way to make the next one fail
// or fall short.
//
// A test program that uses it is linked with --wrap for each name (see conformance/tests.cmake), so
// every call in the program, the library's included, passes through here on its way to the kernel.
// One counter at a time, on the thread that made it; without one the calls just pass. It knows
// nothing about transports: a test asks by descriptor.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace sluice::test {

/// One call that was made. `name` is that of the C function.
struct SystemCall {
    std::string_view name;
    int fd;
    std::size_t wanted_bytes;
    std::size_t segments;
    ssize_t result;  ///< What it returned; -errno when it failed.
    int flags = 0;   ///< Of send and sendmsg.
};

class SyscallCounter {
public:
    SyscallCounter();
    SyscallCounter(const SyscallCounter&) = delete;
    SyscallCounter& operator=(const SyscallCounter&) = delete;
    ~SyscallCounter();

    /// Every call since the start or clear(), in order.
    [[nodiscard]] const std::vector<SystemCall>& calls() const noexcept { return calls_; }
    void clear() noexcept { calls_.clear(); }
    /// Calls of this name, on this descriptor.
    [[nodiscard]] std::size_t count(std::string_view name, int fd) const;
    /// Calls of this name, on any descriptor.
    [[nodiscard]] std::size_t count(std::string_view name) const;
    /// What the calls of this name returned, failures left out, added up: the bytes they moved.
    [[nodiscard]] std::size_t bytes(std::string_view name) const;
    /// send and sendmsg on this descriptor.
    [[nodiscard]] std::size_t sends(int fd) const;
    /// The send and sendmsg calls on this descriptor.
    [[nodiscard]] std::vector<SystemCall> sent(int fd) const;

    /// The next call of `name` on `fd` fails with this errno and does nothing.
    void fail_next(std::string_view name, int fd, int error);
    /// The same on any descriptor, as for those that the library makes for itself.
    void fail_next(std::string_view name, int error) { fail_next(name, any_descriptor, error); }
    /// Every call of `name` on any descriptor fails so; 0: none any more.
    void fail_all(std::string_view name, int error);
    /// The next send, sendmsg or sendfile on `fd` is given only its first `bytes` bytes to send.
    void shorten_next_send(int fd, std::size_t bytes);
    /// The next preadv2 gives at most this many bytes.
    void shorten_next_read(std::size_t bytes) { shorten_next_send(any_descriptor, bytes); }

    static constexpr int any_descriptor = -1;

    // ---- for the wrappers ----
    static SyscallCounter* current() noexcept;
    void record(SystemCall call) { calls_.push_back(call); }
    /// The errno to fail with, 0 for none; consumed.
    int take_failure(std::string_view name, int fd);
    /// How much this send may pass on; consumed.
    std::size_t take_allowance(int fd, std::size_t wanted);

private:
    struct Failure {
        std::string_view name;
        int fd;
        int error;
        bool for_ever;
    };
    struct Allowance {
        int fd;
        std::size_t bytes;
    };

    std::vector<SystemCall> calls_;
    std::vector<Failure> failures_;
    std::vector<Allowance> allowances_;
};

}  // namespace sluice::test
