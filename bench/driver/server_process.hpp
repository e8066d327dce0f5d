// One running server: started, pinned, asked for CPU time and memory, stopped. Knows how to read /proc and that a server
// prints "listening on HOST:PORT"; knows neither which servers exist nor what is sent to them.
#pragma once

#include "descriptor.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/types.h>

namespace bench {

/// The server refused its command line (exit status 2): it lacks what was asked for.
class NotOffered : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class ServerProcess {
public:
    /// Starts `command` on the given cores and waits until it listens. Throws std::runtime_error with the reason when it
    /// does not. The process dies with us, however we end.
    ServerProcess(const std::vector<std::string>& command, const std::vector<int>& cores);
    ~ServerProcess();
    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    pid_t pid() const { return pid_; }
    std::uint16_t port() const { return port_; }

    /// False once the process has ended by itself.
    bool is_alive();

    /// Returns when every thread sleeps, which is when the kernel has added its last time slice to cpu_time(); a thread
    /// that runs is accounted only at ticks. Throws std::runtime_error when that does not come within a second.
    void wait_until_asleep() const;

    /// User and system time of all threads since the start, exact while they sleep.
    std::chrono::nanoseconds cpu_time() const;

    /// Physical pages in use, counted by walking the page tables: the cheaper counters are only approximate.
    std::size_t resident_kib() const;

    /// Asks the process to end and makes it after two seconds. Called by the destructor.
    void stop();

private:
    void spawn(const std::vector<std::string>& command, const std::vector<int>& cores);
    void read_listening_line();
    [[noreturn]] void report_early_end();
    bool reap(bool block);

    pid_t pid_ = -1;
    int status_ = 0;  // of the ended process, as waitpid(2) gives it
    Descriptor output_;
    std::uint16_t port_ = 0;
};

}  // namespace bench
